//! How a statement's places are reached: CREATE SECRET, and who uses it.

use super::{Outcome, Session};
use crate::backup::shown_url;
use crate::catalog::{CatalogError, CatalogState, SecretDef};
use crate::error::{SqlError, SqlResult, SqlState, task_ended};
use crate::secrets::{NewSecret, of_urls, refuse_other_key, seal};
use crate::sql::{CreateSecret, DEFAULT_TABLESPACE, Name};
use crate::transaction::Transaction;
use chrono::Utc;
use damson_cluster::{SecretType, SourceAccess, TablespaceId};
use std::sync::Arc;

impl Session {
    /// How the files at `urls` are reached: by the secret that the statement names; else by the one in whose scope they are; else by the
    /// environment of the nodes.
    ///
    /// # Errors
    /// 42704 for a secret that is not there; 22023 for one that is not for such files, and for files that need several; those of reading
    /// secrets.
    pub(in crate::session) async fn access(
        &self,
        state: &CatalogState,
        secret: Option<&Name>,
        urls: &[String],
    ) -> SqlResult<SourceAccess> {
        let def = match secret {
            Some(name) => Some(named(state, name, urls)?),
            None => of_urls(state, urls)?,
        };
        match def {
            Some(def) => self.master.files.places.access(state, def).await,
            None => Ok(SourceAccess::default()),
        }
    }

    /// CREATE SECRET.
    pub(super) async fn create_secret(
        &self,
        create: &CreateSecret,
        transaction: &mut Transaction,
    ) -> SqlResult<Outcome> {
        let state = transaction.state();
        let (name, position) = (&create.name.text, create.name.position);
        let old = state.secret(name).map(Arc::clone);
        if old.is_some() && create.if_not_exists {
            let notices = vec![format!("secret \"{name}\" already exists, skipping")];
            return Ok(Outcome::Command { tag: "CREATE SECRET".into(), rows: 0, notices });
        }
        if old.is_some() && !create.or_replace {
            return Err(SqlError::from(CatalogError::SecretExists(name.clone())).at(position));
        }
        let new = NewSecret {
            name: name.clone(),
            kind: create.kind,
            scope: create.scope.clone(),
            access: create.access.clone(),
            created_us: Utc::now().timestamp_micros(),
        };
        let (keys, or_replace) = (Arc::clone(&self.master.secrets), create.or_replace);
        let work = move || {
            if old.is_none() {
                refuse_other_key(&keys, &state)?;
            }
            let key = keys.read_or_make()?;
            seal(&key, &state.settings.cluster_id, new)
        };
        let def: SecretDef = tokio::task::spawn_blocking(work).await.map_err(task_ended)??;
        let created = transaction.workspace().create_secret(def, or_replace);
        created.map_err(|error| SqlError::from(error).at(position))?;
        Ok(Outcome::command("CREATE SECRET"))
    }

    /// The tablespace of a new table: the one that the statement names, or `default_tablespace`. None: the segments' own disks.
    ///
    /// # Errors
    /// 42704 for one that is not there.
    pub(super) fn in_tablespace(
        &self,
        state: &CatalogState,
        written: Option<&Name>,
    ) -> SqlResult<Option<TablespaceId>> {
        let default = self.settings.lock().default_tablespace();
        let Some(name) = written.map(|name| name.text.clone()).or(default) else { return Ok(None) };
        if name == DEFAULT_TABLESPACE {
            return Ok(None);
        }
        let at = |error: SqlError| match written {
            Some(name) => error.at(name.position),
            None => error.with_hint("It is the default_tablespace of this session."),
        };
        match state.tablespace(&name) {
            Some(tablespace) => Ok(Some(tablespace.id)),
            None => Err(at(CatalogError::NoTablespace(name).into())),
        }
    }
}

/// # Errors
/// 42704; 22023 for files of another type.
fn named<'a>(state: &'a CatalogState, name: &Name, urls: &[String]) -> SqlResult<&'a Arc<SecretDef>> {
    let no_secret = || SqlError::from(CatalogError::NoSecret(name.text.clone())).at(name.position);
    let def = state.secret(&name.text).ok_or_else(no_secret)?;
    match urls.iter().find(|url| SecretType::of_url(url).is_some_and(|kind| kind != def.kind)) {
        None => Ok(def),
        Some(url) => {
            let message = format!("secret \"{}\" is of type {}, and {} is not", def.name, def.kind, shown_url(url));
            Err(SqlError::new(SqlState::INVALID_PARAMETER, message).at(name.position))
        }
    }
}
