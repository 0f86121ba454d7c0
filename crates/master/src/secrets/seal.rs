//! Options to what the catalog keeps, and back.

use super::key::{SecretKey, SecretKeyFile};
use crate::catalog::{CatalogState, SecretDef};
use crate::error::{SqlError, SqlResult, SqlState, internal};
use damson_cluster::{SecretType, SourceAccess};
use serde::Serialize;

/// A secret as it is made.
#[derive(Clone, Debug)]
pub(crate) struct NewSecret {
    pub name: String,
    pub kind: SecretType,
    pub scope: String,
    pub access: SourceAccess,
    pub created_us: i64,
}

/// What a secret is sealed for: its options are of no use under another name, for other URLs or in another cluster.
#[derive(Serialize)]
struct Context<'a> {
    /// Of this format.
    secret: u32,
    cluster_id: &'a str,
    name: &'a str,
    #[serde(rename = "type")]
    kind: SecretType,
    scope: &'a str,
    options: &'a [String],
}

impl Context<'_> {
    fn of<'a>(cluster_id: &'a str, def: &'a SecretDef) -> Context<'a> {
        let SecretDef { name, kind, scope, options, .. } = def;
        Context { secret: 1, cluster_id, name, kind: *kind, scope, options }
    }

    fn bytes(&self) -> SqlResult<Vec<u8>> {
        serde_json::to_vec(self).map_err(internal)
    }
}

/// # Errors
/// XX000 where the system has no random numbers.
pub(crate) fn seal(key: &SecretKey, cluster_id: &str, new: NewSecret) -> SqlResult<SecretDef> {
    let NewSecret { name, kind, scope, access, created_us } = new;
    let options: Vec<String> = access.options.keys().cloned().collect();
    let def = SecretDef { name, kind, scope, options, created_us, key: key.id().to_owned(), sealed: String::new() };
    let text = serde_json::to_vec(&access.options).map_err(internal)?;
    let sealed = key.encrypt(&Context::of(cluster_id, &def).bytes()?, text)?;
    Ok(SecretDef { sealed, ..def })
}

/// Reads a secret with the key of a file. Blocks.
///
/// # Errors
/// 55000 if there is no key or it is another one than the secret's; XX001 if what the catalog has was changed; those of reading the key.
pub(crate) fn unseal(file: &SecretKeyFile, cluster_id: &str, def: &SecretDef) -> SqlResult<SourceAccess> {
    let key = file.read()?;
    let Some(key) = key.filter(|key| key.id() == def.key) else {
        let message = format!("this master cannot read secret \"{}\": it does not have its key", def.name);
        return Err(SqlError::new(SqlState::OBJECT_NOT_IN_STATE, message)
            .with_detail(format!("It was encrypted with the key {}; {}.", def.key, file.told()?))
            .with_hint(KEY_HINT));
    };
    let damaged = || {
        let message = format!("secret \"{}\" is damaged: what the catalog has of it was changed", def.name);
        SqlError::new(SqlState::DATA_CORRUPTED, message).with_hint("Make it anew with CREATE OR REPLACE SECRET.")
    };
    let text = key.decrypt(&Context::of(cluster_id, def).bytes()?, &def.sealed).ok_or_else(damaged)?;
    // What serde says of a value may repeat it.
    let options = serde_json::from_slice(&text).map_err(|_| damaged())?;
    Ok(SourceAccess { options })
}

/// Whether a new secret can be encrypted with the key of a file, or one that is made. Beside others that it does not read no master could
/// read all. Blocks.
///
/// # Errors
/// 55000; those of reading the key.
pub(crate) fn refuse_other_key(file: &SecretKeyFile, state: &CatalogState) -> SqlResult<()> {
    let key = file.read()?;
    match state.secrets().find(|def| key.as_ref().is_none_or(|key| key.id() != def.key)) {
        None => Ok(()),
        Some(def) => {
            let message = "this master does not have the key of the secrets that there are";
            let detail = format!("Secret \"{}\" was encrypted with the key {}; {}.", def.name, def.key, file.told()?);
            Err(SqlError::new(SqlState::OBJECT_NOT_IN_STATE, message).with_detail(detail).with_hint(KEY_HINT))
        }
    }
}

