//! How fast tables move on an idle cluster, beside a plain copy of the files that come of it, in the same run.

use crate::client::Client;
use crate::{Failure, Options, expand, load};
use damson_bench_report::{Machine, aligned, machine};
use damson_tests::detached::Detached;
use damson_tests::processes::ProcessCluster;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Bytes that the plain copy reads at a time.
const BLOCK_BYTES: usize = 1 << 20;

/// A table's move.
struct Moved {
    table: String,
    rows: u64,
    bytes: u64,
    /// Seconds since the epoch.
    began: f64,
    ended: f64,
}

impl Moved {
    fn seconds(&self) -> f64 {
        self.ended - self.began
    }
}

/// Grows a cluster from two segments to four, while nobody reads or writes, and writes a report; gives its path.
pub async fn run(options: &Options) -> Result<PathBuf, Failure> {
    let cluster = ProcessCluster::start(2);
    let detached = Detached::new(cluster.directory().join("grown-seg"));
    let mut client = Client::connect(cluster.client_address()).await?;
    load(&mut client, &cluster, options.sf).await?;
    let prefix = detached.prefix().display().to_string();
    expand(&cluster, &["--segments", "2", "--data-prefix", &prefix]).await?;
    let began = Instant::now();
    let said = expand(&cluster, &["-n", &options.parallel.to_string()]).await?;
    let seconds = began.elapsed().as_secs_f64();
    let moved = moved(&mut client).await?;
    let checked = cluster.check();
    if !checked.success {
        return Err(format!("damson check: {}{}", checked.stdout, checked.stderr).into());
    }
    let new = [2, 3].map(|content| PathBuf::from(format!("{prefix}{content}")).join("base"));
    let copies = cluster.directory().join("copies");
    let began = Instant::now();
    let copied = tokio::task::spawn_blocking(move || copy(&new, &copies)).await??;
    let plain =
        Moved { table: "plain copy".into(), rows: 0, bytes: copied, began: 0.0, ended: began.elapsed().as_secs_f64() };
    expand(&cluster, &["-c"]).await?;
    Ok(write(options, &moved, &plain, seconds, &said)?)
}

/// What the expansion's record says.
async fn moved(client: &mut Client) -> Result<Vec<Moved>, Failure> {
    let query = "SELECT fq_name, coalesce(rows_moved, 0), coalesce(bytes_moved, 0), \
        CAST(extract(epoch FROM expansion_started) * 1000 AS bigint), \
        CAST(extract(epoch FROM expansion_finished) * 1000 AS bigint) \
        FROM gpexpand.status_detail WHERE status = 'COMPLETED' ORDER BY 3 DESC, 1";
    let rows = client.query(query).await?.rows;
    let row = |row: &Vec<String>| -> Result<Moved, Failure> {
        let [table, rows, bytes, began, ended] = &row[..] else {
            return Err(format!("{row:?} is no table's move").into());
        };
        let (began, ended) = (began.parse::<f64>()? / 1e3, ended.parse::<f64>()? / 1e3);
        Ok(Moved { table: table.clone(), rows: rows.parse()?, bytes: bytes.parse()?, began, ended })
    };
    rows.iter().map(row).collect()
}

/// Copies all files below the directories, each of them synced as a segment's new file is; gives their bytes.
fn copy(from: &[PathBuf], to: &Path) -> std::io::Result<u64> {
    fs::create_dir_all(to)?;
    let mut block = vec![0; BLOCK_BYTES];
    let (mut copied, mut left) = (0, from.to_vec());
    let mut number = 0;
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                left.push(entry.path());
                continue;
            }
            number += 1;
            let (mut source, mut copy) = (File::open(entry.path())?, File::create_new(to.join(number.to_string()))?);
            loop {
                let read = source.read(&mut block)?;
                if read == 0 {
                    break;
                }
                copy.write_all(&block[..read])?;
                copied += read as u64;
            }
            copy.sync_all()?;
        }
    }
    Ok(copied)
}

fn write(options: &Options, moved: &[Moved], plain: &Moved, seconds: f64, said: &str) -> std::io::Result<PathBuf> {
    let date = machine::date();
    let commit = machine::commit().unwrap_or_default();
    fs::create_dir_all(&options.out)?;
    let path = options.out.join(format!("expand-idle-{}.md", date.split('T').next().unwrap_or(&date)));
    let text = format!(
        "# Tables move from two segments to four, and nobody reads or writes\n\nTPC-H SF{}, {}, {date}, commit {commit}\n\n\
         The last line is a plain copy of the new segments' files, in blocks of 1 MiB, each file synced, after the expansion in the same run. \
         Both read what the kernel has in memory. The whole expansion, with the tool that asks for it, took {seconds:.1} s.\n\n\
         ```text\n{}```\n\n## What the tool said\n\n```text\n{said}```\n",
        options.sf,
        Machine::this(),
        aligned(&lines(moved, plain)),
    );
    fs::write(&path, text)?;
    Ok(path)
}

fn lines(moved: &[Moved], plain: &Moved) -> Vec<Vec<String>> {
    let header = ["table", "rows", "MB", "seconds", "MB/s", "of the plain copy"];
    let rate = |moved: &Moved| moved.bytes as f64 / 1e6 / moved.seconds().max(1e-6);
    let line = |moved: &Moved| {
        vec![
            moved.table.clone(),
            moved.rows.to_string(),
            format!("{:.1}", moved.bytes as f64 / 1e6),
            format!("{:.3}", moved.seconds()),
            format!("{:.0}", rate(moved)),
            format!("{:.2}", rate(moved) / rate(plain)),
        ]
    };
    let all = Moved {
        table: "all".into(),
        rows: moved.iter().map(|moved| moved.rows).sum(),
        bytes: moved.iter().map(|moved| moved.bytes).sum(),
        // Several tables may be moved at once.
        began: moved.iter().map(|moved| moved.began).fold(f64::INFINITY, f64::min),
        ended: moved.iter().map(|moved| moved.ended).fold(f64::NEG_INFINITY, f64::max),
    };
    std::iter::once(header.map(str::to_owned).to_vec()).chain(moved.iter().chain([&all, plain]).map(line)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_compared_with_the_plain_copys() {
        let moved = |table: &str, bytes, began, ended| Moved { table: table.into(), rows: 10, bytes, began, ended };
        let tables = [moved("a", 100_000_000, 7.0, 7.5), moved("b", 50_000_000, 7.25, 8.0)];
        let lines = lines(&tables, &moved("plain copy", 150_000_000, 0.0, 0.25));
        assert_eq!(lines[1], ["a", "10", "100.0", "0.500", "200", "0.33"]);
        assert_eq!(lines[3], ["all", "20", "150.0", "1.000", "150", "0.25"]);
        assert_eq!(lines[4][5], "1.00");
    }
}
