//! The gate that is in force, and its replacement by one with another policy.

use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;

use super::{Gate, SetupError};
use crate::policy::Policy;

/// The gate in force, which many share and a reload replaces as a whole. What began with one
/// ends with it.
#[derive(Clone)]
pub struct SharedGate(Arc<watch::Sender<Arc<Gate>>>);

/// Which policy decides: how many were in force before, and what it says, as a hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    /// Counts from 1, at each start anew.
    pub number: u64,
    /// The policy's [fingerprint](Policy::fingerprint).
    pub fingerprint: String,
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.number, self.fingerprint)
    }
}

/// Tells of replacements.
pub(super) struct Changes(watch::Receiver<Arc<Gate>>);

impl SharedGate {
    /// Shares a gate.
    pub fn new(gate: impl Into<Arc<Gate>>) -> Self {
        Self(Arc::new(watch::Sender::new(gate.into())))
    }

    /// The gate in force. Whoever decides something does all of it with one.
    pub fn current(&self) -> Arc<Gate> {
        Arc::clone(&self.0.borrow())
    }

    /// Puts another policy in force, for all that begins from then on. Where that cannot be,
    /// everything stays as it is. Opens files, so it is not for threads that serve.
    pub fn reload(&self, policy: Policy) -> Result<Arc<Gate>, SetupError> {
        let gate = Arc::new(self.current().renewed(policy)?);
        self.0.send_replace(Arc::clone(&gate));
        Ok(gate)
    }

    pub(super) fn changes(&self) -> Changes {
        Changes(self.0.subscribe())
    }
}

impl Changes {
    /// Completes at the next replacement.
    pub async fn next(&mut self) {
        // The sender lives in whoever shares the gate; where nobody does, nothing comes.
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Completes once a policy is in force that enforces anything.
    pub async fn enforced(&mut self) {
        while !self.0.borrow_and_update().policy.is_enforced() {
            self.next().await;
        }
    }
}
