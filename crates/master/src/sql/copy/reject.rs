//! `[LOG ERRORS] SEGMENT REJECT LIMIT n [ROWS | PERCENT]`, and VALIDATE.

use super::options::{Slot, conflict};
use crate::error::{SqlError, SqlResult, SqlState};
use damson_cluster::{OnBadRow, RejectLimit};

/// The smallest limit in rows: with one the first bad row is one too many, as without a limit.
const REJECT_ROWS_MIN: u64 = 2;

/// What was written of bad rows.
#[derive(Default)]
pub(super) struct Reject {
    pub limit: Slot<u64>,
    /// True: PERCENT.
    pub percent: Slot<bool>,
    pub log: Slot<bool>,
    pub validate: Slot<bool>,
}

impl Reject {
    /// The first of it that was written, for statements that do not take it.
    pub(super) fn first(&self) -> Option<(&'static str, usize)> {
        let at = |name, position: Option<usize>| position.map(|position| (name, position));
        at("LOG ERRORS", self.log.as_ref().map(|(_, at)| *at))
            .or(at("REJECT LIMIT", self.limit.as_ref().map(|(_, at)| *at)))
            .or(at("REJECT LIMIT", self.percent.as_ref().map(|(_, at)| *at)))
            .or(at("VALIDATE", self.validate.as_ref().map(|(_, at)| *at)))
    }

    /// # Errors
    /// 22023 for a limit out of its range, and for what contradicts itself; 42601 for LOG ERRORS without a limit.
    pub(super) fn on_bad_row(&self) -> SqlResult<OnBadRow> {
        let log = self.log.filter(|(log, _)| *log);
        if self.validate.is_some_and(|(validate, _)| validate) {
            let other = self.limit.map(|(_, at)| ("REJECT LIMIT", at)).or(log.map(|(_, at)| ("LOG ERRORS", at)));
            return match other {
                Some((name, at)) => Err(conflict(name, "VALIDATE").at(at)),
                None => Ok(OnBadRow::Report),
            };
        }
        let (limit, at) = match (self.limit, log.map(|(_, at)| at).or(self.percent.map(|(_, at)| at))) {
            (Some(limit), _) => limit,
            (None, None) => return Ok(OnBadRow::Fail),
            (None, Some(at)) => {
                let error = SqlError::new(SqlState::SYNTAX_ERROR, "LOG ERRORS needs a SEGMENT REJECT LIMIT").at(at);
                return Err(error.with_hint("LOG ERRORS SEGMENT REJECT LIMIT n [ROWS | PERCENT]"));
            }
        };
        let invalid = |message: String| Err(SqlError::new(SqlState::INVALID_PARAMETER, message).at(at));
        let limit = match self.percent {
            Some((true, _)) => match u8::try_from(limit).ok().filter(|percent| (1..=100).contains(percent)) {
                Some(percent) => RejectLimit::Percent(percent),
                None => {
                    return invalid(format!("segment reject limit in PERCENT must be between 1 and 100 (got {limit})"));
                }
            },
            _ if limit < REJECT_ROWS_MIN => {
                return invalid(format!(
                    "segment reject limit in ROWS must be {REJECT_ROWS_MIN} or larger (got {limit})"
                ));
            }
            _ => RejectLimit::Rows(limit),
        };
        Ok(OnBadRow::Reject { limit, log: log.is_some() })
    }
}
