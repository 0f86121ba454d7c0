//! Files that several segments read.

use super::*;

/// The entry by which content 1 has a file.
fn for_1(file: &FileEntry) -> FileEntry {
    file.shared_with(ContentId(1), &"x")
}

/// Of the fixture's table, with files `a` and `b` of content 0, of which the first has the vector `a.1`.
fn with_two_files() -> (Fixture, TableId) {
    let fixture = Fixture::new();
    let t = create(&fixture.catalog, "t").id;
    fixture.catalog.add_files(vec![file(t, 0, "a"), file(t, 0, "b")]);
    fixture.catalog.commit_on(&fixture.catalog.current(), deleting(t, key(0, "a"), vector("a.1", 3))).unwrap();
    (fixture, t)
}

fn entry_of(catalog: &Arc<Catalog>, t: TableId, content: i32, path: &str) -> FileEntry {
    let state = catalog.current();
    let files = state.table_by_id(t).unwrap().files.of(ContentId(content));
    FileEntry::clone(files.iter().find(|file| file.path == path).unwrap())
}

fn adding(adds: Vec<FileEntry>) -> Commit {
    Commit { adds, ..Commit::default() }
}

fn known(catalog: &Arc<Catalog>, content: i32) -> Vec<String> {
    let mut paths: Vec<String> = catalog.known_paths(ContentId(content)).unwrap().into_iter().collect();
    paths.sort();
    paths
}

fn collectable(catalog: &Arc<Catalog>) -> Vec<(i32, String)> {
    let found = catalog.collectable().unwrap();
    found.into_iter().flat_map(|(content, paths)| paths.into_iter().map(move |path| (content.0, path))).collect()
}

#[test]
fn a_file_that_gets_a_reader_has_a_vector_of_its_own() {
    let (mut fixture, t) = with_two_files();
    let a = for_1(&entry_of(&fixture.catalog, t, 0, "a"));
    let b = for_1(&entry_of(&fixture.catalog, t, 0, "b"));
    // One keeps the vector that the file had, one begins with its own; the home deletes the rows of the other.
    let commit = Commit {
        deletes: vec![(t, key(0, "b"), vector("b.1", 6))],
        ..adding(vec![a, FileEntry { deletes: Some(vector("b.2", 4)), ..b }])
    };
    fixture.catalog.commit_on(&fixture.catalog.current(), commit).unwrap();
    fixture.reopen();
    let state = fixture.catalog.current();
    let entry = state.table_by_id(t).unwrap();
    assert_eq!((entry.files.rows_of(ContentId(0)), entry.files.rows_of(ContentId(1))), (7 + 4, 7 + 6));
    let vectors: Vec<_> = entry.files.of(ContentId(1)).iter().map(|file| file.deletes.clone().unwrap()).collect();
    let paths: Vec<_> = vectors.iter().map(|vector| vector.path.as_str()).collect();
    assert_eq!(paths, ["from/seg0/x/a.1", "b.2"]);
    assert!(vectors.iter().all(|vector| vector.created == state.snapshot));
    // Who holds a snapshot needs its vectors.
    drop(state);
    // Each deletes for itself from now on.
    let deleted = deleting(t, key(1, "from/seg0/x/b"), vector("b.3", 5));
    fixture.catalog.commit_on(&fixture.catalog.current(), deleted).unwrap();
    fixture.reopen();
    assert_eq!(entry_of(&fixture.catalog, t, 1, "from/seg0/x/b").live_rows(), 5);
    assert_eq!(entry_of(&fixture.catalog, t, 0, "b").live_rows(), 4);
}

#[test]
fn a_vector_needs_a_file_that_is_read_or_added() {
    let (fixture, t) = with_two_files();
    let base = fixture.catalog.current();
    let b = for_1(&entry_of(&fixture.catalog, t, 0, "b"));
    let refused = |commit: Commit| {
        assert!(matches!(fixture.catalog.commit_on(&base, commit), Err(CatalogError::Conflict { .. })));
    };
    refused(deleting(t, key(1, &b.path), vector("b.2", 4)));
    // Another segment's entry is another file.
    refused(Commit { deletes: vec![(t, key(1, "b"), vector("b.2", 4))], ..adding(vec![b.clone()]) });
    fixture.catalog.commit_on(&base, adding(vec![FileEntry { deletes: Some(vector("b.2", 4)), ..b }])).unwrap();
}

