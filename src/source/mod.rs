//! **Bytes from elsewhere.** Where do bytes come from?
//!
//! Asks registries, trust servers and the engine, or reads what is kept on disk, and
//! brings back bytes, or says exactly why there are none. Every exchange is bounded in time and size. Nothing is
//! verified here beyond who is at the other end of a connection: what bytes mean, and
//! whether they are good enough, is not this room's business, and it knows neither
//! policies nor requests nor trust.
//!
//! May know: `image`. The only room that opens connections, and the only one that reads
//! the clock.

mod auth;
mod caller;
mod challenge;
mod changefeed;
mod clock;
mod containers;
mod credentials;
mod engine;
mod engine_error;
mod events;
mod glass;
mod host;
mod host_path;
mod http;
mod http_proxy;
mod https;
mod inspect;
mod inventory;
mod node;
mod node_id;
mod place;
mod plugin;
mod preface;
mod reach;
mod registry;
mod remote;
mod retry_after;
mod socket;
mod store;
#[cfg(test)]
mod testing;
mod tls;
mod trust_server;
mod tunnel;
mod unavailable;
mod url;
mod verifier;

pub use caller::{Caller, tell_host};
pub use changefeed::Change;
pub use clock::{Deadline, now};
pub use containers::Running;
pub use credentials::{Credentials, CredentialsError};
pub use engine::{Engine, LocalImage};
pub use engine_error::EngineError;
pub use events::Starts;
pub use glass::{BreakGlass, GlassError, LONGEST as LONGEST_BREAK};
pub use host::{Daemon, FileFacts, Group, Host, Kind, is_roots_alone};
pub use host_path::{has_folder, leads_to};
pub use http_proxy::{ProxySetting, ProxyUrlError};
pub use inspect::{Container, Defaults, Exec, Mount, Previous, Service, Volume};
pub use inventory::{ListedContainer, ListedImage, ListedService};
pub use node::{ManagedPlugin, NodeInfo};
pub use plugin::PluginSocket;
pub use preface::{Greeted, greet};
pub use reach::{connect, resolve};
pub use registry::Registry;
pub use remote::{RegistrySettings, Remote, SettingsError};
pub use store::{Aside, Lock, Store, StoreError, Synced, put, sync};
pub use tls::{BundleError, TlsError, certificates};
pub use trust_server::TrustServer;
pub use unavailable::{Place, Unavailable};
pub use url::UrlError;
