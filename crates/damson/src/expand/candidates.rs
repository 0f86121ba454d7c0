//! The new segments: those of this host are started, the others' commands are shown, and all are waited for.

use super::args::ExpandArgs;
use super::cluster::Cluster;
use super::failure::{ExpandFailure, spoken as list};
use super::times::spoken;
use super::tool::Tool;
use crate::directory_lock::{DirectoryLock, DirectoryLockError};
use damson_cluster::ContentId;
use damson_gpexpand::NewSegment;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::net::{TcpListener, ToSocketAddrs};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// In a segment's data directory: what it says.
const LOG_FILE: &str = "segment.log";
/// Of the log, when the segment has ended.
const LOG_BYTES: usize = 500;
/// How often the master is asked who is there.
const ASK_EVERY: Duration = Duration::from_millis(500);

const WAITING: &str = "SELECT content FROM gp_waiting_segments";

/// Starts what is to run here, and waits until all are there.
///
/// # Errors
/// A segment that ends, or that is not there in time; the server's.
pub(super) async fn add(tool: &mut Tool<'_>, segments: &[NewSegment]) -> Result<(), ExpandFailure> {
    let cluster = Cluster::read(&mut tool.session).await?;
    let masters = match (&tool.args.master, &cluster.master) {
        (Some(masters), _) => masters.clone(),
        (None, Some((host, port))) if host.contains(':') => format!("[{host}]:{port}"),
        (None, Some((host, port))) => format!("{host}:{port}"),
        (None, None) => return Err(ExpandFailure::NoMasterAddress),
    };
    let present = present(tool).await?;
    let mut started = vec![];
    for segment in segments.iter().filter(|segment| !present.contains(&segment.content)) {
        let arguments = arguments(segment, &masters, tool.args)?;
        if !is_this_host(segment) {
            tool.display.say(&format!("Start {} on {}: {}", segment.content, segment.hostname, shown(&arguments)));
        } else if let Some(child) = start(segment, &arguments)? {
            let (content, directory) = (segment.content, &segment.data_dir);
            tool.display.say(&format!("Started {content}: process {}, its log is {directory}/{LOG_FILE}", child.id()));
            tool.display.say(&format!("To start it again: {}", shown(&arguments)));
            started.push((segment, child));
        }
    }
    wait(tool, segments, started).await
}

async fn wait(
    tool: &mut Tool<'_>,
    segments: &[NewSegment],
    mut started: Vec<(&NewSegment, Child)>,
) -> Result<(), ExpandFailure> {
    let began = Instant::now();
    loop {
        let present = present(tool).await?;
        let missing: Vec<ContentId> =
            segments.iter().map(|segment| segment.content).filter(|content| !present.contains(content)).collect();
        if missing.is_empty() {
            tool.display.waited();
            return Ok(());
        }
        for (segment, child) in &mut started {
            let path = Path::new(&segment.data_dir);
            let failed = |source| ExpandFailure::File { path: path.to_owned(), source };
            if missing.contains(&segment.content) && child.try_wait().map_err(failed)?.is_some() {
                let log = end_of(&path.join(LOG_FILE));
                return Err(ExpandFailure::SegmentEnded { content: segment.content, log });
            }
        }
        let waited = began.elapsed();
        if waited >= tool.args.wait {
            return Err(ExpandFailure::SegmentsMissing { missing, waited: spoken(waited) });
        }
        tool.display.waiting(&format!("{}: waiting for {}", spoken(waited), list(&missing)));
        tokio::time::sleep(ASK_EVERY).await;
    }
}

/// Segments that wait, or are in the cluster and up.
async fn present(tool: &mut Tool<'_>) -> Result<BTreeSet<ContentId>, ExpandFailure> {
    let cluster = Cluster::read(&mut tool.session).await?;
    let mut present: BTreeSet<ContentId> = cluster.segments.iter().filter(|s| s.is_up).map(|s| s.content).collect();
    for row in tool.session.rows(WAITING).await? {
        present.insert(ContentId(row.number(0)?));
    }
    Ok(present)
}

