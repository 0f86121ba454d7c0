//! Bytes of a peer that are not as they should be: whatever comes, the decoders neither panic nor take memory that the bytes
//! do not account for.

use damson_interconnect::fuzzing::{answer, opening, route_stream, valid_answers, valid_openings, valid_streams};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use std::fs;
use std::sync::Once;

/// What the process may take beyond what it has when the tests begin, in addresses: the threads of the tests and their
/// allocators reserve more than they use. A length of a message that is believed takes more.
const ADDRESS_BYTES_MORE: u64 = 2 << 30;

static LIMITED: Once = Once::new();

/// An allocation beyond the limit ends the process, and so the test.
fn limit_memory() {
    LIMITED.call_once(|| {
        let status = fs::read_to_string("/proc/self/status").expect("Linux");
        let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")).expect("a size");
        let kib: u64 = size.trim().trim_end_matches("kB").trim().parse().expect("a number");
        let (_, hard) = getrlimit(Resource::RLIMIT_AS).expect("a limit");
        setrlimit(Resource::RLIMIT_AS, (kib << 10) + ADDRESS_BYTES_MORE, hard).expect("a smaller limit");
    });
}

/// One change of a stream's bytes.
#[derive(Clone, Debug)]
enum Mutation {
    Flip(Index, u8),
    Set(Index, u8),
    /// A number of 4 bytes, as most lengths are; of either order.
    Number(Index, u32, bool),
    Cut(Index),
    Drop(Index, Index),
    /// A part again, elsewhere.
    Copy(Index, Index, Index),
    /// A part of another stream.
    Splice(Index, Index, Index, Index),
    Insert(Index, Vec<u8>),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let at = any::<Index>;
    let number = prop_oneof![Just(0), Just(1), Just(u32::MAX), Just(i32::MAX as u32), Just(1 << 31), any::<u32>()];
    prop_oneof![
        4 => (at(), 0..8u8).prop_map(|(at, bit)| Mutation::Flip(at, 1 << bit)),
        2 => (at(), any::<u8>()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        2 => (at(), number, any::<bool>()).prop_map(|(at, number, order)| Mutation::Number(at, number, order)),
        1 => at().prop_map(Mutation::Cut),
        1 => (at(), at()).prop_map(|(from, to)| Mutation::Drop(from, to)),
        1 => (at(), at(), at()).prop_map(|(from, to, at)| Mutation::Copy(from, to, at)),
        1 => (at(), at(), at(), at()).prop_map(|(other, from, to, at)| Mutation::Splice(other, from, to, at)),
        1 => (at(), vec(any::<u8>(), 1..20)).prop_map(|(at, bytes)| Mutation::Insert(at, bytes)),
    ]
}

fn mutate(bytes: &mut Vec<u8>, mutation: &Mutation, all: &[Vec<u8>]) {
    if bytes.is_empty() {
        return;
    }
    let part = |bytes: &[u8], from: &Index, to: &Index| {
        let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
        from.min(to)..from.max(to)
    };
    match mutation {
        Mutation::Flip(at, bits) => *at.get_mut(bytes) ^= bits,
        Mutation::Set(at, byte) => *at.get_mut(bytes) = *byte,
        Mutation::Number(at, number, is_little) => {
            let number = if *is_little { number.to_le_bytes() } else { number.to_be_bytes() };
            let at = at.index(bytes.len());
            bytes.iter_mut().skip(at).zip(number).for_each(|(byte, new)| *byte = new);
        }
        Mutation::Cut(at) => bytes.truncate(at.index(bytes.len())),
        Mutation::Drop(from, to) => drop(bytes.drain(part(bytes, from, to))),
        Mutation::Copy(from, to, at) => {
            let copy = bytes[part(bytes, from, to)].to_vec();
            let at = at.index(bytes.len());
            bytes.splice(at..at, copy);
        }
        Mutation::Splice(other, from, to, at) => {
            let other = other.get(all);
            let piece = other[part(other, from, to)].to_vec();
            let at = at.index(bytes.len());
            bytes.splice(at..at, piece);
        }
        Mutation::Insert(at, new) => {
            let at = at.index(bytes.len());
            bytes.splice(at..at, new.iter().copied());
        }
    }
}

fn mutated(all: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    (any::<Index>(), vec(mutation(), 1..6)).prop_map(move |(which, mutations)| {
        let mut bytes = which.get(&all).clone();
        mutations.iter().for_each(|mutation| mutate(&mut bytes, mutation, &all));
        bytes
    })
}

#[test]
fn good_streams_are_read() {
    for bytes in valid_streams() {
        let outcome = route_stream(&bytes, std::iter::repeat(7));
        assert!(outcome.batches == 2 && outcome.rows > 3, "{outcome:?}");
        assert_eq!(outcome.error.as_deref().unwrap_or("division by zero"), "division by zero");
    }
    assert!(valid_openings().iter().all(|bytes| opening(bytes)));
    assert!(valid_answers().iter().all(|bytes| answer(bytes)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_streams_are_refused_or_read(bytes in mutated(valid_streams()), pieces in vec(1..200usize, 0..40)) {
        limit_memory();
        let at_once = route_stream(&bytes, []);
        prop_assert_eq!(route_stream(&bytes, pieces), at_once, "however it is cut");
    }

    #[test]
    fn random_streams_are_refused(bytes in vec(any::<u8>(), 1..400)) {
        limit_memory();
        prop_assert!(route_stream(&bytes, []).error.is_some());
    }

    #[test]
    fn damaged_openings_and_answers_are_refused_or_read(
        bytes in mutated([valid_openings(), valid_answers()].concat()),
    ) {
        opening(&bytes);
        answer(&bytes);
    }
}
