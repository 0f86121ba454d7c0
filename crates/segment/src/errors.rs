//! A slice's failure as it travels: SQLSTATE and message.

use arrow::error::ArrowError;
use damson_functions::{describe_evaluation, sqlstate_of};
use damson_interconnect::RouteError;
use damson_motion::{SpillError, codes};
use damson_storage::StorageError;
use datafusion::error::DataFusionError;

/// What a receiver of the slice's motions, and so the client, is told of a failure. A route's own error passes through
/// as it is.
pub fn describe(error: &DataFusionError) -> RouteError {
    if let Some(route) = find::<RouteError>(error) {
        return route.clone();
    }
    let (code, message) = code_and_message(error);
    RouteError::Remote { code, message }
}

/// SQLSTATE and message of a failure.
pub(crate) fn code_and_message(error: &DataFusionError) -> (String, String) {
    if let Some(route) = find::<RouteError>(error) {
        return match route {
            RouteError::Remote { code, message } => (code.clone(), message.clone()),
            RouteError::PeerLost { .. } => (codes::CONNECTION_FAILURE.into(), route.to_string()),
            RouteError::Cancelled { .. } => (codes::CANCELLED.into(), route.to_string()),
            _ => (codes::INTERNAL.into(), route.to_string()),
        };
    }
    if let Some(storage) = StorageError::find(error) {
        return (storage.sqlstate().into(), storage.to_string());
    }
    if let Some(spill) = SpillError::find(error) {
        return (spill.sqlstate().into(), spill.to_string());
    }
    if let Some(described) = describe_evaluation(error) {
        return (described.sqlstate.into(), described.message);
    }
    let root = error.find_root();
    let code = match root {
        DataFusionError::ResourcesExhausted(_) => "53200",
        _ => sqlstate_of(error).unwrap_or(codes::INTERNAL),
    };
    let message = match root {
        DataFusionError::ArrowError(arrow, _) if matches!(**arrow, ArrowError::DivideByZero) => {
            "division by zero".into()
        }
        DataFusionError::ArrowError(arrow, _) => arrow.to_string(),
        DataFusionError::External(cause) => cause.to_string(),
        other => other.strip_backtrace(),
    };
    (code.into(), message)
}

/// The error of one type among an error's causes.
fn find<E: std::error::Error + 'static>(error: &DataFusionError) -> Option<&E> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}
