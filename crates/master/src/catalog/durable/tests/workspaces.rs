//! Transactions beside each other.

use super::*;

/// What one transaction's statements see, and what others do.
#[test]
fn a_workspace_is_its_own_until_it_commits() {
    let mut fixture = Fixture::new();
    let t = create(&fixture.catalog, "t").id;
    fixture.catalog.add_files(vec![file(t, 0, "a"), file(t, 1, "b")]);
    let before = describe(&fixture.catalog);
    let files = |state: &Arc<CatalogState>, name: &str| -> Vec<String> {
        let entry = state.table("public", name).unwrap();
        let name = |file: &Arc<FileEntry>| match &file.deletes {
            Some(vector) => format!("{} without {}", file.path, vector.path),
            None => file.path.clone(),
        };
        entry.files.iter().map(name).collect()
    };

    let mut workspace = Workspace::new(&fixture.catalog);
    workspace.add(Commit::of_adds(vec![file(t, 0, "c")])).unwrap();
    workspace.add(deleting(t, key(0, "c"), vector("c.1", 1))).unwrap();
    workspace.add(deleting(t, key(0, "a"), vector("a.1", 1))).unwrap();
    let mark = workspace.mark();
    workspace.add(deleting(t, key(0, "a"), vector("a.2", 2))).unwrap();
    workspace.add(Commit { drops: vec![(t, key(1, "b"))], ..Commit::default() }).unwrap();
    workspace.rename_table(t, "renamed").unwrap();
    workspace.create_schema("s").unwrap();
    let CreateTableOutcome::Created(u) = workspace.create_table(table("t"), vec![], false).unwrap() else { panic!() };
    workspace.add(Commit::of_adds(vec![file(u.id, 0, "u")])).unwrap();
    workspace.create_view(view("v", &["t", "renamed"]), false).unwrap();
    let state = workspace.state();
    assert_eq!(files(&state, "renamed"), ["a without a.2", "c without c.1"]);
    assert_eq!(files(&state, "t"), ["u"]);
    assert!(state.has_schema("s"));
    assert_eq!(describe(&fixture.catalog), before, "others see nothing");

    drop(state);
    // Another's changes come in between, and a savepoint takes back what came after it.
    fixture.catalog.add_files(vec![file(t, 1, "others")]);
    workspace.refresh().unwrap();
    assert_eq!(files(&workspace.state(), "renamed"), ["a without a.2", "c without c.1", "others"]);
    let mut given_up: Vec<_> = workspace.back_to(mark).unwrap().into_iter().map(|file| file.path).collect();
    given_up.sort();
    assert_eq!(given_up, ["a.2", "u"]);
    assert_eq!(files(&workspace.state(), "t"), ["a without a.1", "c without c.1", "b", "others"]);
    assert!(!workspace.state().has_schema("s"));
    workspace.add(Commit { drops: vec![(t, key(0, "c"))], ..Commit::default() }).unwrap();
    workspace.commit(Durability::Synced).unwrap().unwrap();
    fixture.reopen();
    assert_eq!(files(&fixture.catalog.current(), "t"), ["a without a.1", "b", "others"]);
    // Files that came and went within it are collected as all others.
    let gone = ["c", "c.1"].map(str::to_owned).to_vec();
    assert_eq!(fixture.catalog.collectable().unwrap(), [(ContentId(0), gone)]);
}

#[test]
fn restored_tables_have_their_files_and_delete_vectors() {
    let mut fixture = Fixture::new();
    let ids = [(); 2].map(|()| fixture.catalog.reserve_table_id().unwrap());
    let model = create(&fixture.catalog, "model");
    let def = |id: TableId, name: &str| TableDef { id, name: name.into(), ..(*model).clone() };
    let [first, second] = [def(ids[0], "first"), def(ids[1], "second")];
    let mut workspace = Workspace::new(&fixture.catalog);
    let with_vector = FileEntry { deletes: Some(vector("a.1", 1)), ..file(first.id, 0, "a") };
    let files = vec![with_vector, file(first.id, 1, "b")];
    workspace.restore_tables(vec![(first.clone(), files), (second.clone(), vec![])]).unwrap();
    let mut new: Vec<String> = workspace.new_files().into_iter().map(|file| file.path).collect();
    new.sort();
    assert_eq!(new, ["a", "a.1", "b"]);
    let is_committed = |state: &CatalogState| {
        let entry = state.table("public", "first").unwrap();
        entry.files.iter().find_map(|file| file.deletes.clone()).unwrap().is_committed()
    };
    assert!(!is_committed(&workspace.state()));
    let snapshot = workspace.commit(Durability::Synced).unwrap().unwrap();
    fixture.reopen();
    let state = fixture.catalog.current();
    let entry = state.table_by_id(first.id).unwrap();
    assert_eq!((&*entry.def, entry.files.len()), (&first, 2));
    assert!(is_committed(&state));
    assert!(entry.files.iter().all(|file| file.created == snapshot));
    assert_eq!(*state.table_by_id(second.id).unwrap().def, second);
    let mut again = Workspace::new(&fixture.catalog);
    let refused = again.restore_tables(vec![(TableDef { id: TableId(99), ..first }, vec![])]);
    assert!(matches!(refused, Err(CatalogError::RelationExists(_))));
}

