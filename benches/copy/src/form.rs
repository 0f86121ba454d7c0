//! The forms that the rows come in.

use clap::ValueEnum;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    Csv,
    Gzip,
    Parquet,
    /// From a bucket of a server on the loopback.
    S3,
}

/// In the report's order.
pub const FORMS: [Form; 4] = [Form::Csv, Form::Gzip, Form::Parquet, Form::S3];

impl Form {
    pub fn title(self) -> &'static str {
        match self {
            Form::Csv => "CSV",
            Form::Gzip => "gzip CSV",
            Form::Parquet => "Parquet",
            Form::S3 => "Parquet, S3",
        }
    }

    /// Of files' names.
    pub fn extension(self) -> &'static str {
        match self {
            Form::Csv => "csv",
            Form::Gzip => "csv.gz",
            Form::Parquet | Form::S3 => "parquet",
        }
    }
}
