//! CREATE SEQUENCE, ALTER SEQUENCE, and what their options come to.

use super::CommandDone;
use super::columns::positions;
use super::relation::{already_exists, find_relation, find_sequence, find_table, skipped_existing, target_schema};
use crate::catalog::{CatalogState, SequenceDef, SequenceOwner, Workspace};
use crate::error::{SqlError, SqlResult, SqlState};
use crate::sql::{AlterSequence, CreateSequence, Name, RelationName, SequenceOptions};
use damson_cluster::Counting;

/// The type of a sequence that names none.
const DEFAULT_TYPE: &str = "bigint";

/// What options come to.
pub(super) struct Settled {
    pub sql_type: String,
    pub counting: Counting,
    pub start: i64,
}

/// Makes a sequence.
///
/// # Errors
/// 42P07, 3F000, 42939; 22023 for options; 42P01, 42809, 42703, 55000 for its owner; and the catalog's.
pub fn create_sequence(
    workspace: &mut Workspace,
    create: &CreateSequence,
    search_schema: &str,
) -> SqlResult<CommandDone> {
    let state = workspace.state();
    let schema = target_schema(&state, &create.sequence, search_schema)?;
    let name = &create.sequence.name;
    if find_relation(&state, &create.sequence, search_schema).is_some() {
        if !create.if_not_exists {
            return Err(already_exists(name).at(create.sequence.position));
        }
        return Ok(CommandDone { notices: vec![skipped_existing(name)], ..CommandDone::new("CREATE SEQUENCE") });
    }
    let Settled { sql_type, counting, start } = settle(&create.options, None)?;
    let owner = match &create.options.owned_by {
        Some(Some(owner)) => Some(owner_of(&state, owner, &schema, search_schema)?),
        Some(None) | None => None,
    };
    let (id, name) = (workspace.sequence_id()?, name.clone());
    workspace.create_sequence(SequenceDef { schema, name, id, sql_type, counting, start, first: start, owner })?;
    Ok(CommandDone::new("CREATE SEQUENCE"))
}

/// Gives a sequence other options; RESTART begins it anew.
///
/// # Errors
/// 42P01, 42809; 22023 for options; 0A000, 42703, 55000 for its owner; and the catalog's.
pub fn alter_sequence(workspace: &mut Workspace, alter: &AlterSequence, search_schema: &str) -> SqlResult<CommandDone> {
    let state = workspace.state();
    let mut done = CommandDone::new("ALTER SEQUENCE");
    if alter.if_exists && find_relation(&state, &alter.sequence, search_schema).is_none() {
        done.notices.push(format!("relation \"{}\" does not exist, skipping", alter.sequence.name));
        return Ok(done);
    }
    let old = find_sequence(&state, &alter.sequence, search_schema)?;
    let Settled { sql_type, counting, start } = settle(&alter.options, Some(&old))?;
    let mut new = SequenceDef { sql_type, counting, start, ..SequenceDef::clone(&old) };
    if let Some(owner) = &alter.options.owned_by {
        if let Some(linked) = old.owner.filter(|owner| owner.identity) {
            let table = state.table_by_id(linked.table).map_or_else(String::new, |entry| entry.def.name.clone());
            let message = "cannot change ownership of identity sequence";
            return Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message)
                .with_detail(format!("Sequence \"{}\" is linked to table \"{table}\".", old.name)));
        }
        let owner = owner.as_ref().map(|owner| owner_of(&state, owner, &old.schema, search_schema));
        new.owner = owner.transpose()?;
    }
    match alter.options.restart {
        Some(value) => {
            new.first = value.unwrap_or(start);
            check_position(new.first, &new.counting)?;
            new.id = workspace.sequence_id()?;
        }
        None => {
            let position = workspace.catalog().position(old.id).unwrap_or_else(|| old.beginning());
            check_position(position.last, &new.counting)?;
        }
    }
    if new != *old {
        workspace.alter_sequence(new)?;
    }
    Ok(done)
}

/// The options as PostgreSQL fills them up: for a new sequence, or over those of `old`.
///
/// # Errors
/// 22023.
pub(super) fn settle(options: &SequenceOptions, old: Option<&SequenceDef>) -> SqlResult<Settled> {
    let given_type = options.data_type.as_ref().map(|sql_type| sql_type.name.as_str());
    let sql_type = given_type.or(old.map(|old| old.sql_type.as_str())).unwrap_or(DEFAULT_TYPE);
    let (least, most) = bounds_of(sql_type);
    let increment = options.increment.or(old.map(|old| old.counting.increment)).unwrap_or(1);
    // Bounds that were those of the old type are those of the new one.
    let kept = |bound: fn(&SequenceDef) -> i64, of_type: fn((i64, i64)) -> i64| {
        let old = old?;
        let was_of_type = bound(old) == of_type(bounds_of(&old.sql_type));
        (old.sql_type == sql_type || !was_of_type).then(|| bound(old))
    };
    let max = match options.max {
        Some(given) => given,
        None => kept(|old| old.counting.max, |(_, most)| most),
    };
    let min = match options.min {
        Some(given) => given,
        None => kept(|old| old.counting.min, |(least, _)| least),
    };
    let max = max.unwrap_or(if increment > 0 { most } else { -1 });
    let min = min.unwrap_or(if increment > 0 { 1 } else { least });
    for (what, value) in [("MAXVALUE", max), ("MINVALUE", min)] {
        if !(least..=most).contains(&value) {
            return Err(invalid(format!("{what} ({value}) is out of range for sequence data type {sql_type}")));
        }
    }
    if min >= max {
        return Err(invalid(format!("MINVALUE ({min}) must be less than MAXVALUE ({max})")));
    }
    let start = options.start.or(old.map(|old| old.start)).unwrap_or(if increment > 0 { min } else { max });
    check_within("START", start, min, max)?;
    let cycle = options.cycle.or(old.map(|old| old.counting.cycle)).unwrap_or(false);
    let cache = options.cache.map(i64::unsigned_abs).or(old.map(|old| old.counting.cache)).unwrap_or(1);
    let counting = Counting { increment, min, max, cycle, cache };
    Ok(Settled { sql_type: sql_type.to_owned(), counting, start })
}

