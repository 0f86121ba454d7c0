//! Ways to run a statement.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// PostgreSQL's extended protocol: Bind, Execute, Sync of a prepared statement.
    PostgresPrepared,
    /// PostgreSQL's simple protocol: one Query, with the key in its text.
    PostgresSimple,
    /// Flight SQL: the parameter's DoPut if there is one, GetFlightInfo, DoGet.
    FlightPrepared,
    /// Flight SQL: GetFlightInfo with the key in the text, DoGet.
    Flight,
}

/// In the report's order.
pub const WAYS: [Way; 4] = [Way::PostgresPrepared, Way::PostgresSimple, Way::FlightPrepared, Way::Flight];

impl Way {
    pub fn title(self) -> &'static str {
        match self {
            Way::PostgresPrepared => "PostgreSQL, prepared",
            Way::PostgresSimple => "PostgreSQL, simple",
            Way::FlightPrepared => "Flight SQL, prepared",
            Way::Flight => "Flight SQL",
        }
    }

    pub fn is_prepared(self) -> bool {
        matches!(self, Way::PostgresPrepared | Way::FlightPrepared)
    }
}
