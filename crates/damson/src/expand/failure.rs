//! Why an expansion does not go on, and what can be done.

use crate::shell::Failure;
use damson_cluster::ContentId;
use damson_gpexpand::{ExpansionError, ExpansionStatus, InputError, MovesError};
use std::io;
use std::path::PathBuf;
use thiserror::Error;

#[derive(Debug, Error)]
pub(super) enum ExpandFailure {
    /// The server's, the connection's, or Ctrl-C.
    #[error(transparent)]
    Session(#[from] Failure),
    #[error("{path}: {source}")]
    Input { path: PathBuf, source: InputError },
    #[error("{path}: {source}")]
    File { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Moves(#[from] MovesError),
    #[error(transparent)]
    NotNow(#[from] ExpansionError),
    #[error("no expansion is set up")]
    NothingSetUp,
    #[error("an expansion is set up already: its status is {0}")]
    SetUpAlready(ExpansionStatus),
    #[error("a rollback of the expansion was begun")]
    RollingBack,
    #[error("there is nothing to do: every segment owns the buckets that it should, and every table is laid out so")]
    NothingToDo,
    #[error("the bucket map is not the expansion's any more: somebody has altered it")]
    MapAltered { ours: String },
    #[error("{0} is to be a mirror: mirrors are not supported")]
    Mirror(ContentId),
    #[error("{0} is not an address of this host")]
    NotThisHost(String),
    #[error("the master does not say where segments reach it")]
    NoMasterAddress,
    #[error("master and segments of this cluster are one process, which segments of other processes cannot join")]
    OneProcess,
    #[error("segments that statements are given to are down: {}", spoken(.down))]
    SegmentsDown { down: Vec<ContentId> },
    #[error("{content} ended: {log}")]
    SegmentEnded { content: ContentId, log: String },
    #[error("not there after {waited}: {}", spoken(.missing))]
    SegmentsMissing { missing: Vec<ContentId>, waited: String },
    #[error("another expansion tool is at work")]
    AtWork,
    #[error("{failed} of {left} tables that are left could not be moved")]
    TablesFailed { failed: usize, left: usize },
    #[error("the expansion's record cannot be read: {0}")]
    Record(#[from] serde_json::Error),
    #[error("the answer of the server is not what was asked for: {0}")]
    Answer(&'static str),
    #[error("cannot use the terminal: {0}")]
    Terminal(#[source] io::Error),
}

impl ExpandFailure {
    /// What the user can do.
    pub(super) fn hint(&self) -> Option<String> {
        Some(match self {
            ExpandFailure::NothingSetUp => {
                "Set one up with -i FILE, --segments N, --remove or --rebalance; on a terminal, \"damson expand\" asks.".into()
            }
            ExpandFailure::SetUpAlready(ExpansionStatus::Complete) => {
                "It is complete: \"damson expand -c\" drops its record.".into()
            }
            ExpandFailure::SetUpAlready(_) => {
                "\"damson expand\" goes on with it; \"damson expand -r\" takes it back, while no table has moved.".into()
            }
            ExpandFailure::SegmentsDown { .. } => {
                "They own rows, or have files of a table. Start them again with \"damson segment\".".into()
            }
            ExpandFailure::RollingBack => "\"damson expand -r\" goes on with it.".into(),
            ExpandFailure::MapAltered { ours } => format!(
                "\"ALTER SYSTEM SET bucket_map = '{ours}'\" sets the expansion's again. \"damson expand -c\" forgets the expansion \
                 instead; another one then takes up what it has left."
            ),
            ExpandFailure::NotThisHost(_) => {
                "--segments adds segments on this host; name an address of it with --address, or other hosts with -i FILE."
                    .into()
            }
            ExpandFailure::NoMasterAddress => "Name it with --master HOST:PORT.".into(),
            ExpandFailure::OneProcess => {
                "A cluster of \"damson master\" and \"damson segment\" processes can grow; \"damson backup\" and \"damson restore\" \
                 take the tables to one."
                    .into()
            }
            ExpandFailure::SegmentEnded { .. } | ExpandFailure::SegmentsMissing { .. } => {
                "\"damson expand\" waits again; \"damson expand -r\" takes the expansion back.".into()
            }
            ExpandFailure::AtWork => {
                "Wait for it, or stop it with Ctrl-C. One that was killed is out of the way after half a minute.".into()
            }
            ExpandFailure::NotNow(ExpansionError::TablesMoved(_)) => {
                "Finish it with \"damson expand\" and \"damson expand -c\"; --remove or --rebalance then leads back.".into()
            }
            ExpandFailure::NotNow(ExpansionError::NotComplete { .. }) => {
                "Queries and writes go on as they are; a later expansion takes the tables up. Confirm with -a.".into()
            }
            ExpandFailure::TablesFailed { .. } => {
                "The reasons are above. \"damson expand\" tries again what is left.".into()
            }
            _ => return None,
        })
    }

    /// As psql would show it, with line ends.
    pub(super) fn report(&self) -> String {
        let mut report = match self {
            ExpandFailure::Session(failure) => failure.report(""),
            other => format!("ERROR:  {other}\n"),
        };
        if let Some(hint) = self.hint() {
            report += &format!("HINT:  {hint}\n");
        }
        report
    }
}

/// `seg2, seg3`.
pub(super) fn spoken(contents: &[ContentId]) -> String {
    contents.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