/// What to do where the key does not fit.
const KEY_HINT: &str = "Start each master with --secret-key-file and a copy of one file, or encrypt the secret anew with \
                                   CREATE OR REPLACE SECRET.";

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::fs;
    use std::path::Path;

    fn file(directory: &Path, name: &str) -> SecretKeyFile {
        let file = SecretKeyFile::new(directory.join(name));
        file.read_or_make().unwrap();
        file
    }

    fn new_secret() -> NewSecret {
        let options = BTreeMap::from([("secret_access_key".to_owned(), "hush".to_owned())]);
        NewSecret {
            name: "s".into(),
            kind: SecretType::S3,
            scope: "s3://bucket".into(),
            access: SourceAccess { options },
            created_us: 5,
        }
    }

    #[test]
    fn a_secret_is_read_where_its_key_is() {
        let directory = tempfile::tempdir().unwrap();
        let keys = file(directory.path(), "a.key");
        let def = seal(&keys.read().unwrap().unwrap(), "cluster", new_secret()).unwrap();
        assert_eq!(def.options, ["secret_access_key"]);
        for shown in [format!("{def:?}"), serde_json::to_string(&def).unwrap(), format!("{:?}", new_secret())] {
            assert!(!shown.contains("hush"), "{shown}");
        }
        assert_eq!(unseal(&keys, "cluster", &def).unwrap(), new_secret().access);
        // A standby with a copy of the file.
        let copy = directory.path().join("copy.key");
        fs::copy(directory.path().join("a.key"), &copy).unwrap();
        assert_eq!(unseal(&SecretKeyFile::new(copy), "cluster", &def).unwrap(), new_secret().access);
    }

    #[test]
    fn another_key_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let keys = file(directory.path(), "a.key");
        let def = seal(&keys.read().unwrap().unwrap(), "cluster", new_secret()).unwrap();
        let other = file(directory.path(), "b.key");
        let absent = SecretKeyFile::new(directory.path().join("absent.key"));
        for (keys, told) in [(&other, "b.key has the key"), (&absent, "there is no file")] {
            let error = unseal(keys, "cluster", &def).unwrap_err();
            assert_eq!(error.state, SqlState::OBJECT_NOT_IN_STATE);
            assert!(error.detail.as_ref().unwrap().contains(told), "{error}");
            assert!(error.hint.as_ref().unwrap().contains("--secret-key-file"), "{error}");
        }
        assert!(!directory.path().join("absent.key").exists(), "reading makes no key");
    }

    #[test]
    fn what_was_changed_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let keys = file(directory.path(), "a.key");
        let def = seal(&keys.read().unwrap().unwrap(), "cluster", new_secret()).unwrap();
        let other = seal(&keys.read().unwrap().unwrap(), "cluster", NewSecret { name: "t".into(), ..new_secret() });
        let changed = [
            SecretDef { name: "t".into(), ..def.clone() },
            SecretDef { scope: "s3://".into(), ..def.clone() },
            SecretDef { kind: SecretType::Azure, ..def.clone() },
            SecretDef { options: vec![], ..def.clone() },
            SecretDef { sealed: other.unwrap().sealed, ..def.clone() },
            SecretDef { sealed: String::new(), ..def.clone() },
        ];
        for changed in &changed {
            assert_eq!(unseal(&keys, "cluster", changed).unwrap_err().state, SqlState::DATA_CORRUPTED, "{changed:?}");
        }
        assert_eq!(unseal(&keys, "another cluster", &def).unwrap_err().state, SqlState::DATA_CORRUPTED);
    }
}
