//! Who runs this program, and the host's log.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;

/// Where the host's log takes messages.
const SYSTEM_LOG: &str = "/dev/log";
/// `LOG_AUTHPRIV | LOG_NOTICE`
const PRIORITY: u8 = 10 << 3 | 5;

/// Who runs this program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// By user ID.
    pub uid: Option<u32>,
    /// Who had logged in to become that user, where the kernel knows.
    pub login_uid: Option<u32>,
}

impl Caller {
    /// Whoever it is.
    pub fn own() -> Self {
        // The kernel gives a process's folder to whom the process runs for.
        let uid = fs::metadata("/proc/self").ok().map(|process| process.uid());
        let login = fs::read_to_string("/proc/self/loginuid").ok();
        let login = login.and_then(|text| text.trim().parse().ok());
        Self { uid, login_uid: login.filter(|uid| *uid != u32::MAX) }
    }
}

/// Tells the host's log (journal or syslog) something. Whether there is one to tell.
pub fn tell_host(text: &str) -> bool {
    let line = format!("<{PRIORITY}>countersign[{}]: {text}", std::process::id());
    UnixDatagram::unbound()
        .and_then(|socket| {
            socket.set_nonblocking(true)?;
            socket.send_to(line.as_bytes(), SYSTEM_LOG)
        })
        .is_ok()
}
