use super::*;
use crate::input::PreferredRole;
use damson_cluster::ContentId;
use proptest::prelude::*;

fn segment() -> NewSegment {
    NewSegment {
        hostname: "sdw3".into(),
        address: "sdw3".into(),
        port: 6000,
        data_dir: "/data".into(),
        dbid: 4,
        content: ContentId(2),
        preferred_role: PreferredRole::Primary,
    }
}

fn plan() -> Plan {
    Plan { segments: vec![segment()], old_map: "0*16384".into(), new_map: "0*8192 1*8192".into() }
}

fn table(id: u64, rank: i32) -> TableProgress {
    TableProgress::new(TableId(id), rank, id * 10)
}

/// Tables 1, 2, 3 of 10, 20, 30 bytes; 3 has the lowest rank.
fn set_up() -> Expansion {
    let (mut expansion, steps) = Expansion::new(plan());
    assert_eq!(steps, [Step::AddSegments(vec![segment()]), Step::SetMap(plan().new_map)]);
    let tables = vec![table(1, 5), table(2, 5), table(3, 1)];
    assert_eq!(expansion.step(Event::MapSet { tables }).unwrap(), []);
    expansion
}

fn start(parallel_tables: usize) -> Event {
    Event::Start { parallel_tables, now_ms: 0, deadline_ms: None }
}

fn rolled_back() -> [Step; 3] {
    [Step::SetMap(plan().old_map), Step::MoveNewTables, Step::DropRecord]
}

const T1: TableId = TableId(1);
const T2: TableId = TableId(2);
const T3: TableId = TableId(3);

#[test]
fn tables_move_by_rank_a_few_at_once() {
    let mut expansion = set_up();
    assert_eq!(expansion.status(), ExpansionStatus::SetupDone);
    assert_eq!(expansion.step(start(2)).unwrap(), [Step::MoveTable(T3), Step::MoveTable(T1)]);
    assert_eq!(expansion.bytes_done_and_left(), (0, 60));
    assert_eq!(expansion.step(Event::TableMoved(T3)).unwrap(), [Step::MoveTable(T2)]);
    assert_eq!(expansion.bytes_done_and_left(), (30, 30));
    assert_eq!(expansion.step(Event::TableMoved(T2)).unwrap(), []);
    assert_eq!(expansion.status(), ExpansionStatus::Started);
    assert_eq!(expansion.step(Event::TableMoved(T1)).unwrap(), []);
    assert_eq!(expansion.status(), ExpansionStatus::Complete);
    assert_eq!(expansion.step(Event::Clean { is_confirmed: false }).unwrap(), [Step::DropRecord]);
}

#[test]
fn a_stop_abandons_what_moves_and_a_start_takes_it_up() {
    let mut expansion = set_up();
    expansion.step(start(2)).unwrap();
    assert_eq!(expansion.step(Event::Stop).unwrap(), [Step::CancelTable(T3), Step::CancelTable(T1)]);
    assert_eq!(expansion.status(), ExpansionStatus::Started, "until both have answered");
    // The commit was faster than the cancel.
    assert_eq!(expansion.step(Event::TableMoved(T3)).unwrap(), []);
    assert_eq!(expansion.step(Event::TableFailed(T1)).unwrap(), []);
    assert_eq!(expansion.status(), ExpansionStatus::Stopped);
    assert_eq!(expansion.step(start(3)).unwrap(), [Step::MoveTable(T1), Step::MoveTable(T2)]);
}

#[test]
fn the_deadline_stops_once() {
    let mut expansion = set_up();
    expansion.step(Event::Start { parallel_tables: 1, now_ms: 0, deadline_ms: Some(100) }).unwrap();
    assert_eq!(expansion.step(Event::Tick { now_ms: 99 }).unwrap(), []);
    assert_eq!(expansion.step(Event::Tick { now_ms: 100 }).unwrap(), [Step::CancelTable(T3)]);
    assert_eq!(expansion.step(Event::Tick { now_ms: 101 }).unwrap(), []);
    expansion.step(Event::TableFailed(T3)).unwrap();
    assert_eq!(expansion.status(), ExpansionStatus::Stopped);
}

#[test]
fn a_failed_table_waits_for_the_next_start() {
    let mut expansion = set_up();
    expansion.step(start(1)).unwrap();
    assert_eq!(expansion.step(Event::TableFailed(T3)).unwrap(), [Step::MoveTable(T1)]);
    assert_eq!(expansion.step(Event::TableMoved(T1)).unwrap(), [Step::MoveTable(T2)]);
    assert_eq!(expansion.step(Event::TableMoved(T2)).unwrap(), []);
    assert_eq!(expansion.status(), ExpansionStatus::Stopped);
    assert_eq!(expansion.step(start(1)).unwrap(), [Step::MoveTable(T3)]);
}

