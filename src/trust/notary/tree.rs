//! The tree of delegations: what was loaded, and what is still to be.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::data::LoadedRole;
use super::fault::Fault;
use super::file::RoleFile;
use super::history::Examined;
use super::limits;
use super::metadata::{Delegation, Envelope, Listing};
use super::role::{DelegationName, FileName, Role};
use super::tags::Tags;
use crate::trust::crypto::sha256;

/// Delegations as they are loaded, depth first in the order declared.
#[derive(Default)]
pub(super) struct Tree {
    /// Targets first, then delegations, each after its parent.
    pub roles: Vec<LoadedRole>,
    pub left_out: Vec<(DelegationName, Fault)>,
    pending: Vec<Pending>,
}

/// A delegation declared and not yet loaded.
pub(super) struct Pending {
    pub delegation: Delegation,
    /// Its paths as narrowed by those above it.
    pub paths: Vec<String>,
    pub parent: usize,
}

impl Tree {
    /// Keeps a verified targets or delegation file, and queues what it declares.
    pub fn load(
        &mut self,
        file: Arc<RoleFile>,
        paths: Vec<String>,
        parent: Option<usize>,
    ) -> Result<(), Fault> {
        let own = self.roles.len();
        if own + self.pending.len() + file.delegations.len() > limits::DELEGATIONS {
            let (what, limit) = ("delegations", limits::DELEGATIONS as u64);
            return Err(Fault::TooMany { role: Role::Targets, what, limit });
        }
        // The stack is popped from its end, so the first declared is pushed last.
        for delegation in file.delegations.iter().rev() {
            let narrowed = delegation
                .paths
                .iter()
                .filter(|path| paths.iter().any(|above| path.starts_with(above.as_str())))
                .cloned()
                .collect();
            let delegation = delegation.clone();
            self.pending.push(Pending { delegation, paths: narrowed, parent: own });
        }
        self.roles.push(LoadedRole { file, paths, parent, replayed: false });
        Ok(())
    }

    /// The same tags where another role lists them already: what one person signs is most
    /// often what is released.
    pub fn shared(&self, tags: Arc<Tags>) -> Arc<Tags> {
        let known = self.roles.iter().map(|one| &one.file.tags);
        let same = known.into_iter().find(|known| known.says_the_same(&tags));
        same.map_or(tags, Arc::clone)
    }

    /// The next delegation that has a file. One that was never published is not in the
    /// snapshot; one that was seen before (`floor`) is being kept from us.
    pub fn next(&mut self, snapshot: &Listing, floor: &BTreeMap<String, u64>) -> Option<Pending> {
        loop {
            let pending = self.pending.pop()?;
            let name = &pending.delegation.name;
            if snapshot.meta.contains_key(name.as_str()) {
                return Some(pending);
            }
            if floor.contains_key(name.as_str()) {
                let file = FileName::Current(Role::Delegation(name.clone())).to_string();
                let declarer =
                    self.roles.get(pending.parent).map(|loaded| loaded.file.role.clone());
                let fault = Fault::Missing { file, parent: declarer.unwrap_or(Role::Targets) };
                self.left_out.push((name.clone(), fault));
            }
        }
    }

    /// The delegations that have a file and whose turn comes next, as far as is known.
    pub fn upcoming(&self, snapshot: &Listing) -> impl Iterator<Item = &Pending> {
        let is_there = |one: &&Pending| snapshot.meta.contains_key(one.delegation.name.as_str());
        self.pending.iter().rev().filter(is_there)
    }

    /// The next version, after `version`, of a file that may have been signed as the
    /// `targets/releases` of that version: any delegation of the owner's whose version that
    /// list has already passed. Files that were held against it before (`examined`) are
    /// what they were found to be.
    ///
    /// Whoever may push can put an old list in place of another's file, since it bears that
    /// person's signature and does not say which role it was signed for.
    pub fn next_suspect(
        &mut self,
        version: u64,
        examined: &BTreeMap<String, Examined>,
    ) -> Option<u64> {
        let is_releases =
            |role: &Role| matches!(role, Role::Delegation(name) if name.is_releases());
        let current = self.roles.iter().find(|one| is_releases(&one.file.role));
        let left_out = || self.left_out.iter().any(|(name, _)| name.is_releases());
        let below = match current {
            Some(releases) => releases.file.header.version,
            None if left_out() => u64::MAX,
            None => return None,
        };
        let tells_who = |one: &LoadedRole| match &one.file.role {
            Role::Delegation(name) => name.is_top_level() && !name.is_releases(),
            _ => false,
        };
        let mut next: Option<u64> = None;
        for one in self.roles.iter_mut().filter(|one| tells_who(one)) {
            let own = one.file.header.version;
            match examined.get(one.file.role.as_str()) {
                Some(known) if known.payload == one.file.payload => one.replayed = known.replay,
                _ if version < own && own < below && !one.file.signers.is_empty() => {
                    next = Some(next.map_or(own, |found| found.min(own)));
                }
                _ => {}
            }
        }
        next
    }

    /// Holds the files of this version against the list of this version. Nothing is
    /// believed of the list itself, so nothing of it needs to be verified.
    pub fn hold_against(&mut self, version: u64, list: &[u8]) {
        let releases = Role::Delegation(DelegationName::releases());
        let Ok(list) = Envelope::read(releases, list) else { return };
        let payload = sha256(&list.payload);
        for one in self.roles.iter_mut().filter(|one| one.file.header.version == version) {
            one.replayed |= one.file.payload == payload;
        }
    }

    /// What is to be remembered of the roles that were held against earlier lists.
    pub fn examined(&self) -> BTreeMap<String, Examined> {
        let is_delegation = |one: &&LoadedRole| matches!(one.file.role, Role::Delegation(_));
        let delegations = self.roles.iter().filter(is_delegation);
        let entry = |one: &LoadedRole| {
            (
                one.file.role.to_string(),
                Examined { payload: one.file.payload, replay: one.replayed },
            )
        };
        delegations.map(entry).collect()
    }
}
