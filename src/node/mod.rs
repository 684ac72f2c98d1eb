//! **Changing the node.** How is a file replaced so that nothing is lost, and how does the
//! engine get to know?
//!
//! - `file`: a file as it was found, replaced in one step, put back where that was wrong.
//! - `engine`: the engine's process and its `daemon.json`; reloading it, proving that it asks.
//! - `systemd`: the units, where systemd runs.
//! - `policy_file`: the policy, with the files that it names.
//!
//! Knows `edit` for the texts, `doctor` for the proof, `policy` for its reader. Nothing in
//! here decides about an image.

mod engine;
mod file;
mod policy_file;
mod systemd;

pub use engine::{EngineSetup, Reload, ReloadError, managed_namesake, self_test};
pub use file::{FileError, Found};
pub use policy_file::{NewFile, PolicyFile, PolicyFileError};
pub use systemd::{DropIn, Systemd};
