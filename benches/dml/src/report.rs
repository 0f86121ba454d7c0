//! What was measured, as a table.

use damson_bench_report::{Machine, aligned, machine};

#[derive(Default)]
pub struct Report {
    rows: Vec<[String; 3]>,
}

impl Report {
    /// `wanted` is what the project has promised, where it has.
    pub fn add(&mut self, what: impl Into<String>, figure: String, wanted: &str) {
        let what = what.into();
        eprintln!("{what}: {figure}");
        self.rows.push([what, figure, wanted.into()]);
    }

    pub fn print(&self) {
        println!("{}, {}, commit {}", Machine::this(), machine::date(), machine::commit().unwrap_or_default());
        println!();
        let header = ["what", "measured", "wanted"].map(str::to_owned).to_vec();
        let rows: Vec<Vec<String>> = self.rows.iter().map(|row| row.to_vec()).collect();
        println!("{}", aligned(&[vec![header], rows].concat()));
    }
}
