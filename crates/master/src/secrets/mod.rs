//! Secrets: options of object stores, encrypted with a key that only masters have. What the catalog keeps of them:
//! `docs/formats/catalog.md`.

mod key;
mod scope;
mod seal;

pub use key::SECRET_KEY_FILE;
pub(crate) use key::SecretKeyFile;
pub(crate) use scope::of_urls;
pub(crate) use seal::{NewSecret, refuse_other_key, seal, unseal};
