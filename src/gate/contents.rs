//! Looking into digests that were signed: which manifests does an index list, and which
//! configuration does a manifest name?
//!
//! What a digest stands for never changes, so what was fetched once is kept on disk, and
//! checked by its hash each time it is read. The registry is asked only where an image is
//! about to be refused, and a few times only: some count each question as a pull.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::join_all;
use jiff::Timestamp;
use tracing::{error, warn};

use super::asking::Told;
use super::repositories::Repositories;
use super::{Gate, away};
use crate::image::{Digest, Repository};
use crate::policy::{self, Evidence, Gap, Look, Subject};
use crate::source::{Deadline, Unavailable};
use crate::trust::notary::TrustData;
use crate::trust::{Content, WrongContent};

/// Most digests that a registry is asked for, for one decision.
const MAX_FETCHED: usize = 16;
/// How many of them at a time.
const AT_ONCE: usize = 4;
/// Most of a repository's manifests kept on disk.
const MAX_KEPT: usize = 256;

/// Most signatures and tags of trust data that is judged in a moment: checking who issued a
/// certificate takes a tenth of a millisecond, and a digest's tags are sorted once.
const SMALL: (usize, usize) = (8, 2000);

/// What is judged: a subject, and what was gathered about it.
pub(super) struct Case {
    pub subject: Subject,
    pub evidence: Evidence,
    pub now: Timestamp,
    /// Whether the image is as the engine told of it before, and it was not asked this time.
    pub remembered: bool,
    /// The repositories whose trust server was not asked since the decision began, and could
    /// still be.
    pub unasked: Vec<Repository>,
    /// What is worth saying of a repository beside the verdict.
    pub notes: BTreeMap<Repository, String>,
}

impl Case {
    /// Takes trust data in, in place of what was there of its repositories. Whether it is
    /// other data than that.
    pub fn take(&mut self, answers: Vec<(Repository, Told)>) -> bool {
        let mut changed = false;
        for (repository, Told { data, note, asked, grace }) in answers {
            match note {
                Some(note) => drop(self.notes.insert(repository.clone(), note)),
                None => drop(self.notes.remove(&repository)),
            }
            match grace {
                Some(grace) => drop(self.evidence.graces.insert(repository.clone(), grace)),
                None => drop(self.evidence.graces.remove(&repository)),
            }
            if !asked {
                self.unasked.push(repository.clone());
            }
            let place = self.evidence.trust.iter_mut().find(|(known, _)| *known == repository);
            if let Some((_, known)) = place {
                changed |= !is_same(known, &data);
                *known = data;
            } else {
                changed = true;
                self.evidence.trust.push((repository, data));
            }
        }
        changed
    }

    /// Whether judging it takes a moment only.
    pub fn is_small(&self) -> bool {
        let (signatures, tags) = SMALL;
        let data = self.evidence.trust.iter().filter_map(|(_, data)| data.as_ref().ok());
        data.into_iter().all(|data| data.signatures() <= signatures && data.tags() <= tags)
    }

    /// Whether a verdict on it rests on where a bind leads that was followed. One that was not
    /// is refused or not by its name alone.
    pub fn rests_on_paths(&self) -> bool {
        !self.evidence.host.leads_to.is_empty()
    }

    fn unread(&self) -> Vec<(Repository, Digest)> {
        policy::unread(&self.subject, &self.evidence, self.now)
    }
}

fn is_same(one: &Result<Arc<TrustData>, Gap>, other: &Result<Arc<TrustData>, Gap>) -> bool {
    match (one, other) {
        (Ok(one), Ok(other)) => Arc::ptr_eq(one, other),
        (Err(one), Err(other)) => one == other,
        _ => false,
    }
}

impl Gate {
    /// Looks into what was signed until it is known whether that covers the image, or no more
    /// can be asked; before the `deadline` also at the registry, without one only on the
    /// node. Whether there was anything new to look into.
    pub(super) async fn look_into(&self, case: &mut Case, deadline: Option<Deadline>) -> bool {
        let (mut fetched, before) = (0, case.evidence.contents.len());
        loop {
            let mut unread = case.unread();
            if unread.is_empty() {
                break;
            }
            let kept = self.repositories().kept(unread.clone()).await;
            if !kept.is_empty() {
                case.evidence.contents.extend(kept);
                continue;
            }
            let Some(deadline) = deadline else { break };
            unread.truncate(AT_ONCE.min(MAX_FETCHED - fetched));
            if unread.is_empty() {
                case.evidence.cut_short = true;
                break;
            }
            fetched += unread.len();
            let looks = unread.into_iter().map(|(repository, digest)| async move {
                (digest, self.repositories().fetched(&repository, digest, deadline).await)
            });
            case.evidence.contents.extend(join_all(looks).await);
        }
        case.evidence.contents.len() > before || case.evidence.cut_short
    }
}

impl Repositories {
    /// What is on disk of these.
    async fn kept(&self, wanted: Vec<(Repository, Digest)>) -> Vec<(Digest, Look)> {
        let store = self.store.clone();
        let read = move || {
            let one = |(repository, digest): (Repository, Digest)| {
                let bytes = store.read(&repository, &file_of(digest));
                let bytes = bytes.inspect_err(|error| warn!(%error, "a manifest cannot be read"));
                // One that is damaged is fetched anew.
                let content = Content::read(digest, &bytes.ok()??).ok()?;
                Some((digest, Look::Into(content)))
            };
            wanted.into_iter().filter_map(one).collect()
        };
        away(read).await
    }

    /// What the registry gives for a digest, kept on disk if it is that.
    async fn fetched(&self, repository: &Repository, digest: Digest, deadline: Deadline) -> Look {
        let Some(registered) = self.registries.get(repository.host()) else {
            return Look::Nothing;
        };
        if self.offline {
            return Look::Unavailable {
                cause: format!(
                    "what the signed {digest} stands for is not on this node, and the network \
                     is not to be used"
                ),
                remedy: "check it once with the network, without --offline".to_owned(),
            };
        }
        let registry = registered.remote.registry();
        let bytes = match registry.manifest(repository, digest, deadline).await {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Look::Nothing,
            Err(error) => {
                let remedy = remedy(&error).to_owned();
                return Look::Unavailable { cause: error.to_string(), remedy };
            }
        };
        let (store, owner) = (self.store.clone(), repository.clone());
        let read = move || {
            let content = Content::read(digest, &bytes)?;
            // To be fetched again costs a moment; it decides nothing.
            if let Err(error) = store.write_among(&owner, &file_of(digest), &bytes, MAX_KEPT) {
                error!(%error, "a manifest could not be kept");
            }
            Ok(content)
        };
        match away(read).await {
            Ok(content) => Look::Into(content),
            Err::<_, WrongContent>(error) => Look::Unavailable {
                cause: format!("registry {} is not to be relied on: {error}", repository.host()),
                remedy: "tell those who run the registry".to_owned(),
            },
        }
    }
}

/// The name under which the content of a digest is kept.
fn file_of(digest: Digest) -> String {
    format!("manifests/{}.json", digest.hex())
}

/// What an operator can do about a registry that cannot be asked.
fn remedy(error: &Unavailable) -> &'static str {
    match error.kind() {
        "tls" | "unauthorized" | "rate-limited" | "proxy" => super::remedy(error),
        _ => "try again when the registry answers",
    }
}
