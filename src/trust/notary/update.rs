//! One update of one repository, as a state machine: it says which file it wants, is
//! given bytes and the time, and ends in [`TrustData`] or a [`Fault`]. It performs no IO.
//! What each file does once it is there is in `steps`.
//!
//! Source: `client/tufclient.go` of Notary 0.7 (`Update`, `bootstrapClient`,
//! `updateRoot`), in this order:
//!
//! 1. **root**: the one known on this node, else the newest under the policy's pins.
//! 2. **timestamp**, by root's keys.
//! 3. **snapshot**, the file that the timestamp names. It names the root too: where that
//!    is not ours, the new root is fetched and all starts again.
//! 4. **targets**, the file that the snapshot names.
//! 5. **delegations**, depth first, each by the keys its parent declares. One that has
//!    expired or lost its signatures is left out with all below it; any other fault
//!    condemns the update.
//! 6. **earlier lists**: a delegation's file that bears a version which `targets/releases`
//!    has passed is held against that list, as whoever may push can put one in place of
//!    the other.
//! 7. On a fault in 2 to 5: once, the newest root is fetched and, if it is another one,
//!    all starts again from 2.
//!
//! Where Notary is wrong it is not followed: the highest version seen is kept for *every*
//! role, delegations too, and pins hold for every root.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::data::TrustData;
use super::fault::Fault;
use super::grace::Grace;
use super::history::{Examined, History};
use super::limits;
use super::metadata::{Envelope, FileMeta, Listing, Root};
use super::role::{FileName, Role};
use super::root::{self, RootPolicy};
use super::tree::{Pending, Tree};
use crate::image::{Digest, Repository};
use crate::trust::crypto::sha256;

/// A file that the update wants next.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Its name on the trust server.
    pub file: FileName,
    /// Most bytes it may have.
    pub max_len: u64,
    meta: Option<FileMeta>,
}

impl Wanted {
    /// Whether these bytes are the file wanted, known by its SHA-256. Always false for
    /// files wanted by name alone, of which there may be a newer one. The other hash and
    /// the length are checked when the bytes are offered.
    pub fn is(&self, bytes: &[u8]) -> bool {
        self.meta.as_ref().is_some_and(|meta| *meta.sha256.as_bytes() == sha256(bytes))
    }
}

/// An update under way.
pub struct Update {
    pub(super) gun: Repository,
    pub(super) policy: RootPolicy,
    pub(super) floor: BTreeMap<String, u64>,
    pub(super) root: Option<TrustedRoot>,
    pub(super) stage: Stage,
    /// The fault that made the newest root be fetched. Set at most once an update.
    pub(super) setback: Option<Fault>,
    pub(super) timestamp: Option<Listing>,
    pub(super) snapshot: Option<Listing>,
    pub(super) tree: Tree,
    pub(super) examined: BTreeMap<String, Examined>,
    /// What was verified of the repository before, if anything is to be taken over.
    pub(super) known: Option<Arc<TrustData>>,
    pub(super) total: u64,
    /// Whether its files are kept ones, checked by every hash before.
    pub(super) are_kept: bool,
    pub(super) grace: Grace,
}

pub(super) struct TrustedRoot {
    pub root: Root,
    pub sha256: Digest,
}

pub(super) enum Stage {
    /// The newest root.
    Root,
    /// The root of this version, between the known one and `newest`.
    RootChain {
        version: u64,
        newest: Vec<u8>,
    },
    Timestamp,
    Snapshot,
    Targets,
    Delegation(Box<Pending>),
    /// The list that had this version.
    EarlierList(u64),
    Done,
    /// Nothing more is wanted, and nothing comes of it.
    Refused(Fault),
}

impl Update {
    /// Starts an update from what the node knows. Errors where the stored root is
    /// damaged: to begin anew in silence would throw the root of trust away.
    pub fn new(
        gun: &Repository,
        policy: &RootPolicy,
        history: &History,
        now: Timestamp,
    ) -> Result<Self, Fault> {
        let root = match &history.root {
            None => None,
            Some(bytes) => {
                let file = Envelope::read(Role::Root, bytes)?;
                root::stored(&file, gun, policy, now)?
                    .map(|root| TrustedRoot { root, sha256: Digest::from_bytes(sha256(bytes)) })
            }
        };
        let forgotten = history.root.is_some() && root.is_none();
        let mut update = Self {
            gun: gun.clone(),
            policy: policy.clone(),
            floor: if forgotten { BTreeMap::new() } else { history.versions.clone() },
            root,
            stage: Stage::Root,
            setback: None,
            timestamp: None,
            snapshot: None,
            tree: Tree::default(),
            examined: history.examined.clone(),
            known: None,
            total: 0,
            are_kept: false,
            grace: Grace::NONE,
        };
        if let Some(known) = &update.root {
            match root::check_current(&known.root, gun, policy, now) {
                Ok(()) => update.stage = Stage::Timestamp,
                Err(fault) => update.setback = Some(fault),
            }
        }
        Ok(update)
    }

