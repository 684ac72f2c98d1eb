//! Warnings ahead of time: what runs out soon, and what will stop then.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::sleep;
use tracing::warn;

use super::away;
use super::repositories::Repositories;
use crate::image::Repository;
use crate::policy::{Ending, role_ending};
use crate::source::{self, Store};
use crate::trust::notary::{Fault, Role, TrustData, stated};

/// How often all is looked at again.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// What was told today, so that nothing is told twice.
#[derive(Default)]
pub(super) struct Warned(Mutex<HashSet<String>>);

impl Warned {
    fn tell(&self, endings: impl IntoIterator<Item = Ending>) {
        for Ending { id, title, stops, remedy } in endings {
            let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if told.insert(title.clone()) {
                warn!(code = id, what = title, stops, remedy, "something runs out");
            }
        }
    }

    /// Tells of trust data that is new here.
    pub fn tell_of(&self, data: &TrustData, now: Timestamp) {
        let name = data.repository();
        let lasting = data.files().filter(|(role, ..)| **role != Role::Timestamp);
        self.tell(lasting.filter_map(|(role, _, at)| role_ending(name, role, at, now)));
    }

    fn begin_anew(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Repositories {
    /// Looks at all that ends, now and each day.
    pub(super) async fn warn_of_endings(self: &Arc<Self>) {
        loop {
            let now = source::now();
            self.warned.begin_anew();
            self.warned.tell(self.policy.endings(now));
            let all = Arc::clone(self);
            away(move || {
                for repository in all.registries.keys().flat_map(|host| all.in_use.of(host)) {
                    let files = stored_ends(&all.store, &repository);
                    let ends = files.into_iter().filter_map(|(role, end)| Some((role, end.ok()?)));
                    let lasting = ends.filter(|(role, _)| *role != Role::Timestamp);
                    let ending = |(role, at)| role_ending(&repository, &role, at, now);
                    all.warned.tell(lasting.filter_map(ending));
                }
            })
            .await;
            sleep(DAY).await;
        }
    }
}

/// When the files kept of a repository say that they run out, as they stand on disk.
pub fn stored_ends(
    store: &Store,
    repository: &Repository,
) -> Vec<(Role, Result<Timestamp, Fault>)> {
    let names = store.names(repository).unwrap_or_default();
    let roles = names.iter().filter_map(|name| Role::named(name));
    roles
        .filter_map(|role| {
            let bytes = store.read(repository, &format!("{role}.json")).ok()??;
            let expires = stated(&role, &bytes).map(|stated| stated.expires);
            Some((role, expires))
        })
        .collect()
}
