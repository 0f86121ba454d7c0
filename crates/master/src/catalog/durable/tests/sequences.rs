//! Sequences: what is given out is never given again.

use super::*;
use crate::catalog::{SequenceDef, SequenceOwner};
use damson_cluster::{Counting, Sequence, SequenceId, SequencePosition};

fn counting(max: i64) -> Counting {
    Counting { increment: 1, min: 1, max, cycle: false, cache: 1 }
}

fn definition(name: &str, id: SequenceId) -> SequenceDef {
    let (schema, name, counting) = ("public".to_owned(), name.to_owned(), counting(i64::MAX));
    SequenceDef { schema, name, id, sql_type: "bigint".into(), counting, start: 1, first: 1, owner: None }
}

fn create_sequence(workspace: &mut Workspace, name: &str) -> Result<(), CatalogError> {
    let id = workspace.sequence_id()?;
    workspace.create_sequence(definition(name, id))
}

/// As the newest snapshot has it.
fn sequence(catalog: &Catalog, name: &str) -> Sequence {
    catalog.current().sequence("public", name).unwrap().sequence()
}

fn take(catalog: &Catalog, sequence: &Sequence, count: u64) -> Result<Vec<i64>, CatalogError> {
    let blocks = match catalog.take_reserved_values(sequence, count)? {
        Some(blocks) => blocks,
        None => catalog.take_values(sequence, count)?,
    };
    Ok(blocks.into_iter().flat_map(|block| block.values()).collect())
}

#[test]
fn values_are_given_once_whatever_masters_end() {
    let mut fixture = Fixture::new();
    fixture.catalog.alone(|w| create_sequence(w, "s")).unwrap();
    let mut given: Vec<i64> = vec![];
    for round in 0..6u64 {
        let s = sequence(&fixture.catalog, "s");
        for count in [1, 1, 2, 1, round * 100 + 1] {
            let values = take(&fixture.catalog, &s, count).unwrap();
            assert_eq!(values.len() as u64, count);
            given.extend(values);
        }
        // Without a word to the store, as a process that is killed.
        fixture.reopen();
    }
    assert!(given.windows(2).all(|two| two[0] < two[1]), "{given:?}");
    let position = fixture.catalog.position(sequence(&fixture.catalog, "s").id).unwrap();
    assert!(position.is_called && position.last >= *given.last().unwrap());
}

