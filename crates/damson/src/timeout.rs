//! A time among a server's options: milliseconds, or with a unit, as SQL's settings are written.

use damson_master::duration_of_text;
use serde::Deserialize;
use std::str::FromStr;
use std::time::Duration;

/// `1500`, `30s`, `10min`, `1h`, `1d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Timeout(pub Duration);

impl FromStr for Timeout {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let duration = duration_of_text(text).map(Timeout);
        duration.ok_or_else(|| "it is a time: milliseconds, or a number with ms, s, min, h or d".into())
    }
}

impl TryFrom<String> for Timeout {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        assert_eq!("1500".parse(), Ok(Timeout(Duration::from_millis(1500))));
        assert_eq!("10min".parse(), Ok(Timeout(Duration::from_secs(600))));
        assert!("soon".parse::<Timeout>().is_err());
        assert!("-1".parse::<Timeout>().is_err());
    }
}
