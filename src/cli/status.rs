//! What `systemctl status` shows: whether what is decided here holds, and what lifts it.

use std::sync::{Mutex, PoisonError};

use super::daemon::notify_status;
use crate::gate::{Generation, Standing};
use crate::source::BreakGlass;

/// The parts of the one line that systemd shows.
#[derive(Default)]
pub struct Status(Mutex<Parts>);

#[derive(Default)]
struct Parts {
    standing: Option<String>,
    glass: Option<String>,
    policy: Option<String>,
}

impl Status {
    /// Whether calls get by.
    pub fn standing(&self, standing: &Standing) {
        let text = match standing {
            Standing::Unknown => "waiting for the engine".to_owned(),
            Standing::Closed => "judging the engine's calls".to_owned(),
            Standing::Open(sockets) => format!(
                "NOT protected: the engine takes gRPC calls past every plugin on {}; see \
                 countersign help proxy",
                sockets
                    .iter()
                    .map(|socket| socket.display().to_string())
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        };
        self.change(|parts| parts.standing = Some(text));
    }

    /// Whether everything is let pass.
    pub fn glass(&self, broken: Option<&BreakGlass>) {
        let text = broken.map(|glass| {
            format!("BREAK-GLASS until {}: every call is allowed ({})", glass.until, glass.reason)
        });
        self.change(|parts| parts.glass = text);
    }

    /// The policy in force; and why it is not the one on disk, if so.
    pub fn policy(&self, generation: &Generation, fault: Option<&str>) {
        let text = match fault {
            None => format!("policy {generation}"),
            Some(fault) => {
                format!("policy {generation} STAYS in force, the one on disk cannot be: {fault}")
            }
        };
        self.change(|parts| parts.policy = Some(text));
    }

    fn change(&self, change: impl FnOnce(&mut Parts)) {
        let mut parts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut parts);
        // Until the engine was looked for, there is nothing to say of it.
        if parts.standing.is_some() || parts.glass.is_some() {
            notify_status(&parts.line());
        }
    }
}

impl Parts {
    /// What is worst comes first.
    fn line(&self) -> String {
        let told = [&self.glass, &self.standing, &self.policy].into_iter().flatten();
        told.map(String::as_str).collect::<Vec<_>>().join("; ")
    }
}
