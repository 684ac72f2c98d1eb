//! The tree of delegations: what was loaded, and what is still to be.

use std::collections::BTreeMap;

use super::data::LoadedRole;
use super::fault::Fault;
use super::history::Examined;
use super::limits;
use super::metadata::{Delegation, Envelope, Listing, Targets};
use super::role::{DelegationName, FileName, Role};
use super::signed::Signers;
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
            signers: signers.into_keys().collect(),
            payload: sha256(&file.payload),
            replayed: false,
            targets: targets.targets,
        });
        Ok(())
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
                let declarer = self.roles.get(pending.parent).map(|loaded| loaded.role.clone());
                let fault = Fault::Missing { file, parent: declarer.unwrap_or(Role::Targets) };
                self.left_out.push((name.clone(), fault));
            }
        }
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
        let current = self.roles.iter().find(|one| is_releases(&one.role));
        let left_out = || self.left_out.iter().any(|(name, _)| name.is_releases());
        let below = match current {
            Some(releases) => releases.header.version,
            None if left_out() => u64::MAX,
            None => return None,
        };
        let tells_who = |one: &LoadedRole| match &one.role {
            Role::Delegation(name) => name.is_top_level() && !name.is_releases(),
            _ => false,
        };
        let mut next: Option<u64> = None;
        for one in self.roles.iter_mut().filter(|one| tells_who(one)) {
            let own = one.header.version;
            match examined.get(one.role.as_str()) {
                Some(known) if known.payload == one.payload => one.replayed = known.replay,
                _ if version < own && own < below && !one.signers.is_empty() => {
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
        for one in self.roles.iter_mut().filter(|one| one.header.version == version) {
            one.replayed |= one.payload == payload;
        }
    }

    /// What is to be remembered of the roles that were held against earlier lists.
    pub fn examined(&self) -> BTreeMap<String, Examined> {
        let delegations = self.roles.iter().filter(|one| matches!(one.role, Role::Delegation(_)));
        let entry = |one: &LoadedRole| {
            (one.role.to_string(), Examined { payload: one.payload, replay: one.replayed })
        };
        delegations.map(entry).collect()
    }
}