#[test]
fn workspaces_conflict_where_one_relies_on_what_the_other_changes() {
    type Change = fn(&mut Workspace, TableId) -> Result<(), CatalogError>;
    let insert: Change = |w, t| w.add(Commit::of_adds(vec![file(t, 0, "new")]));
    let insert_other: Change = |w, t| w.add(Commit::of_adds(vec![file(t, 1, "newer")]));
    let delete: Change = |w, t| w.add(deleting(t, key(0, "a"), vector("a.1", 1)));
    let delete_other: Change = |w, t| w.add(deleting(t, key(1, "b"), vector("b.1", 1)));
    let truncate: Change = |w, t| w.truncate(&[t]);
    let drop: Change = |w, _| w.drop_relations(&[name("t")], false).map(|_| ());
    let rename: Change = |w, t| w.rename_table(t, "renamed");
    let add: Change = |w, t| w.add_column(t, column("d"), vec![]);
    let use_it: Change = |w, _| w.create_view(view("v", &["t"]), false);
    let take_name: Change = |w, _| w.create_table(table("other"), vec![], false).map(|_| ());
    // The first commits; whether the second can.
    let replace_view: Change = |w, _| w.create_view(view("old", &["u"]), true);
    let drop_view: Change = |w, _| w.drop_relations(&[name("old")], false).map(|_| ());
    let circle_one: Change = |w, _| w.create_view(view("old", &["older"]), true);
    let circle_two: Change = |w, _| w.create_view(view("older", &["old"]), true);
    let view_to_table: Change = |w, _| {
        w.drop_relations(&[name("old")], false)?;
        w.create_table(table("old"), vec![], false).map(|_| ())
    };
    let again: Change = |w, _| {
        w.drop_relations(&[name("u")], false)?;
        w.create_table(table("u"), vec![], false).map(|_| ())
    };
    let rename_u: Change = |w, _| {
        let u = w.state().table("public", "u").unwrap().def.id;
        w.rename_table(u, "renamed")
    };
    let rename_column: Change = |w, _| {
        let u = w.state().table("public", "u").unwrap().def.id;
        w.rename_column(u, 0, "renamed", vec![])
    };
    let use_u: Change = |w, _| w.create_view(view("v", &["u"]), false);
    let nothing_about_views: Change = |w, _| w.drop_relations(&[name("u")], false).map(|_| ());
    let cases: [(&str, Change, Change, bool); 29] = [
        ("new view, new view", use_u, use_u, false),
        ("replaced view, replaced view", replace_view, replace_view, false),
        ("replaced view, dropped view", replace_view, drop_view, false),
        ("dropped view, dropped view", drop_view, drop_view, false),
        ("view that became a table, dropped view", view_to_table, drop_view, false),
        ("view that became a table, replaced view", view_to_table, replace_view, false),
        ("views of each other", circle_one, circle_two, false),
        ("renamed table, used table", rename_u, use_u, false),
        ("used table, renamed table", use_u, rename_u, false),
        ("renamed column, used table", rename_column, use_u, false),
        ("table that is another, used table", again, use_u, false),
        ("used table, table that is another", use_u, again, false),
        ("dropped view, dropped table", drop_view, nothing_about_views, true),
        ("insert, insert", insert, insert_other, true),
        ("insert, delete", insert, delete, true),
        ("delete, insert", delete, insert, true),
        ("delete, delete", delete, delete, false),
        ("delete, delete elsewhere", delete, delete_other, true),
        ("insert, truncate", insert, truncate, false),
        ("delete, truncate", delete, truncate, false),
        ("truncate, delete", truncate, delete, false),
        ("insert, drop", insert, drop, false),
        ("drop, insert", drop, insert, false),
        ("drop, drop", drop, drop, false),
        ("use, drop", use_it, drop, false),
        ("drop, use", drop, use_it, false),
        ("rename, add column", rename, add, false),
        ("add column, insert", add, insert, false),
        ("one name twice", take_name, take_name, false),
    ];
    for (case, first, second, can) in cases {
        let mut fixture = Fixture::new();
        let t = create(&fixture.catalog, "t").id;
        fixture.catalog.add_files(vec![file(t, 0, "a"), file(t, 1, "b")]);
        create(&fixture.catalog, "u");
        fixture.catalog.create_view(view("older", &[]), false).unwrap();
        fixture.catalog.create_view(view("old", &[]), false).unwrap();
        let [mut one, mut two] = [Workspace::new(&fixture.catalog), Workspace::new(&fixture.catalog)];
        first(&mut one, t).unwrap();
        second(&mut two, t).unwrap();
        one.commit(Durability::Synced).unwrap();
        let before = fixture.catalog.current();
        assert_eq!(two.commit(Durability::Synced).is_ok(), can, "{case}");
        assert_eq!(Arc::ptr_eq(&before, &fixture.catalog.current()), !can, "{case}");
        std::mem::drop(before);
        fixture.reopen();
    }
}

/// A view of a table that a transaction has dropped, and made again: of another one, for the view.
#[test]
fn a_name_that_was_given_up_is_not_what_views_were_made_of() {
    let fixture = Fixture::new();
    create(&fixture.catalog, "t");
    let mut workspace = Workspace::new(&fixture.catalog);
    workspace.drop_relations(&[name("t")], false).unwrap();
    let mark = workspace.mark();
    workspace.create_table(table("t"), vec![], false).unwrap();
    workspace.create_view(view("own", &["t"]), false).unwrap();
    fixture.catalog.create_view(view("v", &["t"]), false).unwrap();
    assert!(matches!(workspace.refresh(), Err(CatalogError::Needed { .. })));
    assert!(workspace.back_to(mark).unwrap().is_empty());
    assert!(workspace.state().table("public", "t").is_none());
    assert!(matches!(workspace.commit(Durability::Synced), Err(CatalogError::Needed { .. })));
}

on_postgres![
    a_workspace_is_its_own_until_it_commits,
    workspaces_conflict_where_one_relies_on_what_the_other_changes,
    a_name_that_was_given_up_is_not_what_views_were_made_of,
];
