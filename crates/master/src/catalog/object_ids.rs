//! Ids of what is stored by its name: schemas, views, external tables. Tables, sequences and tablespaces have ids of their own, of the same
//! counter, so that no two objects of the catalog have the same.
//!
//! Ids are in the store's settings, one a key: `object_id.schema.NAME`, `object_id.view.SCHEMA.NAME`.

use super::error::CatalogError;
use super::state::{CatalogState, StateParts};
use crate::sql::DEFAULT_SCHEMA;
use std::fmt;

/// What every key in the settings begins with.
pub(super) const KEYS: &str = "object_id.";

/// A schema, or a view or external table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ObjectName {
    Schema(String),
    View(String, String),
}

impl ObjectName {
    /// The object whose id is kept under `key`.
    ///
    /// # Errors
    /// [`CatalogError::Damaged`].
    pub fn of_setting(key: &str, value: &str) -> Result<(ObjectName, u64), CatalogError> {
        let damaged = || CatalogError::Damaged(format!("the setting {key}"));
        let object = key.strip_prefix(KEYS).and_then(|rest| match rest.split_once('.')? {
            ("schema", name) => Some(ObjectName::Schema(name.to_owned())),
            // Names may have points: the schema's length tells where it ends.
            ("view", rest) => {
                let (length, names) = rest.split_once('.')?;
                let (schema, name) = names.split_at_checked(length.parse().ok()?)?;
                Some(ObjectName::View(schema.to_owned(), name.strip_prefix('.')?.to_owned()))
            }
            _ => None,
        });
        Ok((object.ok_or_else(damaged)?, value.parse().map_err(|_| damaged())?))
    }
}

/// Its key in the settings.
impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ObjectName::Schema(name) => write!(f, "{KEYS}schema.{name}"),
            ObjectName::View(schema, name) => write!(f, "{KEYS}view.{}.{schema}.{name}", schema.len()),
        }
    }
}

impl StateParts {
    /// Schemas and views that have no id: those of a catalog that an older build has made. The `public` that a catalog begins with needs none.
    pub fn without_ids(&self) -> Vec<ObjectName> {
        let schemas =
            self.schemas.iter().filter(|name| *name != DEFAULT_SCHEMA).map(|name| ObjectName::Schema(name.clone()));
        let views = self.views().map(|view| ObjectName::View(view.schema.clone(), view.name.clone()));
        schemas.chain(views).filter(|object| !self.object_ids.contains_key(object)).collect()
    }
}

impl CatalogState {
    /// A schema's id. None: there is no such schema, or it is the `public` that the catalog began with.
    pub fn schema_id(&self, name: &str) -> Option<u64> {
        self.object_ids.get(&ObjectName::Schema(name.to_owned())).copied()
    }

    /// The id of a view or an external table. None: there is no such view.
    pub fn view_id(&self, schema: &str, name: &str) -> Option<u64> {
        self.object_ids.get(&ObjectName::View(schema.to_owned(), name.to_owned())).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_back() {
        for object in [
            ObjectName::Schema("a.b".into()),
            ObjectName::View("s".into(), "v".into()),
            ObjectName::View("é.x".into(), "1.v".into()),
        ] {
            assert_eq!(ObjectName::of_setting(&object.to_string(), "7").unwrap(), (object, 7));
        }
        for key in ["object_id.table.1.a", "object_id.view.9.a.b", "object_id.view.1.ab", "other"] {
            assert!(ObjectName::of_setting(key, "1").is_err(), "{key}");
        }
        assert!(ObjectName::of_setting("object_id.schema.a", "x").is_err());
    }
}
