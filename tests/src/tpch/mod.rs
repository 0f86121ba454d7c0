//! TPC-H from outside: its tables loaded by COPY from `.tbl` files, and the validation answers.

mod answers;
mod tables;

pub use answers::{QUERIES, compare_texts_with_answers, compare_with_answers};
pub use tables::{CREATE_TABLES, TABLES, copy_statement, write_tbl_files};
