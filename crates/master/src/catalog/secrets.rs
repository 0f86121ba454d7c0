//! Secrets as the catalog has them: encrypted, but for what may be seen of them.

use super::error::CatalogError;
use super::store::Change;
use super::workspace::Workspace;
use damson_cluster::SecretType;
use serde::{Deserialize, Serialize};

/// Secrets of a cluster; each statement that reads files looks through their scopes.
const SECRETS_MAX: usize = 1_000;

/// Options by which object stores are reached, under a name. What they say is in `sealed` alone, which only a master with the key can
/// read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretDef {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: SecretType,
    /// The beginning of the URLs that it is for, where a statement names none.
    pub scope: String,
    /// Names of the options.
    pub options: Vec<String>,
    /// Microseconds since 1970, by the master's clock.
    pub created_us: i64,
    /// Which key it was sealed with.
    pub key: String,
    /// In hexadecimal: see `docs/formats/catalog.md`.
    pub sealed: String,
}

impl Workspace {
    /// Makes a secret; with `or_replace` in place of the one of its name.
    ///
    /// # Errors
    /// [`CatalogError::SecretExists`] without `or_replace`; [`CatalogError::TooMany`]; [`CatalogError::SecretUsed`] if a tablespace needs
    /// one of another type.
    pub fn create_secret(&mut self, def: SecretDef, or_replace: bool) -> Result<(), CatalogError> {
        self.change(|state| {
            let old = state.secret(&def.name);
            if old.is_some() && !or_replace {
                return Err(CatalogError::SecretExists(def.name));
            }
            if old.is_none() && state.secrets().count() >= SECRETS_MAX {
                return Err(CatalogError::TooMany { what: "secrets", max: SECRETS_MAX });
            }
            // Whether tablespaces need one of another type is looked at where the change is made.
            Ok((vec![Change::PutSecret { def, or_replace }], ()))
        })
    }

    /// # Errors
    /// [`CatalogError::NoSecret`]; [`CatalogError::SecretUsed`] while a tablespace names it.
    pub fn drop_secret(&mut self, name: &str) -> Result<(), CatalogError> {
        // What else stands in its way is looked at where the change is made.
        self.change(|_| Ok((vec![Change::DropSecret(name.to_owned())], ())))
    }
}