/// What a statement that fails, or is rolled back, removes.
#[test]
fn what_was_there_before_is_nobodys_to_give_up() {
    let (fixture, t) = with_two_files();
    let a = for_1(&entry_of(&fixture.catalog, t, 0, "a"));
    let b = for_1(&entry_of(&fixture.catalog, t, 0, "b"));
    let commit = Commit {
        deletes: vec![(t, key(0, "b"), vector("b.1", 6))],
        ..adding(vec![a, FileEntry { deletes: Some(vector("b.2", 4)), ..b }, file(t, 0, "new")])
    };
    let names = |files: Vec<FileKey>| -> Vec<(i32, String)> {
        let mut names: Vec<_> = files.into_iter().map(|file| (file.content.0, file.path)).collect();
        names.sort();
        names
    };
    let new = [(0, "b.1"), (0, "new"), (1, "b.2")].map(|(content, path)| (content, path.to_owned()));
    assert_eq!(names(commit.new_files()), new);
    let mut workspace = Workspace::new(&fixture.catalog);
    let mark = workspace.mark();
    workspace.add(commit).unwrap();
    assert_eq!(names(workspace.new_files()), new);
    assert_eq!(names(workspace.back_to(mark).unwrap()), new);
}

#[test]
fn a_file_goes_with_its_last_name() {
    let (mut fixture, t) = with_two_files();
    let catalog = Arc::clone(&fixture.catalog);
    let shared = for_1(&entry_of(&catalog, t, 0, "a"));
    let read = catalog.current();
    // All rows leave: the home's entry goes, with the vector that the reader's has, too.
    let commit = Commit { drops: vec![(t, key(0, "a"))], ..adding(vec![shared.clone()]) };
    catalog.commit_on(&read, commit).unwrap();
    assert_eq!(collectable(&catalog), [], "somebody reads it by its first name");
    drop(read);
    assert_eq!(collectable(&catalog), [], "it is read by another name");
    drop(catalog);
    fixture.reopen();
    let catalog = Arc::clone(&fixture.catalog);
    // Its home does not take it for an orphan, though it has no entry of it any more.
    assert_eq!(known(&catalog, 0), ["a", "a.1", "b"]);
    assert_eq!(known(&catalog, 1), [""; 0]);
    let suspects = ["a", "a.1", "lost"].map(str::to_owned).into();
    assert_eq!(catalog.condemn(ContentId(0), suspects).unwrap(), ["lost"]);

    // A second reader, and back to its home, as a second expansion does it.
    let again = entry_of(&catalog, t, 1, &shared.path).shared_with(ContentId(0), &"y");
    assert_eq!(again.path, "from/seg0/y/a");
    catalog.commit_on(&catalog.current(), adding(vec![again.clone()])).unwrap();
    catalog
        .commit_on(&catalog.current(), Commit { drops: vec![(t, key(1, &shared.path))], ..Commit::default() })
        .unwrap();
    assert_eq!(collectable(&catalog), []);
    assert_eq!(known(&catalog, 0), ["a", "a.1", "b"]);
    catalog
        .commit_on(&catalog.current(), Commit { drops: vec![(t, key(0, &again.path))], ..Commit::default() })
        .unwrap();
    drop(catalog);
    fixture.reopen();
    let catalog = &fixture.catalog;
    let names = ["from/seg0/y/a", "from/seg0/y/a.1"].map(str::to_owned);
    assert_eq!(collectable(catalog), names.clone().map(|name| (0, name)));
    assert_eq!(known(catalog, 0), ["a", "a.1", "b"]);
    catalog.forget(&names.map(|name| key(0, &name))).unwrap();
    fixture.reopen();
    assert_eq!(collectable(&fixture.catalog), []);
    assert_eq!(known(&fixture.catalog, 0), ["b"]);
}

