//! Where tables' files are, and what is done with them there: a directory, or a prefix of a bucket. What it means for users:
//! `docs/places.md`.

mod bucket;
mod directory;
mod new_file;
mod new_object;
mod pieces;
mod place;

pub(crate) use bucket::Bucket;
pub use bucket::BucketClient;
pub(crate) use directory::Directory;
pub(crate) use new_file::NewFile;
pub(crate) use pieces::Pieces;
pub(crate) use place::Place;