#[test]
fn a_dropped_table_is_no_longer_waited_for() {
    let mut expansion = set_up();
    expansion.step(start(1)).unwrap();
    assert_eq!(expansion.step(Event::TableDropped(T1)).unwrap(), []);
    assert_eq!(expansion.step(Event::TableDropped(T3)).unwrap(), [Step::MoveTable(T2)]);
    assert_eq!(expansion.step(Event::TableMoved(T2)).unwrap(), []);
    assert_eq!(expansion.status(), ExpansionStatus::Complete);
    assert_eq!(expansion.bytes_done_and_left(), (20, 0));
}

#[test]
fn a_deadline_that_is_past_begins_nothing() {
    let mut expansion = set_up();
    let late = Event::Start { parallel_tables: 2, now_ms: 100, deadline_ms: Some(100) };
    assert_eq!(expansion.step(late).unwrap(), []);
    assert_eq!(expansion.status(), ExpansionStatus::Stopped);
    assert_eq!(expansion.step(start(1)).unwrap(), [Step::MoveTable(T3)]);
}

#[test]
fn the_user_ranks_what_has_not_begun() {
    let mut expansion = set_up();
    expansion.rank(&BTreeMap::from([(T2, -1), (TableId(9), 0)]));
    assert_eq!(expansion.step(start(1)).unwrap(), [Step::MoveTable(T2)]);
    expansion.rank(&BTreeMap::from([(T2, 7), (T1, 0)]));
    assert_eq!(expansion.tables().iter().map(|t| (t.table, t.rank)).collect::<Vec<_>>(), [(T2, -1), (T1, 0), (T3, 1)]);
    assert_eq!(expansion.step(Event::TableMoved(T2)).unwrap(), [Step::MoveTable(T1)]);
}

#[test]
fn tables_that_are_found_late_are_moved_too() {
    let mut expansion = set_up();
    expansion.step(Event::TablesFound(vec![table(1, 9), table(4, 0)])).unwrap();
    assert_eq!(expansion.step(start(4)).unwrap().len(), 4);
    for table in [1, 2, 3, 4] {
        expansion.step(Event::TableMoved(TableId(table))).unwrap();
    }
    assert_eq!(expansion.status(), ExpansionStatus::Complete);
    expansion.step(Event::TablesFound(vec![table(4, 0)])).unwrap();
    assert_eq!(expansion.status(), ExpansionStatus::Complete, "it is known");
    expansion.step(Event::TablesFound(vec![table(5, 0)])).unwrap();
    assert_eq!(expansion.status(), ExpansionStatus::Stopped);
    assert_eq!(expansion.step(start(1)).unwrap(), [Step::MoveTable(TableId(5))]);
}

#[test]
fn a_rollback_is_possible_until_a_table_has_moved() {
    let (mut expansion, _) = Expansion::new(plan());
    assert_eq!(expansion.step(Event::Rollback).unwrap(), rolled_back());

    let mut expansion = set_up();
    expansion.step(start(1)).unwrap();
    expansion.step(Event::Stop).unwrap();
    expansion.step(Event::TableFailed(T3)).unwrap();
    assert_eq!(expansion.step(Event::Rollback).unwrap(), rolled_back());
    assert_eq!(expansion.status(), ExpansionStatus::RollingBack);
    // Its driver died: it goes on, and nothing else does.
    assert_eq!(expansion.recover(), []);
    assert!(expansion.step(start(1)).is_err());
    assert_eq!(expansion.step(Event::Rollback).unwrap(), rolled_back());

    let mut expansion = set_up();
    expansion.step(start(1)).unwrap();
    expansion.step(Event::Stop).unwrap();
    expansion.step(Event::TableMoved(T3)).unwrap();
    assert_eq!(expansion.step(Event::Rollback), Err(ExpansionError::TablesMoved(1)));
    assert_eq!(expansion.status(), ExpansionStatus::Stopped);
}

#[test]
fn the_record_goes_early_only_if_that_is_confirmed() {
    let mut expansion = set_up();
    let error = expansion.step(Event::Clean { is_confirmed: false }).unwrap_err();
    assert_eq!(
        error.to_string(),
        "tables that are not laid out by the new map: 3; the expansion's status is SETUP DONE"
    );
    assert_eq!(expansion.step(Event::Clean { is_confirmed: true }).unwrap(), [Step::DropRecord]);
}

