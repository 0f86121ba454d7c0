//! Simple queries: a script in one message, run as one transaction unless it says otherwise.

use super::columns::describe;
use super::connection::{Connection, Failed};
use super::run::{Done, Event, Job};
use crate::sql;
use damson_pg::frontend::Formats;
use tokio::io::{AsyncRead, AsyncWrite};

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<S> {
    /// Runs a script and tells how it went; the first error ends it.
    pub(super) async fn simple(&mut self, script: &str) -> Result<(), Failed> {
        // They live up to the next query.
        self.portals.remove("");
        self.statements.remove("");
        // Of what was sent before without Sync.
        self.sync(true).await?;
        let parts = sql::split(script);
        if parts.is_empty() {
            self.wire.out.empty_query();
        }
        let is_script = parts.len() > 1;
        let mut last = None;
        for part in parts {
            // Told only now: the last one is done when the transaction is.
            if let Some(done) = last.take() {
                self.complete(&done);
            }
            let block = self.session.block_id().await;
            if is_script {
                self.session.begin_implicit_block().await;
            }
            match self.run(part.text).await {
                Ok(done) => {
                    self.drop_portals_of(block).await;
                    last = Some(done);
                }
                Err(Failed::Statement(error)) => {
                    self.fail(&error, part.offset).await;
                    last = None;
                    self.sync(false).await?;
                    break;
                }
                Err(gone) => return Err(gone),
            }
        }
        if let Some(done) = last
            && self.sync(true).await?
        {
            self.complete(&done);
        }
        Ok(self.ready().await?)
    }

    /// One statement, up to its tag.
    async fn run(&mut self, text: String) -> Result<Done, Failed> {
        if let Some(copy) = sql::client_copy(&text) {
            return self.copy(copy?).await;
        }
        let formats = Formats::default();
        if let Some(statement) = sql::portal_statement(&text) {
            return self.portal_statement(statement?, (&[], vec![]), &formats, true).await;
        }
        let mut execution = self.start(Job { text, parameters: vec![], formats: formats.clone(), told: None });
        loop {
            match self.next(&mut execution).await? {
                Event::Columns(schema) => describe(&schema, &formats, &mut self.wire.out),
                Event::Rows { messages, .. } => {
                    self.wire.out.append(&messages);
                    self.wire.send().await?;
                }
                Event::Done(done) => return Ok(done),
            }
        }
    }

    /// A statement's notices and tag.
    pub(super) fn complete(&mut self, done: &Done) {
        self.notices(&done.notices);
        self.wire.out.command_complete(&done.tag);
    }

    /// Ends the block that was opened around the client's statements, if any. False, and the client is told, if it cannot be
    /// committed.
    pub(super) async fn sync(&mut self, commits: bool) -> Result<bool, Failed> {
        match self.session.end_implicit_block(commits).await {
            Ok(()) => Ok(true),
            Err(error) => {
                self.fail(&error, 0).await;
                Ok(false)
            }
        }
    }
}
