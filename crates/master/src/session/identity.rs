//! Whose value an identity column takes.

use crate::error::{SqlError, SqlResult, SqlState};
use crate::sql::Overriding;
use damson_cluster::{ColumnDef, Identity};

/// Whether a column takes the value that a statement gives, or that of its sequence.
///
/// # Errors
/// 428C9 where it may not be given one.
pub(super) fn takes_given(column: &ColumnDef, overriding: Option<Overriding>) -> SqlResult<bool> {
    match (column.identity, overriding) {
        (None, _) | (Some(_), Some(Overriding::System)) | (Some(Identity::ByDefault), None) => Ok(true),
        (Some(_), Some(Overriding::User)) => Ok(false),
        (Some(Identity::Always), None) => {
            let message = format!("cannot insert a non-DEFAULT value into column \"{}\"", column.name);
            let error = SqlError::new(SqlState::GENERATED_ALWAYS, message).with_detail(detail(column));
            Err(error.with_hint("Use OVERRIDING SYSTEM VALUE to override."))
        }
    }
}

/// # Errors
/// 428C9 for a column that UPDATE can only set to DEFAULT.
pub(super) fn check_updatable(column: &ColumnDef) -> SqlResult<()> {
    if column.identity != Some(Identity::Always) {
        return Ok(());
    }
    let message = format!("column \"{}\" can only be updated to DEFAULT", column.name);
    Err(SqlError::new(SqlState::GENERATED_ALWAYS, message).with_detail(detail(column)))
}

fn detail(column: &ColumnDef) -> String {
    format!("Column \"{}\" is an identity column defined as GENERATED ALWAYS.", column.name)
}