#[test]
fn no_tables_are_complete_at_once() {
    let (mut expansion, _) = Expansion::new(plan());
    expansion.step(Event::MapSet { tables: vec![] }).unwrap();
    assert_eq!(expansion.step(start(1)).unwrap(), []);
    assert_eq!(expansion.status(), ExpansionStatus::Complete);
}

#[test]
fn without_new_segments_only_the_map_is_set() {
    let plan = Plan { segments: vec![], ..plan() };
    let (_, steps) = Expansion::new(plan.clone());
    assert_eq!(steps, [Step::SetMap(plan.new_map)]);
}

#[test]
fn a_crash_repeats_set_up_and_stops_the_moves() {
    let (mut expansion, steps) = Expansion::new(plan());
    assert_eq!(expansion.recover(), steps);

    let mut expansion = set_up();
    expansion.step(start(2)).unwrap();
    let stored = serde_json::to_string(&expansion).unwrap();
    let mut expansion: Expansion = serde_json::from_str(&stored).unwrap();
    assert_eq!(expansion.recover(), []);
    assert_eq!(expansion.status(), ExpansionStatus::Stopped);
    assert!(expansion.tables().iter().all(|t| t.status == TableStatus::NotStarted));
    assert_eq!(expansion.step(start(1)).unwrap(), [Step::MoveTable(T3)]);
}

#[test]
fn events_out_of_turn_are_refused() {
    let (mut expansion, _) = Expansion::new(plan());
    let text = |result: Result<Vec<Step>, ExpansionError>| result.unwrap_err().to_string();
    assert_eq!(text(expansion.step(start(1))), "a start is not possible: the expansion's status is SETUP");
    let clean = Event::Clean { is_confirmed: true };
    assert_eq!(text(expansion.step(clean)), "cleaning up is not possible: the expansion's status is SETUP");

    let mut expansion = set_up();
    let before = expansion.clone();
    let map_set = Event::MapSet { tables: vec![] };
    assert_eq!(text(expansion.step(map_set)), "a new map is not possible: the expansion's status is SETUP DONE");
    assert_eq!(text(expansion.step(Event::Stop)), "a stop is not possible: the expansion's status is SETUP DONE");
    assert_eq!(text(expansion.step(start(0))), "1 to 96 tables can be moved at once, not 0");
    assert_eq!(text(expansion.step(start(97))), "1 to 96 tables can be moved at once, not 97");
    assert_eq!(text(expansion.step(Event::TableMoved(T1))), "table t1 is NOT STARTED, not IN PROGRESS");
    assert_eq!(text(expansion.step(Event::TableMoved(TableId(9)))), "the expansion does not move table t9");
    assert_eq!(expansion, before);
}

fn event() -> impl Strategy<Value = Event> {
    let table = || (1..6u64).prop_map(TableId);
    prop_oneof![
        (1..4usize, proptest::option::of(0..100u64)).prop_map(|(parallel_tables, deadline_ms)| Event::Start {
            parallel_tables,
            now_ms: 50,
            deadline_ms
        }),
        table().prop_map(|id| Event::TablesFound(vec![TableProgress::new(id, 3, 1)])),
        Just(Event::Stop),
        (0..100u64).prop_map(|now_ms| Event::Tick { now_ms }),
        table().prop_map(Event::TableMoved),
        table().prop_map(Event::TableFailed),
        table().prop_map(Event::TableDropped),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_the_record_is_consistent(events in proptest::collection::vec(event(), 0..80)) {
        let tables = (1..5).map(|id| TableProgress::new(TableId(id), id as i32, id)).collect();
        let (mut expansion, _) = Expansion::new(plan());
        expansion.step(Event::MapSet { tables }).unwrap();
        let mut parallel = 1;
        for event in events {
            if let (Event::Start { parallel_tables, .. }, Ok(_)) = (event.clone(), expansion.step(event)) {
                parallel = parallel_tables;
            }
            let moving = expansion.tables().iter().filter(|t| t.status == TableStatus::InProgress).count();
            let all_final = expansion.tables().iter().all(|t| t.status.is_final());
            prop_assert!(moving <= parallel);
            match expansion.status() {
                ExpansionStatus::Complete => prop_assert!(all_final),
                ExpansionStatus::Started => prop_assert!(moving > 0),
                _ => prop_assert_eq!(moving, 0),
            }
        }
        // From wherever it is, it can be brought to its end.
        expansion.recover();
        while expansion.status() != ExpansionStatus::Complete {
            let mut steps = expansion.step(start(2)).unwrap();
            while let Some(step) = steps.pop() {
                let Step::MoveTable(table) = step else { panic!("{step:?}") };
                steps.extend(expansion.step(Event::TableMoved(table)).unwrap());
            }
        }
    }
}
