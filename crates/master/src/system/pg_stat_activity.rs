//! `pg_stat_activity`: clients' sessions. What others run only superusers see, and members of their roles.

use super::PG_CATALOG;
use super::cells::{Cell, Row, integer, oid, row, text, time};
use super::oids;
use super::pg_roles::of_role;
use super::table::{SystemContext, SystemTable};
use crate::session::ActivityRow;
use crate::sql::DATABASE;
use std::time::SystemTime;

pub(super) const STAT_ACTIVITY: SystemTable = SystemTable {
    schema_name: PG_CATALOG,
    name: "pg_stat_activity",
    columns: &[
        oid("datid"),
        text("datname"),
        oid("pid"),
        integer("leader_pid"),
        oid("usesysid"),
        text("usename"),
        text("application_name"),
        text("client_addr"),
        text("client_hostname"),
        integer("client_port"),
        time("backend_start"),
        time("xact_start"),
        time("query_start"),
        time("state_change"),
        text("wait_event_type"),
        text("wait_event"),
        text("state"),
        text("query"),
        text("backend_type"),
    ],
    rows,
};

fn rows(context: &SystemContext) -> Vec<Row> {
    let row = |session: &ActivityRow| {
        let may_see = context.state.inherits(context.role, session.role);
        // Greenplum's type, and the setting that has it wait.
        let wait = |what: &'static str| if session.is_queued { what.into() } else { Cell::Null };
        let seen = |cell: Cell| if may_see { cell } else { Cell::Null };
        row![
            oids::DATABASE_OID,
            DATABASE,
            session.pid,
            Cell::Null,
            of_role(session.role),
            session.user.as_str(),
            session.application.as_str(),
            seen(session.client.map(|client| client.to_canonical().to_string()).into()),
            Cell::Null,
            Cell::Null,
            seen(micros(session.started)),
            Cell::Null,
            seen(session.query_start.map_or(Cell::Null, micros)),
            seen(micros(session.state_change)),
            seen(wait("ResourceQueue")),
            seen(wait("max_active_statements")),
            seen(session.state.into()),
            if may_see { session.query.as_str() } else { "<insufficient privilege>" },
            "client backend",
        ]
    };
    context.sessions.iter().map(row).collect()
}

fn micros(time: SystemTime) -> Cell {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Cell::Int(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
