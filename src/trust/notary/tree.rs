//! The tree of delegations: what was loaded, and what is still to be.

use std::collections::BTreeMap;

use super::data::LoadedRole;
use super::fault::Fault;
use super::history::Examined;
use super::limits;
use super::metadata::{Delegation, Envelope, Listing, Targets};
use super::role::{DelegationName, Role};
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

    /// The next delegation that has a file: one declared and never published is not in the
    /// snapshot.
    pub fn next(&mut self, snapshot: &Listing) -> Option<Pending> {
        loop {
            let pending = self.pending.pop()?;
            if snapshot.meta.contains_key(pending.delegation.name.as_str()) {
                return Some(pending);
            }
        }
    }

    /// The next role from place `from` on whose file may have been signed as an earlier
    /// `targets/releases`, and the version it then had: any delegation of the owner's
    /// whose version that list has already passed.
    ///
    /// Whoever may push can put an old list in place of another's file, since it bears that
    /// person's signature and does not say which role it was signed for.
    pub fn next_suspect(&self, from: usize) -> Option<(usize, u64)> {
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
        let is_suspect = |(_, one): &(usize, &LoadedRole)| {
            tells_who(one) && !one.signers.is_empty() && one.header.version < below
        };
        let mut rest = self.roles.iter().enumerate().skip(from);
        rest.find(is_suspect).map(|(place, one)| (place, one.header.version))
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