/// Least and greatest value of a type.
fn bounds_of(sql_type: &str) -> (i64, i64) {
    match sql_type {
        "smallint" => (i16::MIN.into(), i16::MAX.into()),
        "integer" => (i32::MIN.into(), i32::MAX.into()),
        _ => (i64::MIN, i64::MAX),
    }
}

fn check_position(value: i64, counting: &Counting) -> SqlResult<()> {
    check_within("RESTART", value, counting.min, counting.max)
}

fn check_within(what: &str, value: i64, min: i64, max: i64) -> SqlResult<()> {
    if value < min {
        return Err(invalid(format!("{what} value ({value}) cannot be less than MINVALUE ({min})")));
    }
    if value > max {
        return Err(invalid(format!("{what} value ({value}) cannot be greater than MAXVALUE ({max})")));
    }
    Ok(())
}

fn invalid(message: String) -> SqlError {
    SqlError::new(SqlState::INVALID_PARAMETER, message)
}

/// The column of `OWNED BY`, of a sequence in `schema`.
fn owner_of(
    state: &CatalogState,
    (table, column): &(RelationName, Name),
    schema: &str,
    search_schema: &str,
) -> SqlResult<SequenceOwner> {
    let entry = find_table(state, table, search_schema)?;
    if entry.def.schema != schema {
        let message = "sequence must be in same schema as table it is linked to";
        return Err(SqlError::new(SqlState::OBJECT_NOT_IN_STATE, message).at(table.position));
    }
    let of = format!("of relation \"{}\" ", entry.def.name);
    let column = positions(&entry.def.columns, std::slice::from_ref(column), &of)?[0];
    Ok(SequenceOwner { table: entry.def.id, column, identity: false })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{Statement, parse};

    fn settled(options: &str, old: Option<&SequenceDef>) -> Result<Settled, String> {
        let statement = if old.is_some() { "alter" } else { "create" };
        let options = match parse(&format!("{statement} sequence s {options}")).unwrap() {
            Statement::CreateSequence(create) => create.options,
            Statement::AlterSequence(alter) => alter.options,
            other => panic!("{other:?}"),
        };
        settle(&options, old).map_err(|error| error.message)
    }

    /// Increment, min, max, start.
    fn numbers(options: &str) -> (i64, i64, i64, i64) {
        let Settled { counting, start, .. } = settled(options, None).unwrap_or_else(|e| panic!("{options}: {e}"));
        (counting.increment, counting.min, counting.max, start)
    }

    #[test]
    fn what_is_not_said_follows_from_type_and_direction() {
        assert_eq!(numbers(""), (1, 1, i64::MAX, 1));
        assert_eq!(numbers("as smallint"), (1, 1, 32767, 1));
        assert_eq!(numbers("as integer increment -1"), (-1, -2147483648, -1, -1));
        assert_eq!(numbers("increment -2 maxvalue 10"), (-2, i64::MIN, 10, 10));
        assert_eq!(numbers("minvalue 5"), (1, 5, i64::MAX, 5));
        assert_eq!(numbers("start 7 no minvalue no maxvalue"), (1, 1, i64::MAX, 7));
    }

    #[test]
    fn options_must_agree() {
        for (options, message) in [
            ("as smallint maxvalue 32768", "MAXVALUE (32768) is out of range for sequence data type smallint"),
            ("as smallint minvalue -32769", "MINVALUE (-32769) is out of range for sequence data type smallint"),
            ("minvalue 5 maxvalue 5", "MINVALUE (5) must be less than MAXVALUE (5)"),
            ("maxvalue 5 start 6", "START value (6) cannot be greater than MAXVALUE (5)"),
            ("start 0", "START value (0) cannot be less than MINVALUE (1)"),
        ] {
            assert_eq!(settled(options, None).err().as_deref(), Some(message), "{options}");
        }
    }

    #[test]
    fn another_type_has_other_bounds_where_they_were_the_types() {
        let def = |options: &str| {
            let Settled { sql_type, counting, start } = settled(options, None).unwrap();
            let (schema, name) = ("public".into(), "s".into());
            let id = damson_cluster::SequenceId(1);
            SequenceDef { schema, name, id, sql_type, counting, start, first: start, owner: None }
        };
        let wider = settled("as bigint", Some(&def("as smallint start 3"))).unwrap();
        assert_eq!((wider.counting.min, wider.counting.max, wider.start), (1, i64::MAX, 3));
        let bounded = settled("as bigint", Some(&def("as smallint maxvalue 9"))).unwrap();
        assert_eq!(bounded.counting.max, 9);
        let narrower = settled("as smallint", Some(&def("maxvalue 40000"))).err();
        assert_eq!(narrower.as_deref(), Some("MAXVALUE (40000) is out of range for sequence data type smallint"));
        let kept = settled("increment 5 cycle", Some(&def("minvalue -3 cache 7"))).unwrap();
        assert_eq!(kept.counting, Counting { increment: 5, min: -3, max: i64::MAX, cycle: true, cache: 7 });
    }
}
