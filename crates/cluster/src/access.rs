//! How the places of a statement are reached.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Options of the clients of object stores: those of a named secret; none means the process's environment, or its instance's role. Keys
/// are `object_store`'s without prefix: `access_key_id`, `secret_access_key`, `session_token`, `region`, `endpoint`, `allow_http`,
/// `account_name`, `sas_token`, …. Values are never shown.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SourceAccess {
    pub options: BTreeMap<String, String>,
}

impl fmt::Debug for SourceAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.options.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_not_shown() {
        let options = BTreeMap::from([("secret_access_key".to_owned(), "hush".to_owned())]);
        assert_eq!(format!("{:?}", SourceAccess { options }), r#"{"secret_access_key"}"#);
    }
}