    /// Takes files that are kept on the node, all of which were verified before they were. They
    /// may have run out lately, while the trust server cannot be asked:
    /// [`TrustData::check_current`] tells whether what comes of it is in date.
    #[must_use]
    pub fn of_kept_files(mut self, grace: Grace) -> Self {
        self.are_kept = true;
        self.grace = grace;
        self
    }

    /// Takes over what was verified before of files that have not changed, by their hashes
    /// and by the keys that vouch for them: they are not asked for again. All else is
    /// checked as if they had been.
    #[must_use]
    pub fn knowing(mut self, known: Option<Arc<TrustData>>) -> Self {
        self.known = known.filter(|known| *known.repository() == self.gun);
        self
    }

    /// The file wanted next; `None` when the update is complete.
    pub fn wanted(&self) -> Option<Wanted> {
        let (timestamp, snapshot) = (self.timestamp.as_ref(), self.snapshot.as_ref());
        let by_name = |file, max_len| Some(Wanted { file, max_len, meta: None });
        match &self.stage {
            Stage::Root => as_listed(Role::Root, snapshot)
                .or_else(|| by_name(FileName::Current(Role::Root), limits::ROOT)),
            Stage::RootChain { version, .. } => {
                by_name(FileName::RootVersion(*version), limits::ROOT)
            }
            Stage::Timestamp => by_name(FileName::Current(Role::Timestamp), limits::TIMESTAMP),
            Stage::Snapshot => as_listed(Role::Snapshot, timestamp),
            Stage::Targets => as_listed(Role::Targets, snapshot),
            Stage::Delegation(pending) => {
                as_listed(Role::Delegation(pending.delegation.name.clone()), snapshot)
            }
            Stage::EarlierList(version) => {
                by_name(FileName::ListVersion(*version), limits::TARGETS)
            }
            Stage::Done | Stage::Refused(_) => None,
        }
    }

    /// The file that will be wanted once the one wanted now is verified, or some time after
    /// it where that one declares others: the next delegation that verified files declare.
    /// So it can be had meanwhile. `None` where none is known yet.
    pub fn upcoming(&self) -> Option<Wanted> {
        let (Stage::Delegation(_), Some(snapshot)) = (&self.stage, &self.snapshot) else {
            return None;
        };
        let mut pending = self.tree.upcoming(snapshot);
        let role = |one: &Pending| Role::Delegation(one.delegation.name.clone());
        let unknown = |one: &&Pending| self.carried(&role(one), &one.delegation.keys).is_none();
        as_listed(role(pending.find(unknown)?), Some(snapshot))
    }

    /// Takes the bytes of the file wanted. An error ends the update.
    pub fn offer(&mut self, bytes: &[u8], now: Timestamp) -> Result<(), Fault> {
        self.under_way()?;
        match self.step(bytes, now) {
            Ok(()) => Ok(()),
            Err(fault) => self.set_back(fault),
        }
    }

    /// Takes it that the server has no such file. An error ends the update.
    pub fn absent(&mut self) -> Result<(), Fault> {
        self.under_way()?;
        if let Stage::EarlierList(version) = self.stage {
            self.examine_after(version);
            return Ok(());
        }
        // No newer root that could mend it: the fault stands.
        if let (Stage::Root, Some(setback)) = (&self.stage, self.setback.clone()) {
            return self.set_back(setback);
        }
        let (file, parent) = match (self.wanted(), &self.stage) {
            (Some(wanted), Stage::Snapshot) => (wanted.file.to_string(), Role::Timestamp),
            (Some(wanted), Stage::Targets | Stage::Delegation(_)) => {
                (wanted.file.to_string(), Role::Snapshot)
            }
            (Some(wanted), _) => (wanted.file.to_string(), Role::Root),
            (None, _) => return Ok(()),
        };
        self.set_back(Fault::Missing { file, parent })
    }

    /// The fault that the newest root was to mend, while it is being fetched.
    pub fn setback(&self) -> Option<&Fault> {
        self.setback.as_ref()
    }

