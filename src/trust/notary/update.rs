//! One update of one repository, as a state machine: it says which file it wants, is
//! given bytes and the time, and ends in [`TrustData`] or a [`Fault`]. It performs no IO.
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
//! 6. On a fault in 2 to 5: once, the newest root is fetched and, if it is another one,
//!    all starts again from 2.
//!
//! Where Notary is wrong it is not followed: the highest version seen is kept for *every*
//! role, delegations too, and pins hold for every root.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::data::{LoadedRole, TrustData};
use super::fault::Fault;
use super::limits;
use super::metadata::{Delegation, Envelope, FileMeta, Header, Listing, RoleKeys, Root, Targets};
use super::role::{DelegationName, FileName, Role};
use super::root::{self, RootPolicy};
use super::signed::{Signers, threshold};
use crate::image::{Digest, Repository};
use crate::trust::crypto::sha256;

/// What this node knows of a repository from earlier updates.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The root file last trusted.
    pub root: Option<Vec<u8>>,
    /// The highest version seen of each role, by the role's name.
    pub versions: BTreeMap<String, u64>,
}

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
pub struct Update<'p> {
    gun: &'p Repository,
    policy: &'p RootPolicy,
    floor: BTreeMap<String, u64>,
    root: Option<TrustedRoot>,
    stage: Stage,
    /// The fault that made the newest root be fetched. Set at most once an update.
    setback: Option<Fault>,
    timestamp: Option<Listing>,
    snapshot: Option<Listing>,
    roles: Vec<LoadedRole>,
    pending: Vec<Pending>,
    left_out: Vec<(DelegationName, Fault)>,
    total: u64,
}

struct TrustedRoot {
    root: Root,
    sha256: Digest,
}

enum Stage {
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
    Done,
}

/// A delegation declared and not yet loaded.
struct Pending {
    delegation: Delegation,
    /// Its paths as narrowed by those above it.
    paths: Vec<String>,
    parent: usize,
}

