//! BACKUP and RESTORE: into directories and buckets, and back into clusters of other sizes.

mod bucket;
mod contents;
mod damage;
mod processes;
mod resize;