    /// What was verified, and what to remember of it (all but the root's bytes). `None`
    /// while a file is still wanted, or after an error.
    pub fn finish(self) -> Option<(TrustData, History)> {
        let (Stage::Done, Some(root), Some(timestamp), Some(snapshot)) =
            (self.stage, self.root, self.timestamp, self.snapshot)
        else {
            return None;
        };
        let headers = [
            (Role::Root, root.root.header),
            (Role::Timestamp, timestamp.header),
            (Role::Snapshot, snapshot.header),
        ];
        // A role seen before and not now keeps its floor: it may come back.
        let mut versions = self.floor;
        for (role, header) in &headers {
            versions.insert(role.to_string(), header.version);
        }
        for loaded in &self.tree.roles {
            versions.insert(loaded.file.role.to_string(), loaded.file.header.version);
        }
        let root_keys = root.root.root.keys.iter().map(|key| key.signing.clone()).collect();
        let examined = self.tree.examined();
        let Tree { roles, left_out, .. } = self.tree;
        let data = TrustData::new(self.gun, headers, root_keys, roles, left_out);
        Some((data, History { root: None, versions, examined }))
    }

    /// An error is final.
    fn under_way(&self) -> Result<(), Fault> {
        match &self.stage {
            Stage::Refused(fault) => Err(fault.clone()),
            _ => Ok(()),
        }
    }

    /// On the first fault past the root, the newest root may explain it: keys rotate.
    fn set_back(&mut self, fault: Fault) -> Result<(), Fault> {
        let at_root = matches!(self.stage, Stage::Root | Stage::RootChain { .. });
        if at_root || self.setback.is_some() {
            self.stage = Stage::Refused(fault.clone());
            return Err(fault);
        }
        self.setback = Some(fault);
        self.stage = Stage::Root;
        Ok(())
    }

    /// Counts the bytes of a role's file against the budget.
    pub(super) fn count(&mut self, role: &Role, bytes: u64) -> Result<(), Fault> {
        self.total = self.total.saturating_add(bytes);
        if self.total > limits::TOTAL {
            let (what, limit) = ("bytes of trust data before it", limits::TOTAL);
            return Err(Fault::TooMany { role: role.clone(), what, limit });
        }
        Ok(())
    }

    fn step(&mut self, bytes: &[u8], now: Timestamp) -> Result<(), Fault> {
        let Some(wanted) = self.wanted() else { return Ok(()) };
        let role = wanted.file.role().clone();
        self.count(&role, bytes.len() as u64)?;
        if wanted.meta.is_some_and(|meta| !meta.matches(bytes)) {
            let parent = if role == Role::Snapshot { Role::Timestamp } else { Role::Snapshot };
            return Err(Fault::Hash { role, parent });
        }
        if bytes.len() as u64 > wanted.max_len {
            return Err(Fault::TooMany { role, what: "bytes", limit: wanted.max_len });
        }
        match std::mem::replace(&mut self.stage, Stage::Done) {
            Stage::Root => {
                self.stage = Stage::Root;
                self.newest_root(bytes, now)
            }
            Stage::RootChain { version, newest } => {
                self.stage = Stage::RootChain { version, newest: newest.clone() };
                self.chained_root(bytes, version, newest, now)
            }
            Stage::Timestamp => {
                self.stage = Stage::Timestamp;
                self.load_timestamp(bytes, now)
            }
            Stage::Snapshot => {
                self.stage = Stage::Snapshot;
                self.load_snapshot(bytes, now)
            }
            Stage::Targets => {
                self.stage = Stage::Targets;
                self.load_targets(bytes, now)
            }
            Stage::Delegation(pending) => self.load_delegation(*pending, bytes, now),
            Stage::EarlierList(version) => {
                self.tree.hold_against(version, bytes);
                self.examine_after(version);
                Ok(())
            }
            // Nothing was wanted.
            Stage::Done | Stage::Refused(_) => Ok(()),
        }
    }
}

/// The file of a role as a timestamp or snapshot names it.
fn as_listed(role: Role, listing: Option<&Listing>) -> Option<Wanted> {
    let meta = listing?.meta.get(role.as_str())?.clone();
    let cap = match role {
        Role::Root => limits::ROOT,
        Role::Timestamp => limits::TIMESTAMP,
        Role::Snapshot => limits::SNAPSHOT,
        Role::Targets | Role::Delegation(_) => limits::TARGETS,
    };
    Some(Wanted {
        file: FileName::Hashed(role, meta.sha256),
        max_len: meta.length.min(cap),
        meta: Some(meta),
    })
}
