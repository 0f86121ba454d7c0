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

/// Tables 1, 2, 3 of 10, 20, 30 bytes; 3 has the lowest rank.
fn set_up() -> Expansion {
    let table = |id, rank| TableProgress::new(TableId(id), rank, id * 10);
    let (mut expansion, steps) = Expansion::new(vec![segment()], vec![table(1, 5), table(2, 5), table(3, 1)]);
    assert_eq!(steps, [Step::AddSegments(vec![segment()])]);
    assert_eq!(expansion.step(Event::SegmentsAdded).unwrap(), []);
    expansion
}

fn start(parallel_tables: usize) -> Event {
    Event::Start { parallel_tables, deadline_ms: None }
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
    assert_eq!(expansion.step(Event::Clean).unwrap(), [Step::DropRecord]);
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
    expansion.step(Event::Start { parallel_tables: 1, deadline_ms: Some(100) }).unwrap();
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
fn no_tables_are_complete_at_once() {
    let (mut expansion, _) = Expansion::new(vec![segment()], vec![]);
    expansion.step(Event::SegmentsAdded).unwrap();
    assert_eq!(expansion.step(start(1)).unwrap(), []);
    assert_eq!(expansion.status(), ExpansionStatus::Complete);
}

#[test]
fn a_crash_repeats_set_up_and_stops_the_moves() {
    let (mut expansion, _) = Expansion::new(vec![segment()], vec![]);
    assert_eq!(expansion.recover(), [Step::AddSegments(vec![segment()])]);

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
    let (mut expansion, _) = Expansion::new(vec![segment()], vec![]);
    let text = |result: Result<Vec<Step>, ExpansionError>| result.unwrap_err().to_string();
    assert_eq!(text(expansion.step(start(1))), "a start is not possible: the expansion's status is SETUP");
    assert_eq!(expansion.step(Event::Rollback).unwrap(), [Step::RemoveSegments(vec![segment()]), Step::DropRecord]);

    let mut expansion = set_up();
    let before = expansion.clone();
    assert_eq!(
        text(expansion.step(Event::Rollback)),
        "a rollback is not possible: the expansion's status is SETUP DONE"
    );
    assert_eq!(text(expansion.step(Event::Stop)), "a stop is not possible: the expansion's status is SETUP DONE");
    assert_eq!(text(expansion.step(Event::Clean)), "cleaning up is not possible: the expansion's status is SETUP DONE");
    assert_eq!(text(expansion.step(start(0))), "1 to 96 tables can be moved at once, not 0");
    assert_eq!(text(expansion.step(start(97))), "1 to 96 tables can be moved at once, not 97");
    assert_eq!(text(expansion.step(Event::TableMoved(T1))), "table t1 is NOT STARTED, not IN PROGRESS");
    assert_eq!(text(expansion.step(Event::TableMoved(TableId(9)))), "the expansion does not move table t9");
    assert_eq!(expansion, before);
}

fn event() -> impl Strategy<Value = Event> {
    let table = || (1..6u64).prop_map(TableId);
    prop_oneof![
        (1..4usize, proptest::option::of(0..100u64))
            .prop_map(|(parallel_tables, deadline_ms)| Event::Start { parallel_tables, deadline_ms }),
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
        let tables = (1..6).map(|id| TableProgress::new(TableId(id), id as u32, id)).collect();
        let (mut expansion, _) = Expansion::new(vec![segment()], tables);
        expansion.step(Event::SegmentsAdded).unwrap();
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
