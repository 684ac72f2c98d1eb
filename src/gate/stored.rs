//! What is kept of a repository and how it would serve without a server: for people who
//! look after it. Nothing is decided by it, and nothing is changed.

use jiff::Timestamp;

use super::refresh::plain_name;
use super::seen;
use crate::image::Repository;
use crate::source::{Store, StoreError};
use crate::trust::notary::{Fault, RootPolicy, TrustData, Update};

/// Why what is kept does not serve.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// What was seen cannot be told.
    #[error("{0}")]
    Record(#[from] StoreError),
    /// No root is trusted: the repository was never verified, or was forgotten.
    #[error("nothing is known of it")]
    Unknown,
    /// The root that was trusted cannot be used.
    #[error("{0}")]
    Root(Fault),
    /// Its files cannot be used, and will be fetched.
    #[error("{0}")]
    Files(#[from] Fault),
}

/// Verifies what is kept, as the plugin does where it has to do without the server.
pub fn stored(
    store: &Store,
    repository: &Repository,
    root: &RootPolicy,
    now: Timestamp,
) -> Result<TrustData, Unusable> {
    let seen = seen::look(store, repository)?;
    if seen.history().root.is_none() {
        return Err(Unusable::Unknown);
    }
    let mut update = Update::new(repository, root, seen.history(), now).map_err(Unusable::Root)?;
    while let Some(wanted) = update.wanted() {
        match seen::file(store, repository, &plain_name(&wanted.file)) {
            Some(bytes) => update.offer(&bytes, now)?,
            None => update.absent()?,
        }
    }
    update.finish().map(|(data, _)| data).ok_or(Unusable::Unknown)
}
