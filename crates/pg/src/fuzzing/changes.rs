//! Changes of good bytes, so that few bytes of a fuzzer reach deep into what is decoded.

/// Changes make bytes at most so much longer.
const GROWTH_BYTES_MAX: usize = 4 << 10;

/// Numbers that lengths and counts are mistaken for.
const NUMBERS: [u32; 8] = [0, 1, 2, 0x7fff, 0xffff, i32::MAX as u32, 1 << 31, u32::MAX];

/// Applies changes of four bytes each: where, where, how, what.
pub fn edited(good: &[u8], changes: &[u8]) -> Vec<u8> {
    let mut bytes = good.to_vec();
    for &[low, high, how, what] in changes.as_chunks::<4>().0 {
        let Some(last) = bytes.len().checked_sub(1) else { break };
        let at = usize::from(u16::from_le_bytes([low, high])) % (last + 1);
        let may_grow = bytes.len() <= good.len() + GROWTH_BYTES_MAX;
        match how % 7 {
            0 => bytes[at] = what,
            1 => bytes[at] ^= what,
            2 => {
                bytes.remove(at);
            }
            3 => bytes.truncate(at),
            4 => {
                let number = NUMBERS[usize::from(what) % NUMBERS.len()].to_be_bytes();
                bytes.iter_mut().skip(at).zip(number).for_each(|(byte, new)| *byte = new);
            }
            5 if may_grow => bytes.insert(at, what),
            6 if may_grow => {
                let copy = bytes[at..(at + usize::from(what)).min(bytes.len())].to_vec();
                bytes.splice(at..at, copy);
            }
            _ => {}
        }
    }
    bytes
}
