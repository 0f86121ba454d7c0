//! Actions beyond Flight SQL's own: cancel by `FlightInfo`, and the end of a session.

use super::clients::Client;
use super::protocol::{CANCEL_FLIGHT_INFO, CLOSE_SESSION, GET_SESSION_OPTIONS, SET_SESSION_OPTIONS};
use super::status::violation;
use arrow_flight::sql::{Any, CommandPreparedStatementQuery, TicketStatementQuery};
use arrow_flight::{ActionType, CancelStatus, FlightInfo, Ticket};
use prost::Message;
use tonic::Status;
use uuid::Uuid;

/// `CloseSessionResult { status: CLOSED }`, which arrow-flight does not have.
pub(super) const SESSION_CLOSED: &[u8] = &[0x08, 0x01];
/// `CloseSessionResult { status: NOT_CLOSEABLE }`.
pub(super) const SESSION_NOT_CLOSEABLE: &[u8] = &[0x08, 0x03];

pub(super) fn action_types() -> Vec<ActionType> {
    let action = |name: &str, description: &str| ActionType { r#type: name.into(), description: description.into() };
    vec![
        action(
            CANCEL_FLIGHT_INFO,
            "Cancels a statement. Request: CancelFlightInfoRequest. Answer: CancelFlightInfoResult.",
        ),
        action(
            SET_SESSION_OPTIONS,
            "Sets settings of the session. Request: SetSessionOptionsRequest. Answer: SetSessionOptionsResult.",
        ),
        action(
            GET_SESSION_OPTIONS,
            "Lists the settings of the session. Request: GetSessionOptionsRequest. Answer: GetSessionOptionsResult.",
        ),
        action(CLOSE_SESSION, "Ends the session and what it runs. Request: empty. Answer: CloseSessionResult."),
    ]
}

/// Cancels the statement that a `FlightInfo` was given for, or forgets it if it did not start.
///
/// # Errors
/// InvalidArgument if the info is not of a statement.
pub(super) fn cancel(client: &Client, info: &FlightInfo) -> Result<CancelStatus, Status> {
    let mut cancelled = false;
    for handle in handles_of(info)? {
        cancelled |= client.statements.cancel(handle) || client.statements.close(handle);
    }
    Ok(if cancelled { CancelStatus::Cancelled } else { CancelStatus::NotCancellable })
}

/// One at least.
fn handles_of(info: &FlightInfo) -> Result<Vec<Uuid>, Status> {
    let tickets = info.endpoint.iter().filter_map(|endpoint| endpoint.ticket.as_ref());
    let handles = tickets.map(handle_of).collect::<Result<Vec<_>, _>>()?;
    if handles.is_empty() { Err(violation("the flight has no ticket")) } else { Ok(handles) }
}

fn handle_of(ticket: &Ticket) -> Result<Uuid, Status> {
    let any = Any::decode(&*ticket.ticket).map_err(|e| violation(format!("undecodable ticket: {e}")))?;
    let unpacked = |e: arrow::error::ArrowError| violation(format!("undecodable ticket: {e}"));
    if let Some(ticket) = any.unpack::<TicketStatementQuery>().map_err(unpacked)? {
        return parse_handle(&ticket.statement_handle);
    }
    match any.unpack::<CommandPreparedStatementQuery>().map_err(unpacked)? {
        Some(command) => parse_handle(&command.prepared_statement_handle),
        None => Err(violation("the ticket is not a statement's")),
    }
}

pub(super) fn parse_handle(bytes: &[u8]) -> Result<Uuid, Status> {
    Uuid::from_slice(bytes).map_err(|_| violation("a statement handle has 16 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_flight::FlightEndpoint;
    use arrow_flight::sql::ProstMessageExt;

    fn info(ticket: Vec<u8>) -> FlightInfo {
        FlightInfo::new().with_endpoint(FlightEndpoint::new().with_ticket(Ticket::new(ticket)))
    }

    #[test]
    fn handles_are_found_in_tickets() {
        let handle = Uuid::new_v4();
        let bytes = prost::bytes::Bytes::copy_from_slice(handle.as_bytes());
        let once = TicketStatementQuery { statement_handle: bytes.clone() }.as_any().encode_to_vec();
        assert_eq!(handles_of(&info(once.clone())).unwrap(), [handle]);
        let two = info(once.clone()).with_endpoint(FlightEndpoint::new().with_ticket(Ticket::new(once)));
        assert_eq!(handles_of(&two).unwrap(), [handle, handle]);
        let prepared = CommandPreparedStatementQuery { prepared_statement_handle: bytes }.as_any().encode_to_vec();
        assert_eq!(handles_of(&info(prepared)).unwrap(), [handle]);
    }

    #[test]
    fn garbage_is_refused() {
        let short = TicketStatementQuery { statement_handle: vec![1, 2].into() }.as_any().encode_to_vec();
        for info in [FlightInfo::new(), info(vec![]), info(vec![0xff; 40]), info(short)] {
            assert_eq!(handles_of(&info).unwrap_err().code(), tonic::Code::InvalidArgument);
        }
    }
}
