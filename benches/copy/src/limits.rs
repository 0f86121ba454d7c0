//! What is demanded of COPY FROM.

/// Of DuckDB's rate into its own file, from CSV and from Parquet.
pub const CSV_RATIO_MIN: f64 = 0.8;
pub const PARQUET_RATIO_MIN: f64 = 0.6;

/// Of all processes of the cluster together, during one COPY.
pub const PEAK_BYTES_MAX: u64 = 3 << 30;

/// How much slower the slower one of one file and many may be, as a part of the faster.
pub const FILES_DIFFERENCE_MAX: f64 = 0.2;

/// Files that the rows are in where they are not in one.
pub const FILES_MANY: usize = 64;
