//! The gRPC service: arrow-flight's dispatch of [`SqlService`], with errors that blame who is to blame.

use super::results::Messages;
use super::service::SqlService;
use super::status::blame_the_request;
use arrow_flight::flight_service_server::FlightService;
use arrow_flight::{
    Action, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest, PollInfo, SchemaResult, Ticket,
};
use tonic::{Request, Response, Status, Streaming};

/// The calls of [`Routes`](super::routes::Routes).
pub(super) struct Front(pub SqlService);

type Answer<T> = Result<Response<T>, Status>;

impl Front {
    pub(super) async fn handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Answer<<SqlService as FlightService>::HandshakeStream> {
        FlightService::handshake(&self.0, request).await.map_err(blame_the_request)
    }

    pub(super) async fn list_flights(
        &self,
        request: Request<Criteria>,
    ) -> Answer<<SqlService as FlightService>::ListFlightsStream> {
        self.0.list_flights(request).await.map_err(blame_the_request)
    }

    pub(super) async fn get_flight_info(&self, request: Request<FlightDescriptor>) -> Answer<FlightInfo> {
        self.0.get_flight_info(request).await.map_err(blame_the_request)
    }

    pub(super) async fn poll_flight_info(&self, request: Request<FlightDescriptor>) -> Answer<PollInfo> {
        self.0.poll_flight_info(request).await.map_err(blame_the_request)
    }

    pub(super) async fn get_schema(&self, request: Request<FlightDescriptor>) -> Answer<SchemaResult> {
        let info = self.0.get_flight_info(request).await.map_err(blame_the_request)?;
        Ok(info.map(|info| SchemaResult { schema: info.schema }))
    }

    /// A result leaves in chunks that no general encoder gives.
    pub(super) async fn do_get(&self, request: Request<Ticket>) -> Result<Messages, Status> {
        self.0.result(request).await.map_err(blame_the_request)
    }

    pub(super) async fn do_put(
        &self,
        request: Request<Streaming<FlightData>>,
    ) -> Answer<<SqlService as FlightService>::DoPutStream> {
        self.0.do_put(request).await.map_err(blame_the_request)
    }

    pub(super) async fn do_exchange(
        &self,
        request: Request<Streaming<FlightData>>,
    ) -> Answer<<SqlService as FlightService>::DoExchangeStream> {
        self.0.do_exchange(request).await.map_err(blame_the_request)
    }

    pub(super) async fn do_action(
        &self,
        request: Request<Action>,
    ) -> Answer<<SqlService as FlightService>::DoActionStream> {
        self.0.do_action(request).await.map_err(blame_the_request)
    }

    pub(super) async fn list_actions(
        &self,
        request: Request<Empty>,
    ) -> Answer<<SqlService as FlightService>::ListActionsStream> {
        self.0.list_actions(request).await.map_err(blame_the_request)
    }
}