#[test]
fn names_that_end_together_are_one_removal() {
    let (mut fixture, t) = with_two_files();
    let shared = ["x", "y"].map(|tag| entry_of(&fixture.catalog, t, 0, "b").shared_with(ContentId(1), &tag));
    fixture.catalog.commit_on(&fixture.catalog.current(), adding(shared.into())).unwrap();
    fixture.catalog.drop_relations(&[name("t")], false).unwrap();
    let gone = [(0, "a"), (0, "a.1"), (1, "from/seg0/y/b")].map(|(content, path)| (content, path.to_owned()));
    for _ in 0..2 {
        assert_eq!(collectable(&fixture.catalog), gone);
        assert_eq!(known(&fixture.catalog, 0), ["a", "a.1", "b"]);
        fixture.reopen();
    }
}

/// The past needs the first name, the present none.
#[test]
fn a_name_that_only_the_past_has_keeps_the_file() {
    let (mut fixture, t) = with_two_files();
    let shared = for_1(&entry_of(&fixture.catalog, t, 0, "b"));
    fixture.catalog.create_restore_point("before").unwrap();
    let commit = Commit { drops: vec![(t, key(0, "b"))], ..adding(vec![shared.clone()]) };
    fixture.catalog.commit_on(&fixture.catalog.current(), commit).unwrap();
    let drops = vec![(t, key(1, &shared.path))];
    fixture.catalog.commit_on(&fixture.catalog.current(), Commit { drops, ..Commit::default() }).unwrap();
    assert_eq!(collectable(&fixture.catalog), []);
    fixture.reopen();
    assert!(known(&fixture.catalog, 0).contains(&"b".to_owned()));
    fixture.catalog.drop_restore_point("before").unwrap();
    assert_eq!(collectable(&fixture.catalog), [(0, "b".to_owned())]);
}

#[test]
fn what_is_removed_as_an_orphan_gets_no_other_name() {
    let (fixture, t) = with_two_files();
    let base = fixture.catalog.current();
    let suspects = ["lost", "lost.1"].map(str::to_owned).into();
    assert_eq!(fixture.catalog.condemn(ContentId(0), suspects).unwrap().len(), 2);
    let refused = |entry: FileEntry| {
        assert!(matches!(fixture.catalog.commit_on(&base, adding(vec![entry])), Err(CatalogError::Conflict { .. })));
    };
    refused(for_1(&file(t, 0, "lost")));
    let b = for_1(&entry_of(&fixture.catalog, t, 0, "b"));
    refused(FileEntry { deletes: Some(vector("from/seg0/x/lost.1", 1)), ..b });
}

#[test]
fn a_state_can_be_supposed() {
    let (fixture, t) = with_two_files();
    let state = fixture.catalog.current();
    let before = describe(&fixture.catalog);
    let shared = for_1(&entry_of(&fixture.catalog, t, 0, "a"));
    let supposed = fixture.catalog.suppose(&state, t, [Arc::new(shared.clone())]).unwrap();
    let entry = supposed.table_by_id(t).unwrap();
    assert_eq!(entry.files.iter().map(|file| FileEntry::clone(file)).collect::<Vec<_>>(), [shared]);
    assert_eq!(entry.def, state.table_by_id(t).unwrap().def);
    drop(state);
    create(&fixture.catalog, "u");
    assert_eq!(fixture.catalog.oldest_pinned(), supposed.snapshot, "what it is made of stays");
    drop(supposed);
    assert!(before.contains("\"a\"") && !describe(&fixture.catalog).contains("from/seg0"));
    assert!(matches!(
        fixture.catalog.suppose(&fixture.catalog.current(), TableId(999), []),
        Err(CatalogError::TableGone(_))
    ));
}

on_postgres![
    a_file_that_gets_a_reader_has_a_vector_of_its_own,
    what_was_there_before_is_nobodys_to_give_up,
    a_file_goes_with_its_last_name,
    names_that_end_together_are_one_removal,
    a_name_that_only_the_past_has_keeps_the_file,
];
