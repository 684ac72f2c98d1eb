//! **Editing.** How does the text of a file become what it shall be, and nothing else change?
//!
//! Pure: text in, text out. People wrote these files; their comments, their order and their
//! line ends stay as they are.
//!
//! - `daemon_json`: the engine's `daemon.json`, of which only our own bytes change.
//! - `draft`: a policy file that is being changed; `registries` and `people` are what changes.
//! - `lines`: on which line each of its settings stands.
//! - `bundle`, `pem`: what is taken out of a client bundle, and what never is.
//! - `diff`: what would change, for people to see first.

mod bundle;
mod daemon_json;
mod diff;
mod draft;
mod lines;
mod list;
mod pem;
mod people;
mod registries;

pub use bundle::{BundleError, MAX_ZIP, certificate_from_zip, dtr_bundle};
pub use daemon_json::{DaemonJsonError, name_plugin, unname_plugin};
pub use diff::{Line, diff};
pub use draft::{Draft, EditError};
pub use lines::Lines;
pub use pem::{MAX_PEM, PemError, certificates, holds_private_key};
pub use people::{UserEntry, is_file_name};
pub use registries::{NewRegistry, RegistryEntry};