/// Whether one can listen at its address here.
fn is_this_host(segment: &NewSegment) -> bool {
    TcpListener::bind((segment.address.as_str(), 0)).is_ok()
}

fn arguments(segment: &NewSegment, masters: &str, args: &ExpandArgs) -> Result<Vec<OsString>, ExpandFailure> {
    let NewSegment { address, port, data_dir, content, .. } = segment;
    // A name is told to the others; what is listened on is an address.
    let listen = (address.as_str(), *port).to_socket_addrs().ok().and_then(|mut found| found.next());
    let listen = listen.map_or_else(|| format!("0.0.0.0:{port}"), |found| found.to_string());
    let advertised = if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") };
    let content = content.0.to_string();
    let words = [
        "segment",
        "--data",
        data_dir,
        "--content",
        &content,
        "--listen",
        &listen,
        "--advertise",
        &advertised,
        "--master",
        masters,
    ];
    let mut arguments: Vec<OsString> = words.iter().map(OsString::from).collect();
    if let Some(config) = &args.segment_config {
        let config =
            std::path::absolute(config).map_err(|source| ExpandFailure::File { path: config.clone(), source })?;
        arguments.extend(["--config".into(), config.into_os_string()]);
    }
    Ok(arguments)
}

/// The command as a shell takes it.
fn shown(arguments: &[OsString]) -> String {
    let word = |argument: &OsString| {
        let text = argument.to_string_lossy();
        let is_plain = |c: char| c.is_alphanumeric() || "/.:,_-[]=@".contains(c);
        if text.chars().all(is_plain) { text.into_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
    };
    let words: Vec<String> = arguments.iter().map(word).collect();
    format!("damson {}", words.join(" "))
}

/// None if a process has the directory already: that one is waited for.
fn start(segment: &NewSegment, arguments: &[OsString]) -> Result<Option<Child>, ExpandFailure> {
    let directory = Path::new(&segment.data_dir);
    let failed = |source| ExpandFailure::File { path: directory.to_owned(), source };
    fs::create_dir_all(directory).map_err(failed)?;
    match DirectoryLock::take(directory) {
        // The new process takes it.
        Ok(lock) => drop(lock),
        Err(DirectoryLockError::InUse(_)) => return Ok(None),
        Err(DirectoryLockError::Io { source, .. }) => return Err(failed(source)),
    }
    let log = File::options().create(true).append(true).open(directory.join(LOG_FILE)).map_err(failed)?;
    let binary = std::env::current_exe().map_err(failed)?;
    let mut command = Command::new(binary);
    // Whatever this process is called.
    command.arg0("damson").args(arguments).arg("--own-session");
    command.stdin(Stdio::null()).stdout(log.try_clone().map_err(failed)?).stderr(log);
    command.spawn().map(Some).map_err(failed)
}

/// The last lines of a log, as one.
fn end_of(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text[text.len().saturating_sub(LOG_BYTES)..]).trim().replace('\n', "; ");
    if text.is_empty() { format!("{} says nothing", log.display()) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_can_be_pasted() {
        let words = ["segment", "--data", "/data dir/it's", "--content", "2"].map(OsString::from);
        assert_eq!(shown(&words), "damson segment --data '/data dir/it'\\''s' --content 2");
    }

    #[test]
    fn the_loopback_is_this_host() {
        let segment = |address: &str| NewSegment::parse(&format!("h|{address}|6000|/d|4|2|p")).unwrap();
        assert!(is_this_host(&segment("127.0.0.1")));
        // Of documentation: nobody has it.
        assert!(!is_this_host(&segment("192.0.2.1")));
    }

    #[test]
    fn a_directory_in_use_is_not_started_again() {
        let directory = tempfile::tempdir().unwrap();
        let segment = NewSegment::parse(&format!("h|127.0.0.1|6000|{}|4|2|p", directory.path().display())).unwrap();
        let _lock = DirectoryLock::take(directory.path()).unwrap();
        assert!(start(&segment, &[]).unwrap().is_none());
    }
}
