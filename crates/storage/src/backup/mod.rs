//! Places of backups: directories and buckets, and the copying of table files to and from them. What a place holds:
//! `docs/formats/backup.md`.

mod bucket;
mod files;
mod place;
mod source;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod url;

pub(crate) use bucket::Bucket;
pub(crate) use files::canonical;
pub use place::BackupPlace;
pub(crate) use url::PlaceUrl;
pub use url::shown_url;
