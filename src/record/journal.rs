//! Records in the journal, each field by its own name.
//!
//! The journal's native protocol (systemd, "Native Journal Protocol"): one datagram a record.
//! The crates that speak it log where the log is written, in the caller's thread; records are
//! to be sent from the writer's.

use std::fmt::Write as _;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::entry::{Entry, in_micros};

/// Where the journal listens.
pub(super) const SOCKET: &str = "/run/systemd/journal/socket";
/// By which `journalctl MESSAGE_ID=…` finds all records, whatever their text.
pub(super) const MESSAGE_ID: &str = "5a1c36c3f0e44a0d9f9c3b0f9b3f8c54";
/// How long a journal that takes nothing is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// The journal.
pub(super) struct Journal {
    path: PathBuf,
    socket: Option<UnixDatagram>,
}

impl Journal {
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), socket: None }
    }

    pub fn send(&mut self, entry: &Entry) -> io::Result<()> {
        if self.socket.is_none() {
            let socket = UnixDatagram::unbound()?;
            socket.set_write_timeout(Some(PATIENCE))?;
            self.socket = Some(socket);
        }
        // Named with each record: a journal that starts again has another socket there.
        let sent = self.socket.as_ref().map(|socket| socket.send_to(&datagram(entry), &self.path));
        sent.transpose().map(|_| ())
    }
}

/// Whether standard error goes to the journal, as it does where systemd has started us
/// (`JOURNAL_STREAM`, systemd.exec(5)).
pub(super) fn is_standard_error() -> bool {
    let Some(stated) = std::env::var_os("JOURNAL_STREAM") else { return false };
    let found = || {
        let file = std::fs::File::from(io::stderr().as_fd().try_clone_to_owned()?);
        let metadata = file.metadata()?;
        io::Result::Ok(format!("{}:{}", metadata.dev(), metadata.ino()))
    };
    found().is_ok_and(|found| stated == *found)
}

fn datagram(entry: &Entry) -> Vec<u8> {
    let mut fields = Fields(Vec::with_capacity(2048));
    fields.add("MESSAGE", &message(entry));
    fields.add("MESSAGE_ID", MESSAGE_ID);
    // A refusal is to be noticed; whatever else was decided is information.
    fields.add("PRIORITY", if entry.verdict == "deny" { "5" } else { "6" });
    fields.add("SYSLOG_IDENTIFIER", "countersign");
    let optional = [
        ("COUNTERSIGN_USER", &entry.user),
        ("COUNTERSIGN_AUTHN", &entry.authn),
        ("COUNTERSIGN_METHOD", &entry.method),
        ("COUNTERSIGN_PATH", &entry.path),
        ("COUNTERSIGN_SUBJECT", &entry.subject),
        ("COUNTERSIGN_CONTAINER", &entry.container),
        ("COUNTERSIGN_REASON", &entry.reason),
        ("COUNTERSIGN_DIGEST", &entry.digest),
        ("COUNTERSIGN_REPOSITORY", &entry.repository),
        ("COUNTERSIGN_TAG", &entry.tag),
    ];
    fields.add("COUNTERSIGN_ID", &entry.id);
    fields.add("COUNTERSIGN_EVENT", entry.event);
    fields.add("COUNTERSIGN_VERB", entry.verb);
    fields.add("COUNTERSIGN_VERDICT", entry.verdict);
    fields.add("COUNTERSIGN_CODE", entry.code);
    for (name, value) in optional {
        if let Some(value) = value {
            fields.add(name, value);
        }
    }
    if entry.killed {
        fields.add("COUNTERSIGN_KILLED", "1");
    }
    // The journal keeps every value of a field that comes more than once.
    for signer in &entry.signers {
        let who = signer.user.as_deref().unwrap_or("?");
        let counts = if signer.counts { "" } else { " (does not count)" };
        fields
            .add("COUNTERSIGN_SIGNER", &format!("{who} {} {}{counts}", signer.role, signer.key_id));
    }
    for team in &entry.missing_teams {
        fields.add("COUNTERSIGN_MISSING_TEAM", team);
    }
    for note in &entry.notes {
        fields.add("COUNTERSIGN_NOTE", note);
    }
    fields.add("COUNTERSIGN_DURATION_US", &in_micros(entry.duration).to_string());
    for (phase, took) in entry.phases.named() {
        let name = format!("COUNTERSIGN_PHASE_{}_US", phase.to_ascii_uppercase());
        fields.add(&name, &in_micros(took).to_string());
    }
    fields.0
}

/// What `journalctl` shows: one line.
fn message(entry: &Entry) -> String {
    let mut text = entry.verdict.to_owned();
    let called = [&entry.method, &entry.path, &entry.subject, &entry.container];
    for part in called.into_iter().flatten() {
        let _ = write!(text, " {}", part.escape_debug());
    }
    let _ = write!(text, ": {}", entry.code);
    if let Some(reason) = &entry.reason {
        let _ = write!(text, ": {}", reason.escape_debug());
    }
    if let Some(user) = &entry.user {
        let _ = write!(text, " (user {})", user.escape_debug());
    }
    let _ = write!(text, " [{}]", entry.id);
    text
}

/// Fields as the protocol has them.
struct Fields(Vec<u8>);

impl Fields {
    /// Always in the form with a length, in which no value can be taken for another field.
    fn add(&mut self, name: &str, value: &str) {
        let length = u64::try_from(value.len()).unwrap_or_default();
        self.0.extend_from_slice(name.as_bytes());
        self.0.push(b'\n');
        self.0.extend_from_slice(&length.to_le_bytes());
        self.0.extend_from_slice(value.as_bytes());
        self.0.push(b'\n');
    }
}
