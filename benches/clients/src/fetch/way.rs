//! Ways to get the rows.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// ADBC's driver, all rows from the master.
    Flight,
    /// The same, an endpoint for each segment.
    FlightParallel,
    PgJdbc,
    Psycopg,
    /// In its own process, without a protocol: the ceiling.
    DuckDb,
}

/// In the report's order.
pub const WAYS: [Way; 5] = [Way::Flight, Way::FlightParallel, Way::PgJdbc, Way::Psycopg, Way::DuckDb];

impl Way {
    pub fn title(self) -> &'static str {
        match self {
            Way::Flight => "ADBC Flight SQL",
            Way::FlightParallel => "ADBC, endpoint per segment",
            Way::PgJdbc => "pgjdbc",
            Way::Psycopg => "psycopg 3, binary",
            Way::DuckDb => "DuckDB in process",
        }
    }

    pub fn is_flight(self) -> bool {
        matches!(self, Way::Flight | Way::FlightParallel)
    }

    /// Whether the PostgreSQL protocol carries the rows.
    pub fn is_postgres(self) -> bool {
        matches!(self, Way::PgJdbc | Way::Psycopg)
    }
}
