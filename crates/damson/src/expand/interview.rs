//! The questions that make an input file, on a terminal.

use super::cluster::Cluster;
use super::failure::ExpandFailure;
use super::tool::Tool;
use crate::shell::say;
use chrono::Local;
use damson_cluster::ContentId;
use damson_gpexpand::{NewSegment, PreferredRole};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, BufRead, Write};
use std::path::PathBuf;

const PORT: u16 = 6000;

/// Asks, and writes the file.
///
/// # Errors
/// A terminal that is gone, or a file that cannot be written.
pub(super) async fn ask(tool: &mut Tool<'_>) -> Result<(), ExpandFailure> {
    let cluster = Cluster::read(&mut tool.session).await?;
    cluster.check_can_grow()?;
    let host = cluster.master.as_ref().map_or_else(|| "localhost".to_owned(), |(host, _)| host.clone());
    let members = cluster.segments.len();
    let asked = on_terminal(move || interview(&mut io::stdin().lock(), &mut io::stderr().lock(), members, &host));
    let Some(segments) = asked.await? else { return Err(ExpandFailure::NothingSetUp) };
    let mut text = String::from("# hostname|address|port|datadir|dbid|content|preferred_role\n");
    for segment in &segments {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{segment}");
    }
    let path = PathBuf::from(format!("gpexpand_inputfile_{}", Local::now().format("%Y%m%d_%H%M%S")));
    std::fs::write(&path, text).map_err(|source| ExpandFailure::File { path: path.clone(), source })?;
    let path = path.display();
    Ok(say(&format!("The input file is {path}. Look at it, then: damson expand -i {path}"))?)
}

/// Reads answers beside the runtime, so that Ctrl-C is heard.
///
/// # Errors
/// A terminal that is gone.
pub(super) async fn on_terminal<T: Send + 'static>(
    questions: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, ExpandFailure> {
    let answered = tokio::task::spawn_blocking(questions).await.map_err(io::Error::other);
    answered.and_then(|answers| answers).map_err(ExpandFailure::Terminal)
}

/// The new segments, spread over the hosts in turn; None if the answers end. `members` is how many segments the cluster has.
fn interview(
    input: &mut impl BufRead,
    output: &mut impl Write,
    members: usize,
    this_host: &str,
) -> io::Result<Option<Vec<NewSegment>>> {
    writeln!(output, "The cluster has {members} segments. No expansion is set up: what is to be added?")?;
    let number = |text: &str| text.parse::<u16>().ok().filter(|number| *number > 0);
    let hosts = |text: &str| {
        let hosts: Vec<String> = text.split(',').map(|host| host.trim().to_owned()).collect();
        let is_host = |host: &String| !host.is_empty() && !host.contains('|');
        hosts.iter().all(is_host).then_some(hosts)
    };
    let prefix = |text: &str| (text.starts_with('/') && !text.contains('|')).then(|| text.to_owned());
    let Some(count) = question(input, output, "New segments on each host", "1", number)? else { return Ok(None) };
    let Some(hosts) = question(input, output, "Hosts, with commas between", this_host, hosts)? else { return Ok(None) };
    let prefix = question(input, output, "Prefix of data directories, which the content follows", "/data/seg", prefix)?;
    let Some(prefix) = prefix else { return Ok(None) };
    let first = question(input, output, "First port on each host", &PORT.to_string(), number)?;
    let Some(first) = first else { return Ok(None) };
    let mut on_host: BTreeMap<&str, u16> = BTreeMap::new();
    let mut segments = vec![];
    for host in std::iter::repeat_n(&hosts, count.into()).flatten() {
        let content = (members + segments.len()) as i32;
        let used = on_host.entry(host).or_default();
        segments.push(NewSegment {
            hostname: host.clone(),
            address: host.clone(),
            port: first.saturating_add(*used),
            data_dir: format!("{prefix}{content}"),
            dbid: content as u32 + 2,
            content: ContentId(content),
            preferred_role: PreferredRole::Primary,
        });
        *used = used.saturating_add(1);
    }
    Ok(Some(segments))
}

/// Asks until the answer can be used; nothing is `default`.
fn question<T>(
    input: &mut impl BufRead,
    output: &mut impl Write,
    text: &str,
    default: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> io::Result<Option<T>> {
    loop {
        write!(output, "{text} [{default}]: ")?;
        output.flush()?;
        let mut answer = String::new();
        if input.read_line(&mut answer)? == 0 {
            return Ok(None);
        }
        let answer = if answer.trim().is_empty() { default } else { answer.trim() };
        if let Some(parsed) = parse(answer) {
            return Ok(Some(parsed));
        }
        writeln!(output, "{answer:?} cannot be used.")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use damson_gpexpand::{Members, parse_input};
    use std::collections::BTreeSet;

    fn answers(text: &str) -> Option<Vec<String>> {
        let segments = interview(&mut text.as_bytes(), &mut Vec::new(), 2, "mdw").unwrap();
        segments.map(|segments| segments.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn answers_make_a_file_that_can_be_read() {
        let lines = answers("2\nsdw3, sdw4\n/data/p\n7000\n").unwrap();
        assert_eq!(
            lines,
            [
                "sdw3|sdw3|7000|/data/p2|4|2|p",
                "sdw4|sdw4|7000|/data/p3|5|3|p",
                "sdw3|sdw3|7001|/data/p4|6|4|p",
                "sdw4|sdw4|7001|/data/p5|7|5|p"
            ]
        );
        let members = Members { count: 2, owning: [0, 1].map(ContentId).into(), dbids: BTreeSet::from([1, 2, 3]) };
        assert_eq!(parse_input(&lines.join("\n"), &members).unwrap().len(), 4);
    }

    #[test]
    fn nothing_is_the_default_and_nonsense_is_asked_again() {
        assert_eq!(answers("\n\n\n\n").unwrap(), ["mdw|mdw|6000|/data/seg2|4|2|p"]);
        assert_eq!(answers("x\n0\n1\n,\na\nrelative\n/d\n\n").unwrap(), ["a|a|6000|/d2|4|2|p"]);
        assert_eq!(answers("1\n"), None);
    }
}
