//! A bound on the recursion of protobuf decoders.
//!
//! Plans nest deeply, so that prost is built without its own limit. A message that is taken from a stranger must be looked at
//! before it is decoded: a decoder skips an unknown group by calling itself, once a level, and a level costs one byte.

use crate::limits::GROUP_LEVELS_MAX;
use thiserror::Error;

/// Deeper than this, fields of fields are not looked at: no message of Flight or Flight SQL has as many levels.
const MESSAGE_LEVELS_MAX: u32 = 16;
/// `FlightData.data_body` has this number; it and whatever comes after is data.
const DATA_FIELD_MIN: u64 = 1000;

/// A message whose groups nest too deeply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the message nests more than {GROUP_LEVELS_MAX} groups")]
pub struct TooDeep;

/// Looks at a whole message, and at each of its fields as if it were one too: which are is not known here. So a text that
/// reads as a thousand nested groups is refused as well; none does by chance. Takes time in the length of the message.
///
/// # Errors
/// Groups nest too deeply for a decoder's stack.
pub fn refuse_deep_nesting(message: &[u8]) -> Result<(), TooDeep> {
    look_at(message, 0)
}

/// What is malformed ends the look without an error: a decoder gets no further either, and says why.
fn look_at(mut rest: &[u8], level: u32) -> Result<(), TooDeep> {
    let mut groups = 0;
    while let Some(key) = varint(&mut rest) {
        let length = match key & 7 {
            0 => match varint(&mut rest) {
                Some(_) => 0,
                None => return Ok(()),
            },
            1 => 8,
            2 => match varint(&mut rest) {
                Some(length) => length,
                None => return Ok(()),
            },
            3 => {
                groups += 1;
                if groups > GROUP_LEVELS_MAX {
                    return Err(TooDeep);
                }
                0
            }
            4 if groups > 0 => {
                groups -= 1;
                0
            }
            5 => 4,
            _ => return Ok(()),
        };
        let Some((field, after)) = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length)) else {
            return Ok(());
        };
        // Within a group, fields are skipped whole.
        if key & 7 == 2 && groups == 0 && key >> 3 < DATA_FIELD_MIN && level < MESSAGE_LEVELS_MAX {
            look_at(field, level + 1)?;
        }
        rest = after;
    }
    Ok(())
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for (at, byte) in rest.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            *rest = &rest[at + 1..];
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_flight::{Action, FlightData, FlightDescriptor, Ticket};
    use prost::Message;

    /// Field 1, group, opened so many times.
    fn groups(levels: usize) -> Vec<u8> {
        vec![0x0b; levels]
    }

    #[test]
    fn groups_are_counted_wherever_a_decoder_would_descend() {
        let deep = groups(GROUP_LEVELS_MAX as usize + 1);
        assert_eq!(refuse_deep_nesting(&deep), Err(TooDeep));
        assert_eq!(refuse_deep_nesting(&groups(GROUP_LEVELS_MAX as usize)), Ok(()));
        // Opened and closed again, one after the other.
        assert_eq!(refuse_deep_nesting(&[0x0b, 0x0c].repeat(100_000)), Ok(()));
        let ticket = Ticket { ticket: deep.clone().into() }.encode_to_vec();
        assert_eq!(refuse_deep_nesting(&ticket), Err(TooDeep));
        let descriptor = FlightDescriptor { r#type: 2, cmd: ticket.into(), path: vec![] };
        let data = FlightData { flight_descriptor: Some(descriptor), ..Default::default() };
        assert_eq!(refuse_deep_nesting(&data.encode_to_vec()), Err(TooDeep));
    }

    #[test]
    fn data_and_ordinary_requests_pass() {
        let data = FlightData { data_body: groups(1 << 20).into(), ..Default::default() };
        assert_eq!(refuse_deep_nesting(&data.encode_to_vec()), Ok(()));
        let text = "SELECT 'kkkkkkk' || chr(11) FROM ssss -- c#+3; CREATE TABLE k".repeat(1000);
        let action = Action { r#type: "CreatePreparedStatement".into(), body: text.into() };
        assert_eq!(refuse_deep_nesting(&action.encode_to_vec()), Ok(()));
        assert_eq!(refuse_deep_nesting(&[]), Ok(()));
        assert_eq!(refuse_deep_nesting(&[0xff; 64]), Ok(()));
    }
}
