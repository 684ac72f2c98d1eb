//! Forgetting a repository, on request: the only way.

use jiff::Timestamp;
use serde::Serialize;

use super::record::Record;
use super::{PATIENCE, find};
use crate::image::{Digest, Repository};
use crate::source::{Store, StoreError};
use crate::trust::crypto::sha256;

/// What was forgotten of a repository, and for whom: a line of `resets.log`.
#[derive(Clone, Debug, Serialize)]
pub struct Forgotten {
    /// When.
    pub time: Timestamp,
    /// Who ran the command, by user ID.
    pub uid: Option<u32>,
    /// Who had logged in to do so (`loginuid`), where the kernel knows.
    pub login_uid: Option<u32>,
    /// The repository.
    pub repository: String,
    /// SHA-256 of the root that was trusted.
    pub root: Option<String>,
    /// When the first root was trusted.
    pub since: Option<Timestamp>,
    /// The highest version seen of each role.
    pub versions: std::collections::BTreeMap<String, u64>,
    /// Files that were kept.
    pub files: usize,
    /// Why what was seen could not be told, where it could not.
    pub damage: Option<String>,
}

impl Forgotten {
    /// What would be forgotten now; `None` where nothing is kept.
    pub fn of(
        store: &Store,
        repository: &Repository,
        now: Timestamp,
    ) -> Result<Option<Self>, StoreError> {
        let found = find(store, repository);
        let files = store.names(repository)?.len();
        let (record, damage) = match found {
            Ok(found) => (found.record, None),
            Err(error) => (None, Some(error.to_string())),
        };
        let known = record.as_ref().is_some_and(|record| !record.versions.is_empty());
        let record = record.unwrap_or_else(|| Record::new(repository, store.node()));
        if !known && record.root.is_none() && files == 0 && damage.is_none() {
            return Ok(None);
        }
        let root = record.root.as_ref().map(|root| Digest::from_bytes(sha256(root.as_bytes())));
        Ok(Some(Self {
            time: now,
            uid: None,
            login_uid: None,
            repository: repository.to_string(),
            root: root.map(|root| root.to_string()),
            since: record.since,
            versions: record.versions,
            files,
            damage,
        }))
    }
}

/// Forgets a repository: its root of trust, the versions seen and its files. It is logged
/// first. What is left is a record of nothing, with a later epoch, by which processes that
/// remember more know that it was forgotten.
pub fn reset(
    store: &Store,
    repository: &Repository,
    forgotten: &Forgotten,
) -> Result<(), StoreError> {
    let _lock = store.lock(repository, PATIENCE)?;
    let [apart, _] = store.records(repository);
    let fault = |error: serde_json::Error| StoreError { path: apart.clone(), error: error.into() };
    store.log_reset(&serde_json::to_string(forgotten).map_err(fault)?)?;
    let known = find(store, repository).unwrap_or_default().record;
    let mut nothing = Record::new(repository, store.node());
    let (epoch, serial) = known.map_or((0, 0), |record| record.age());
    nothing.epoch =
        u64::try_from(forgotten.time.as_second()).unwrap_or(0).max(epoch.saturating_add(1));
    nothing.serial = serial.saturating_add(1);
    store.write_record(&apart, &nothing.write().map_err(fault)?)?;
    store.remove_all(repository)
}