impl<'p> Update<'p> {
    /// Starts an update from what the node knows. Errors where the stored root is
    /// damaged: to begin anew in silence would throw the root of trust away.
    pub fn new(
        gun: &'p Repository,
        policy: &'p RootPolicy,
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
            gun,
            policy,
            floor: if forgotten { BTreeMap::new() } else { history.versions.clone() },
            root,
            stage: Stage::Root,
            setback: None,
            timestamp: None,
            snapshot: None,
            roles: Vec::new(),
            pending: Vec::new(),
            left_out: Vec::new(),
            total: 0,
        };
        if let Some(known) = &update.root {
            match current(&Role::Root, &known.root.header, now) {
                Ok(()) => update.stage = Stage::Timestamp,
                Err(fault) => update.setback = Some(fault),
            }
        }
        Ok(update)
    }

    /// The file wanted next; `None` when the update is complete.
    pub fn wanted(&self) -> Option<Wanted> {
        let by_hash = |role: Role, listing: &Option<Listing>| {
            let meta = listing.as_ref()?.meta.get(role.as_str())?.clone();
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
        };
        let by_name = |file, max_len| Some(Wanted { file, max_len, meta: None });
        match &self.stage {
            Stage::Root => by_hash(Role::Root, &self.snapshot)
                .or_else(|| by_name(FileName::Current(Role::Root), limits::ROOT)),
            Stage::RootChain { version, .. } => {
                by_name(FileName::RootVersion(*version), limits::ROOT)
            }
            Stage::Timestamp => by_name(FileName::Current(Role::Timestamp), limits::TIMESTAMP),
            Stage::Snapshot => by_hash(Role::Snapshot, &self.timestamp),
            Stage::Targets => by_hash(Role::Targets, &self.snapshot),
            Stage::Delegation(pending) => {
                by_hash(Role::Delegation(pending.delegation.name.clone()), &self.snapshot)
            }
            Stage::Done => None,
        }
    }

    /// Takes the bytes of the file wanted. An error ends the update.
    pub fn offer(&mut self, bytes: &[u8], now: Timestamp) -> Result<(), Fault> {
        match self.step(bytes, now) {
            Ok(()) => Ok(()),
            Err(fault) => self.set_back(fault),
        }
    }

    /// Takes it that the server has no such file. An error ends the update.
    pub fn absent(&mut self) -> Result<(), Fault> {
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

    /// What was verified; `None` while a file is still wanted.
    pub fn finish(self) -> Option<(TrustData, BTreeMap<String, u64>)> {
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
        for loaded in &self.roles {
            versions.insert(loaded.role.to_string(), loaded.header.version);
        }
        let root_keys = root.root.root.keys.iter().map(|key| key.signing.clone()).collect();
        let data = TrustData::new(self.gun.clone(), headers, root_keys, self.roles, self.left_out);
        Some((data, versions))
    }

    /// On the first fault past the root, the newest root may explain it: keys rotate.
    fn set_back(&mut self, fault: Fault) -> Result<(), Fault> {
        let at_root = matches!(self.stage, Stage::Root | Stage::RootChain { .. });
        if at_root || self.setback.is_some() {
            return Err(fault);
        }
        self.setback = Some(fault);
        self.stage = Stage::Root;
        Ok(())
    }

    fn step(&mut self, bytes: &[u8], now: Timestamp) -> Result<(), Fault> {
        let Some(wanted) = self.wanted() else { return Ok(()) };
        let role = wanted.file.role().clone();
        self.total = self.total.saturating_add(bytes.len() as u64);
        if self.total > limits::TOTAL {
            let (what, limit) = ("bytes of trust data before it", limits::TOTAL);
            return Err(Fault::TooMany { role, what, limit });
        }
        if bytes.len() as u64 > wanted.max_len || wanted.meta.is_some_and(|m| !m.matches(bytes)) {
            let parent = if role == Role::Snapshot { Role::Timestamp } else { Role::Snapshot };
            return Err(Fault::Hash { role, parent });
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
            Stage::Done => Ok(()),
        }
    }

    fn newest_root(&mut self, bytes: &[u8], now: Timestamp) -> Result<(), Fault> {
        let digest = Digest::from_bytes(sha256(bytes));
        if let (Some(known), Some(setback)) = (&self.root, &self.setback)
            && known.sha256 == digest
        {
            return Err(setback.clone());
        }
        let file = Envelope::read(Role::Root, bytes)?;
        let known = self.root.as_ref().map(|known| &known.root);
        match root::verify(&file, self.gun, known, self.policy, true, now) {
            Ok(root) => {
                self.not_older(&Role::Root, root.header.version)?;
                current(&Role::Root, &root.header, now)?;
                self.trust(root, digest);
                self.restart();
                Ok(())
            }
            // More than one rotation behind: walk the roots between.
            Err(Fault::RootRotation { known, offered }) if offered > known + 1 => {
                if offered - known > limits::ROOT_CHAIN {
                    let (what, limit) = ("versions since the one known", limits::ROOT_CHAIN);
                    return Err(Fault::TooMany { role: Role::Root, what, limit });
                }
                self.stage = Stage::RootChain { version: known + 1, newest: bytes.to_vec() };
                Ok(())
            }
            Err(fault) => Err(fault),
        }
    }

    fn chained_root(
        &mut self,
        bytes: &[u8],
        version: u64,
        newest: Vec<u8>,
        now: Timestamp,
    ) -> Result<(), Fault> {
        let file = Envelope::read(Role::Root, bytes)?;
        let known = self.root.as_ref().map(|known| &known.root);
        let root = root::verify(&file, self.gun, known, self.policy, false, now)?;
        if root.header.version != version {
            let what = format!("{version}.root.json says version {}", root.header.version);
            return Err(Fault::malformed(&Role::Root, &what));
        }
        self.trust(root, Digest::from_bytes(sha256(bytes)));
        let newest_version = Envelope::read(Role::Root, &newest)?.root()?.header.version;
        if version + 1 < newest_version {
            self.stage = Stage::RootChain { version: version + 1, newest };
            return Ok(());
        }
        self.stage = Stage::Root;
        self.newest_root(&newest, now)
    }

    fn load_timestamp(&mut self, bytes: &[u8], now: Timestamp) -> Result<(), Fault> {
        let file = Envelope::read(Role::Timestamp, bytes)?;
        self.signed_by_root(&file, |root| &root.timestamp)?;
        let timestamp = file.listing()?;
        self.not_older(&file.role, timestamp.header.version)?;
        current(&file.role, &timestamp.header, now)?;
        timestamp.names(&file.role, &[Role::Snapshot])?;
        self.timestamp = Some(timestamp);
        self.stage = Stage::Snapshot;
        Ok(())
    }

    fn load_snapshot(&mut self, bytes: &[u8], now: Timestamp) -> Result<(), Fault> {
        let file = Envelope::read(Role::Snapshot, bytes)?;
        self.signed_by_root(&file, |root| &root.snapshot)?;
        let snapshot = file.listing()?;
        self.not_older(&file.role, snapshot.header.version)?;
        current(&file.role, &snapshot.header, now)?;
        snapshot.names(&file.role, &[Role::Root, Role::Targets])?;
        let names = snapshot.meta.get("root").map(|meta| meta.sha256);
        let ours = self.root.as_ref().map(|root| root.sha256);
        self.snapshot = Some(snapshot);
        if names != ours {
            return Err(Fault::Hash { role: Role::Root, parent: Role::Snapshot });
        }
        self.stage = Stage::Targets;
        Ok(())
    }

    fn load_targets(&mut self, bytes: &[u8], now: Timestamp) -> Result<(), Fault> {
        let file = Envelope::read(Role::Targets, bytes)?;
        let signers = self.signed_by_root(&file, |root| &root.targets)?;
        let targets = file.targets()?;
        self.not_older(&file.role, targets.header.version)?;
        current(&file.role, &targets.header, now)?;
        self.load(&file, targets, vec![String::new()], None, signers)
    }

    fn load_delegation(
        &mut self,
        pending: Pending,
        bytes: &[u8],
        now: Timestamp,
    ) -> Result<(), Fault> {
        let Pending { delegation, paths, parent } = pending;
        let file = Envelope::read(Role::Delegation(delegation.name.clone()), bytes)?;
        let targets = file.targets()?;
        self.not_older(&file.role, targets.header.version)?;
        if let Some(why) = delegation.keys.keys.iter().find_map(|key| key.weakness) {
            return Err(Fault::WeakKey { role: file.role, why });
        }
        let checked = threshold(&file, &delegation.keys)
            .and_then(|signers| current(&file.role, &targets.header, now).map(|()| signers));
        match checked {
            Ok(signers) => self.load(&file, targets, paths, Some(parent), signers),
            // Nobody's fault but the signer's: the rest of the repository stands.
            Err(fault @ (Fault::Expired { .. } | Fault::Threshold { .. })) => {
                self.left_out.push((delegation.name, fault));
                self.next_delegation();
                Ok(())
            }
            Err(fault) => Err(fault),
        }
    }

    /// Keeps a verified targets or delegation file, and queues what it declares.
    fn load(
        &mut self,
        file: &Envelope<'_>,
        targets: Targets,
        paths: Vec<String>,
        parent: Option<usize>,
        signers: Signers,
    ) -> Result<(), Fault> {
        let own = self.roles.len();
        if own + self.pending.len() + targets.delegations.len() > limits::DELEGATIONS {
            let (what, limit) = ("delegations", limits::DELEGATIONS as u64);
            return Err(Fault::TooMany { role: Role::Targets, what, limit });
        }
        // The stack is popped from its end, so the first declared is pushed last.
        for delegation in targets.delegations.into_iter().rev() {
            let narrowed = delegation
                .paths
                .iter()
                .filter(|path| paths.iter().any(|above| path.starts_with(above.as_str())))
                .cloned()
                .collect();
            self.pending.push(Pending { delegation, paths: narrowed, parent: own });
        }
        self.roles.push(LoadedRole {
            role: file.role.clone(),
            header: targets.header,
            paths,
            parent,
            signers: signers.into_keys().map(|key| key.signing.clone()).collect(),
            targets: targets.targets,
        });
        self.next_delegation();
        Ok(())
    }

    /// Goes on to the next delegation that has a file: one declared and never published
    /// is not in the snapshot.
    fn next_delegation(&mut self) {
        self.stage = Stage::Done;
        while let Some(pending) = self.pending.pop() {
            let name = pending.delegation.name.as_str();
            if self.snapshot.as_ref().is_some_and(|snapshot| snapshot.meta.contains_key(name)) {
                self.stage = Stage::Delegation(Box::new(pending));
                return;
            }
        }
    }

    fn trust(&mut self, root: Root, sha256: Digest) {
        self.floor.insert(Role::Root.to_string(), root.header.version);
        self.root = Some(TrustedRoot { root, sha256 });
    }

    /// Forgets all but the root, and goes on with the timestamp.
    fn restart(&mut self) {
        self.timestamp = None;
        self.snapshot = None;
        self.roles.clear();
        self.pending.clear();
        self.left_out.clear();
        self.stage = Stage::Timestamp;
    }

    fn signed_by_root(
        &self,
        file: &Envelope<'_>,
        keys: impl Fn(&Root) -> &RoleKeys,
    ) -> Result<Signers, Fault> {
        match &self.root {
            Some(known) => threshold(file, keys(&known.root)),
            None => Err(Fault::Missing { file: "root.json".to_owned(), parent: Role::Root }),
        }
    }

    fn not_older(&self, role: &Role, offered: u64) -> Result<(), Fault> {
        match self.floor.get(role.as_str()) {
            Some(&seen) if offered < seen => {
                Err(Fault::Rollback { role: role.clone(), offered, seen })
            }
            _ => Ok(()),
        }
    }
}

/// Notary tolerates no skew: a file is out from the moment it names.
fn current(role: &Role, header: &Header, now: Timestamp) -> Result<(), Fault> {
    if header.expires < now {
        Err(Fault::Expired { role: role.clone(), at: header.expires })
    } else {
        Ok(())
    }
}
