//! The steps of an [`Update`]: what each file does once it is there. It is verified by what
//! came before it, and says what comes next; one that does not verify is a [`Fault`], and
//! leaves the update as it was.

use std::sync::Arc;

use jiff::Timestamp;

use super::fault::Fault;
use super::file::RoleFile;
use super::limits;
use super::metadata::{Envelope, FileMeta, Listing, RoleKeys, Root, Targets};
use super::role::{FileName, Role};
use super::root;
use super::signed::{Signers, threshold};
use super::tree::{Pending, Tree};
use super::update::{Stage, TrustedRoot, Update};
use crate::image::Digest;
use crate::trust::crypto::sha256;

impl Update {
    pub(super) fn newest_root(&mut self, bytes: &[u8], now: Timestamp) -> Result<(), Fault> {
        let digest = Digest::from_bytes(sha256(bytes));
        if let (Some(known), Some(setback)) = (&self.root, &self.setback)
            && known.sha256 == digest
        {
            return Err(setback.clone());
        }
        let file = Envelope::read(Role::Root, bytes)?;
        let known = self.root.as_ref().map(|known| &known.root);
        match root::verify(&file, &self.gun, known, &self.policy, true, now) {
            Ok(root) => {
                self.not_older(&Role::Root, root.header.version)?;
                root.header.check_current(&Role::Root, now)?;
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

    pub(super) fn chained_root(
        &mut self,
        bytes: &[u8],
        version: u64,
        newest: Vec<u8>,
        now: Timestamp,
    ) -> Result<(), Fault> {
        let file = Envelope::read(Role::Root, bytes)?;
        let known = self.root.as_ref().map(|known| &known.root);
        let root = root::verify(&file, &self.gun, known, &self.policy, false, now)?;
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

    pub(super) fn load_timestamp(&mut self, bytes: &[u8], now: Timestamp) -> Result<(), Fault> {
        let file = Envelope::read(Role::Timestamp, bytes)?;
        self.signed_by_root(&file, |root| &root.timestamp)?;
        let timestamp = self.listing(&file)?;
        self.not_older(&file.role, timestamp.header.version)?;
        timestamp.header.check_within(&file.role, now, self.grace)?;
        timestamp.names(&file.role, &[Role::Snapshot])?;
        self.timestamp = Some(timestamp);
        self.stage = Stage::Snapshot;
        Ok(())
    }

    pub(super) fn load_snapshot(&mut self, bytes: &[u8], now: Timestamp) -> Result<(), Fault> {
        let file = Envelope::read(Role::Snapshot, bytes)?;
        self.signed_by_root(&file, |root| &root.snapshot)?;
        let snapshot = self.listing(&file)?;
        self.not_older(&file.role, snapshot.header.version)?;
        snapshot.header.check_within(&file.role, now, self.grace)?;
        snapshot.names(&file.role, &[Role::Root, Role::Targets])?;
        let names = snapshot.meta.get("root").map(|meta| meta.sha256);
        let ours = self.root.as_ref().map(|root| root.sha256);
        self.snapshot = Some(snapshot);
        if names != ours {
            return Err(Fault::Hash { role: Role::Root, parent: Role::Snapshot });
        }
        self.next_targets(now)
    }

    pub(super) fn load_targets(&mut self, bytes: &[u8], now: Timestamp) -> Result<(), Fault> {
        let file = Envelope::read(Role::Targets, bytes)?;
        let signers = self.signed_by_root(&file, |root| &root.targets)?;
        let keys = self.root.as_ref().map(|known| known.root.targets.clone());
        let file = self.verified(&file, file.targets()?, signers, keys, bytes)?;
        self.keep_targets(file, now)
    }

    /// Keeps a targets file whose bytes are verified.
    fn keep_targets(&mut self, file: Arc<RoleFile>, now: Timestamp) -> Result<(), Fault> {
        self.not_older(&file.role, file.header.version)?;
        file.header.check_current(&file.role, now)?;
        self.tree.load(file, vec![String::new()], None)?;
        self.next_delegation(now)
    }

    pub(super) fn load_delegation(
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
            .and_then(|signers| targets.header.check_current(&file.role, now).map(|()| signers));
        match checked {
            Ok(signers) => {
                let keys = Some(delegation.keys);
                let file = self.verified(&file, targets, signers, keys, bytes)?;
                self.tree.load(file, paths, Some(parent))?;
            }
            // Nobody's fault but the signer's: the rest of the repository stands.
            Err(fault @ (Fault::Expired { .. } | Fault::Threshold { .. })) => {
                self.tree.left_out.push((delegation.name, fault));
            }
            Err(fault) => return Err(fault),
        }
        self.next_delegation(now)
    }

    /// A file whose signatures were verified by `keys`, and whose hashes were checked.
    fn verified(
        &self,
        file: &Envelope<'_>,
        targets: Targets,
        signers: Signers,
        keys: Option<RoleKeys>,
        bytes: &[u8],
    ) -> Result<Arc<RoleFile>, Fault> {
        let (Some(meta), Some(keys)) = (self.listed(&file.role), keys) else {
            let file = FileName::Current(file.role.clone()).to_string();
            return Err(Fault::Missing { file, parent: Role::Snapshot });
        };
        let Targets { header, tags, delegations } = targets;
        Ok(Arc::new(RoleFile {
            role: file.role.clone(),
            meta: meta.clone(),
            length: bytes.len() as u64,
            keys,
            header,
            signers: signers.into_keys().collect(),
            payload: sha256(&file.payload),
            tags: self.tree.shared(tags),
            delegations,
        }))
    }

    /// Which files a timestamp or snapshot names, and by what they are known here.
    fn listing(&self, file: &Envelope<'_>) -> Result<Listing, Fault> {
        let mut listing = file.listing()?;
        if self.are_kept {
            let known = |(role, meta): (String, FileMeta)| (role, meta.by_one_hash());
            listing.meta = listing.meta.into_iter().map(known).collect();
        }
        Ok(listing)
    }

    /// What the snapshot says a role's file has to be.
    fn listed(&self, role: &Role) -> Option<&FileMeta> {
        self.snapshot.as_ref()?.meta.get(role.as_str())
    }

    /// What was verified before, where reading the role's file again and verifying it by
    /// `keys` would come to the same.
    pub(super) fn carried(&self, role: &Role, keys: &RoleKeys) -> Option<Arc<RoleFile>> {
        let known = self.known.as_ref()?.file(role)?;
        known.would_be(self.listed(role)?, keys).then(|| Arc::clone(known))
    }

    /// Goes on to the targets file, which may be known.
    fn next_targets(&mut self, now: Timestamp) -> Result<(), Fault> {
        self.stage = Stage::Targets;
        let root = self.root.as_ref();
        let known = root.and_then(|known| self.carried(&Role::Targets, &known.root.targets));
        match known {
            Some(file) => {
                self.count(&file.role, file.length)?;
                self.keep_targets(file, now)
            }
            None => Ok(()),
        }
    }

    /// Goes on to the next delegation that is not known, then to the earlier lists.
    fn next_delegation(&mut self, now: Timestamp) -> Result<(), Fault> {
        loop {
            let snapshot = self.snapshot.as_ref();
            let Some(pending) = snapshot.and_then(|snapshot| self.tree.next(snapshot, &self.floor))
            else {
                self.examine_after(0);
                return Ok(());
            };
            let role = Role::Delegation(pending.delegation.name.clone());
            let Some(file) = self.carried(&role, &pending.delegation.keys) else {
                self.stage = Stage::Delegation(Box::new(pending));
                return Ok(());
            };
            self.count(&role, file.length)?;
            self.not_older(&role, file.header.version)?;
            match file.header.check_current(&role, now) {
                Ok(()) => self.tree.load(file, pending.paths, Some(pending.parent))?,
                Err(fault) => self.tree.left_out.push((pending.delegation.name, fault)),
            }
        }
    }

    /// Goes on to the next earlier list that some file is to be held against.
    pub(super) fn examine_after(&mut self, version: u64) {
        self.stage = match self.tree.next_suspect(version, &self.examined) {
            Some(version) => Stage::EarlierList(version),
            None => Stage::Done,
        };
    }

    /// Trusts a root. As in TUF (section 5.3.11), what was seen under keys that it
    /// replaces no longer binds: else whoever once held them could set versions so high
    /// that nobody ever reaches them again.
    pub(super) fn trust(&mut self, root: Root, sha256: Digest) {
        if let Some(TrustedRoot { root: old, .. }) = &self.root {
            if !old.timestamp.has_same_keys(&root.timestamp) {
                self.floor.remove(Role::Timestamp.as_str());
            }
            if !old.snapshot.has_same_keys(&root.snapshot) {
                self.floor.remove(Role::Snapshot.as_str());
            }
            if !old.targets.has_same_keys(&root.targets) {
                self.floor.retain(|role, _| !role.starts_with(Role::Targets.as_str()));
            }
        }
        self.floor.insert(Role::Root.to_string(), root.header.version);
        self.root = Some(TrustedRoot { root, sha256 });
    }

    /// Forgets all but the root, and goes on with the timestamp.
    pub(super) fn restart(&mut self) {
        self.timestamp = None;
        self.snapshot = None;
        self.tree = Tree::default();
        self.stage = Stage::Timestamp;
    }

    pub(super) fn signed_by_root(
        &self,
        file: &Envelope<'_>,
        keys: impl Fn(&Root) -> &RoleKeys,
    ) -> Result<Signers, Fault> {
        match &self.root {
            Some(known) => threshold(file, keys(&known.root)),
            None => Err(Fault::Missing { file: "root.json".to_owned(), parent: Role::Root }),
        }
    }

    pub(super) fn not_older(&self, role: &Role, offered: u64) -> Result<(), Fault> {
        match self.floor.get(role.as_str()) {
            Some(&seen) if offered < seen => {
                Err(Fault::Rollback { role: role.clone(), offered, seen })
            }
            _ => Ok(()),
        }
    }
}
