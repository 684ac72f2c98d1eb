//! The root of trust of one repository.
//!
//! Source: `trustpinning.ValidateRoot` of Notary 0.7. It differs where Notary is wrong:
//! pins are checked on every root, not on the first alone.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::fault::Fault;
use super::key::Key;
use super::metadata::{Envelope, RoleKeys, Root};
use super::role::Role;
use super::signed::{meets, signers};
use crate::image::Repository;
use crate::trust::KeyId;
use crate::trust::certificate::Certificate;

/// How far a certificate's start may lie ahead: Notary's leeway for clocks.
const LEEWAY: SignedDuration = SignedDuration::from_hours(24);

/// What makes a root of this repository one to trust.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RootPolicy {
    /// Key IDs (TUF or canonical) one of which the root's certificate must have. Empty:
    /// not pinned by key.
    pub pins: Vec<KeyId>,
    /// CAs one of which the root's certificate must chain to. Empty: not pinned by CA.
    pub ca: Vec<Certificate>,
    /// Whether the first root seen is trusted where nothing pins it.
    pub trust_on_first_use: bool,
}

impl RootPolicy {
    /// Whether every root has to meet a pin.
    pub fn is_pinned(&self) -> bool {
        !self.pins.is_empty() || !self.ca.is_empty()
    }

    /// Where pins and CAs are both given, both have to hold. Where it is not `dated`, it is
    /// enough that the certificate chained to a CA while it was valid.
    fn admits(&self, key: &Key, dated: bool, now: Timestamp) -> bool {
        let pin = self.pins.is_empty()
            || self.pins.contains(&key.tuf_id)
            || self.pins.contains(&key.signing.id);
        let ca = self.ca.is_empty()
            || key.certificates.split_first().is_some_and(|(leaf, chain)| {
                let chain: Vec<_> = chain.iter().map(|one| Certificate::clone(one)).collect();
                let at = if dated { now } else { now.min(leaf.not_after) };
                leaf.chains_to(&self.ca, &chain, at)
            });
        pin && ca
    }
}

/// Verifies a downloaded root.
///
/// 1. Structure (by [`Envelope::root`]).
/// 2. The certificates of its root role that are for this repository: the leaf stands
///    first and alone is no CA, its common name is the GUN or a wildcard over it, it is
///    neither weak nor (where `dated`) out of date.
/// 3. Where a root is known: at least its threshold of *its* keys signed the new one.
/// 4. Pins: certificates that do not meet them are dropped. With no pin and no known
///    root, first use has to be allowed.
/// 5. At least its own threshold of the certificates left signed it.
///
/// `dated` is false for the roots between the known and the newest one, which may be
/// long past. Expiry of the newest is checked by the caller.
pub fn verify(
    file: &Envelope<'_>,
    gun: &Repository,
    known: Option<&Root>,
    policy: &RootPolicy,
    dated: bool,
    now: Timestamp,
) -> Result<Root, Fault> {
    let root = file.root()?;
    let mut leaves = leaves(&root.root, gun, dated.then_some(now));
    if leaves.is_empty() {
        return Err(Fault::RootName { gun: gun.to_string() });
    }
    if let Some(known) = known {
        // Dates do not matter here: a certificate that has run out may still hand over.
        let old: Vec<_> = self::leaves(&known.root, gun, None);
        let signed = signers(file, old.iter().copied())?;
        if (signed.count() as u64) < known.root.threshold {
            return Err(Fault::RootRotation {
                known: known.header.version,
                offered: root.header.version,
            });
        }
    }
    if policy.is_pinned() {
        leaves.retain(|key| policy.admits(key, dated, now));
        if leaves.is_empty() {
            return Err(Fault::RootPin);
        }
    } else if known.is_none() && !policy.trust_on_first_use {
        return Err(Fault::FirstUse);
    }
    let signed = signers(file, leaves.iter().copied())?;
    meets(&Role::Root, signed.count(), root.root.threshold)?;
    Ok(root)
}

/// Reads a root that this node verified and stored before.
///
/// `None`: it does not meet the pins of today's policy, so that neither it nor what was
/// seen under it counts. Signatures are checked against itself, since a file may be
/// damaged, though not hostile; dates are not: see [`check_current`].
pub fn stored(
    file: &Envelope<'_>,
    gun: &Repository,
    policy: &RootPolicy,
    now: Timestamp,
) -> Result<Option<Root>, Fault> {
    let root = file.root()?;
    let leaves = leaves(&root.root, gun, None);
    let signed = signers(file, leaves.iter().copied())?;
    meets(&Role::Root, signed.count(), root.root.threshold)?;
    let admitted = !policy.is_pinned() || leaves.iter().any(|key| policy.admits(key, false, now));
    Ok(admitted.then_some(root))
}

/// Whether a root verified before may still be relied on at `now`: neither it nor all of
/// its certificates have run out. One that has still says which root may follow it.
pub fn check_current(
    root: &Root,
    gun: &Repository,
    policy: &RootPolicy,
    now: Timestamp,
) -> Result<(), Fault> {
    root.header.check_current(&Role::Root, now)?;
    let leaves = leaves(&root.root, gun, Some(now));
    if leaves.is_empty() {
        Err(Fault::RootName { gun: gun.to_string() })
    } else if policy.is_pinned() && !leaves.iter().any(|key| policy.admits(key, true, now)) {
        Err(Fault::RootPin)
    } else {
        Ok(())
    }
}

/// The keys of the root role whose certificate is for `gun`.
fn leaves<'r>(role: &'r RoleKeys, gun: &Repository, at: Option<Timestamp>) -> Vec<&'r Arc<Key>> {
    let is_leaf = |key: &Key| {
        let Some((leaf, chain)) = key.certificates.split_first() else { return false };
        !leaf.is_ca
            && chain.iter().all(|certificate| certificate.is_ca)
            && leaf.common_name.as_deref().is_some_and(|name| is_for(name, gun.as_str()))
            && leaf.weakness().is_none()
            && at.is_none_or(|now| {
                let latest_start = now.checked_add(LEEWAY).unwrap_or(now);
                leaf.not_before <= latest_start && now <= leaf.not_after
            })
    };
    role.keys.iter().filter(|key| is_leaf(key)).collect()
}

/// Whether a root certificate of this common name is for `gun`: equal, or a prefix where
/// it ends in `*` (`trustpinning.MatchCNToGun`).
fn is_for(common_name: &str, gun: &str) -> bool {
    if common_name.ends_with('*') {
        gun.starts_with(common_name.trim_end_matches('*'))
    } else {
        common_name == gun
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_names_and_guns() {
        for (name, gun, fits) in [
            ("h.io/a", "h.io/a", true),
            ("h.io/a", "h.io/ab", false),
            ("h.io/*", "h.io/ab", true),
            ("h.io/a**", "h.io/ab", true),
            ("h.io/b*", "h.io/ab", false),
            ("*", "h.io/ab", true),
            ("", "h.io/ab", false),
        ] {
            assert_eq!(is_for(name, gun), fits, "{name} for {gun}");
        }
    }
}