#[test]
fn several_that_take_at_once_take_different_values() {
    let fixture = Fixture::new();
    fixture.catalog.alone(|w| create_sequence(w, "s")).unwrap();
    let s = sequence(&fixture.catalog, "s");
    let values: Vec<i64> = std::thread::scope(|scope| {
        let taking = |thread: u64| {
            let (catalog, s) = (&fixture.catalog, &s);
            scope.spawn(move || (0..50).flat_map(|i| take(catalog, s, thread + i % 3 + 1).unwrap()).collect::<Vec<_>>())
        };
        let threads: Vec<_> = (0..4).map(taking).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let distinct: BTreeSet<i64> = values.iter().copied().collect();
    assert_eq!(distinct.len(), values.len());
    assert_eq!(distinct.last(), Some(&(values.len() as i64)), "and none is skipped while a master lives");
}

#[test]
fn a_master_that_was_replaced_gives_what_it_has_reserved_and_no_more() {
    let fixture = Fixture::new();
    fixture.catalog.alone(|w| create_sequence(w, "s")).unwrap();
    let s = sequence(&fixture.catalog, "s");
    let mut given = take(&fixture.catalog, &s, 10).unwrap();
    given.extend(take(&fixture.catalog, &s, 1).unwrap());
    let newer = fixture.place.open(2).unwrap();
    let error = loop {
        match take(&fixture.catalog, &s, 1) {
            Ok(values) => given.extend(values),
            Err(error) => break error,
        }
        assert!(given.len() < 1000, "it is never fenced");
    };
    assert!(matches!(error, CatalogError::Fenced { .. }), "{error}");
    assert!(matches!(
        fixture.catalog.set_position(s.id, SequencePosition { last: 1, is_called: false }),
        Err(CatalogError::Fenced { .. })
    ));
    let others = take(&newer, &s, 100).unwrap();
    assert!(others[0] > *given.last().unwrap(), "{given:?} and {others:?}");
}

#[test]
fn setval_holds_over_what_was_reserved() {
    let mut fixture = Fixture::new();
    fixture.catalog.alone(|w| create_sequence(w, "s")).unwrap();
    let s = sequence(&fixture.catalog, "s");
    take(&fixture.catalog, &s, 100).unwrap();
    take(&fixture.catalog, &s, 1).unwrap();
    fixture.catalog.set_position(s.id, SequencePosition { last: 7, is_called: true }).unwrap();
    assert_eq!(take(&fixture.catalog, &s, 2).unwrap(), [8, 9]);
    fixture.catalog.set_position(s.id, SequencePosition { last: 7, is_called: false }).unwrap();
    fixture.reopen();
    assert_eq!(take(&fixture.catalog, &s, 2).unwrap(), [7, 8]);
}

#[test]
fn the_end_is_an_error_that_names_it() {
    let fixture = Fixture::new();
    let ends = |w: &mut Workspace| {
        let id = w.sequence_id()?;
        w.create_sequence(SequenceDef { counting: counting(3), ..definition("s", id) })
    };
    fixture.catalog.alone(ends).unwrap();
    let s = sequence(&fixture.catalog, "s");
    assert_eq!(take(&fixture.catalog, &s, 2).unwrap(), [1, 2]);
    let error = crate::error::SqlError::from(take(&fixture.catalog, &s, 2).unwrap_err());
    assert_eq!(
        (error.state.0, error.message.as_str()),
        ("2200H", "nextval: reached maximum value of sequence \"s\" (3)")
    );
}

#[test]
fn a_restart_is_its_transactions_and_values_are_not() {
    let mut fixture = Fixture::new();
    fixture.catalog.alone(|w| create_sequence(w, "s")).unwrap();
    let s = sequence(&fixture.catalog, "s");
    assert_eq!(take(&fixture.catalog, &s, 3).unwrap(), [1, 2, 3]);
    let restart = |w: &mut Workspace| {
        let id = w.sequence_id()?;
        w.alter_sequence(SequenceDef { first: 10, ..definition("s", id) })
    };
    let mut workspace = Workspace::new(&fixture.catalog);
    restart(&mut workspace).unwrap();
    let own = workspace.state().sequence("public", "s").unwrap().sequence();
    assert_eq!(take(&fixture.catalog, &own, 2).unwrap(), [10, 11], "the transaction's own");
    assert_eq!(take(&fixture.catalog, &s, 1).unwrap(), [4], "the others'");
    drop(workspace);
    assert_eq!(take(&fixture.catalog, &sequence(&fixture.catalog, "s"), 1).unwrap(), [5], "it was rolled back");
    fixture.catalog.alone(restart).unwrap();
    assert_eq!(take(&fixture.catalog, &sequence(&fixture.catalog, "s"), 1).unwrap(), [10]);
    assert_eq!(take(&fixture.catalog, &s, 1).unwrap(), [6], "a statement that began before goes on");
    fixture.reopen();
    let after = take(&fixture.catalog, &sequence(&fixture.catalog, "s"), 1).unwrap();
    assert!(after[0] > 10 && after[0] < 20, "{after:?}");
}

#[test]
fn a_sequence_goes_with_its_table_and_is_kept_by_a_default() {
    let mut fixture = Fixture::new();
    let with_default = |name: &str, sequence: &str| {
        let default = Some(format!("nextval('public.{sequence}')"));
        NewTable { columns: vec![ColumnDef { default, ..column("a") }], ..table(name) }
    };
    let serial = |w: &mut Workspace| {
        let (id, sequence) = (w.next_id()?, w.sequence_id()?);
        let owner = Some(SequenceOwner { table: id, column: 0, identity: false });
        w.create_sequence(SequenceDef { owner, ..definition("t_a_seq", sequence) })?;
        w.create_table(NewTable { id: Some(id), ..with_default("t", "t_a_seq") }, vec![], false)
    };
    fixture.catalog.alone(serial).unwrap();
    fixture.catalog.create_table(with_default("u", "t_a_seq"), vec![], false).unwrap();
    fixture.reopen();
    let drop = |catalog: &Arc<Catalog>, of: &str, cascade| catalog.alone(|w| w.drop_relations(&[name(of)], cascade));
    for of in ["t", "t_a_seq"] {
        let Err(CatalogError::Needed { dependents, .. }) = drop(&fixture.catalog, of, false) else { panic!("{of}") };
        assert!(dependents.contains(&"default value for column a of table public.u".to_owned()), "{dependents:?}");
    }
    let dropped = drop(&fixture.catalog, "t", true).unwrap();
    assert_eq!(dropped, ["default value for column a of table public.u"]);
    let state = fixture.catalog.current();
    assert!(state.sequence("public", "t_a_seq").is_none() && state.table("public", "t").is_none());
    assert_eq!(state.table("public", "u").unwrap().def.columns[0].default, None);
    fixture.reopen();
}

#[test]
fn transactions_conflict_over_a_sequence() {
    type Change = fn(&mut Workspace) -> Result<(), CatalogError>;
    let use_it: Change = |w| {
        let column = ColumnDef { default: Some("nextval('public.s')".into()), ..column("a") };
        w.create_table(NewTable { columns: vec![column], ..table("t") }, vec![], false).map(|_| ())
    };
    let drop: Change = |w| w.drop_relations(&[name("s")], false).map(|_| ());
    let alter: Change = |w| {
        let def = SequenceDef::clone(w.state().sequence("public", "s").unwrap());
        w.alter_sequence(SequenceDef { counting: counting(1000), ..def })
    };
    let take_name: Change = |w| w.create_table(table("other"), vec![], false).map(|_| ());
    let create_other: Change = |w| create_sequence(w, "other");
    let cases: [(&str, Change, Change, bool); 7] = [
        ("used, dropped", use_it, drop, false),
        ("dropped, used", drop, use_it, false),
        ("altered, altered", alter, alter, false),
        ("altered, dropped", alter, drop, false),
        ("altered, used", alter, use_it, true),
        ("a table, a sequence of its name", take_name, create_other, false),
        ("a sequence, a table of its name", create_other, take_name, false),
    ];
    for (what, first, second, both) in cases {
        let fixture = Fixture::new();
        fixture.catalog.alone(|w| create_sequence(w, "s")).unwrap();
        let (mut one, mut other) = (Workspace::new(&fixture.catalog), Workspace::new(&fixture.catalog));
        first(&mut one).unwrap();
        second(&mut other).unwrap();
        one.commit(Durability::Synced).unwrap();
        assert_eq!(other.commit(Durability::Synced).is_ok(), both, "{what}");
    }
}

/// Its place in the store is nobody's then, and goes when the catalog is opened.
#[test]
fn a_sequence_that_is_never_committed_leaves_nothing() {
    let fixture = Fixture::new();
    let mut workspace = Workspace::new(&fixture.catalog);
    create_sequence(&mut workspace, "s").unwrap();
    let s = workspace.state().sequence("public", "s").unwrap().sequence();
    assert_eq!(take(&fixture.catalog, &s, 2).unwrap(), [1, 2]);
    drop(workspace);
    assert_eq!(fixture.place.store().load(None).unwrap().positions.len(), 0);
}

/// The position is not undone with the transaction, so that it must be one of how the sequence counts for all.
#[test]
fn what_a_transaction_alters_counts_once_it_is_committed() {
    let fixture = Fixture::new();
    fixture.catalog.alone(|w| create_sequence(w, "s")).unwrap();
    let s = sequence(&fixture.catalog, "s");
    assert_eq!(take(&fixture.catalog, &s, 100).unwrap().last(), Some(&100));
    let mut workspace = Workspace::new(&fixture.catalog);
    let def = SequenceDef::clone(workspace.state().sequence("public", "s").unwrap());
    let down = Counting { increment: -1, ..def.counting.clone() };
    workspace.alter_sequence(SequenceDef { counting: down, ..def }).unwrap();
    let altered = workspace.state().sequence("public", "s").unwrap().sequence();
    assert_eq!(take(&fixture.catalog, &altered, 3).unwrap(), [101, 102, 103]);
    drop(workspace);
    assert_eq!(take(&fixture.catalog, &s, 1).unwrap(), [104]);
}

/// Of a small one most values are left.
#[test]
fn a_restart_skips_few_values_of_a_small_sequence() {
    let mut fixture = Fixture::new();
    let small = |w: &mut Workspace| {
        let id = w.sequence_id()?;
        w.create_sequence(SequenceDef { counting: counting(1000), ..definition("s", id) })
    };
    fixture.catalog.alone(small).unwrap();
    let mut last = 0;
    for _ in 0..20 {
        let s = sequence(&fixture.catalog, "s");
        for _ in 0..20 {
            let value = take(&fixture.catalog, &s, 1).unwrap()[0];
            assert!(value > last);
            last = value;
        }
        fixture.reopen();
    }
    assert!(last < 500, "400 values were wanted, and the last is {last}");
}

/// Whoever has taken values of a sequence that begins anew would have them a second time.
#[test]
fn rows_that_have_values_conflict_with_a_restart() {
    let fixture = Fixture::new();
    fixture.catalog.alone(|w| create_sequence(w, "s")).unwrap();
    let columns = vec![ColumnDef { default: Some("nextval('public.s')".into()), ..column("a") }];
    let new = NewTable { columns, ..table("t") };
    let CreateTableOutcome::Created(t) = fixture.catalog.create_table(new, vec![], false).unwrap() else { panic!() };
    let base = fixture.catalog.current();
    fixture
        .catalog
        .alone(|w| {
            let id = w.sequence_id()?;
            let def = SequenceDef::clone(w.state().sequence("public", "s").unwrap());
            w.alter_sequence(SequenceDef { id, ..def })
        })
        .unwrap();
    let refused = fixture.catalog.commit_on(&base, Commit::of_adds(vec![file(t.id, 0, "a")]));
    assert!(matches!(refused, Err(CatalogError::Conflict { .. })), "{refused:?}");
    fixture.catalog.add_files(vec![file(t.id, 0, "b")]);
}

on_postgres![
    values_are_given_once_whatever_masters_end,
    several_that_take_at_once_take_different_values,
    a_master_that_was_replaced_gives_what_it_has_reserved_and_no_more,
    setval_holds_over_what_was_reserved,
    the_end_is_an_error_that_names_it,
    a_restart_is_its_transactions_and_values_are_not,
    a_sequence_goes_with_its_table_and_is_kept_by_a_default,
    transactions_conflict_over_a_sequence,
    a_sequence_that_is_never_committed_leaves_nothing,
];
