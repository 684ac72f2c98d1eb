//! One repository's trust data against the policy.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::evidence::HeldImage;
use super::holder::Holder;
use super::reason::{Found, Place, Reason, Shortfall};
use super::rules::Policy;
use super::scope::Demand;
use super::verdict::{Doubt, Grant, Signer};
use crate::image::{Digest, Reference, Tag};
use crate::trust::certificate::Certificate;
use crate::trust::notary::{Claim, Objection, TrustData};
use crate::trust::{KeyId, SigningKey};

/// Most tags of one digest that are tried. A digest honestly has a handful.
const MAX_TAGS: usize = 64;
/// Most delegations told of that were left out.
const MAX_LEFT_OUT: usize = 3;

/// Trust data, the policy it is held against, and the time.
pub(super) struct Assessment<'a> {
    pub policy: &'a Policy,
    pub demand: Demand<'a>,
    pub data: &'a TrustData,
    pub now: Timestamp,
    /// Whose key is whose, so far: checking who issued a certificate takes a while.
    pub holders: RefCell<HashMap<HeldKey, Holder>>,
}

/// A key with the certificates that came with it, by their places in memory: the trust
/// data is there as long as the assessment is.
type HeldKey = (KeyId, Vec<*const Certificate>);

impl<'a> Assessment<'a> {
    /// Of this trust data, by this policy, at this time, against this demand.
    pub fn new(
        policy: &'a Policy,
        demand: Demand<'a>,
        data: &'a TrustData,
        now: Timestamp,
    ) -> Self {
        Self { policy, demand, data, now, holders: RefCell::default() }
    }

    /// Everyone who signed something about `tag`, with what they signed and what is to be said
    /// against it, where `released` is released.
    pub fn account(&self, tag: &str, released: Option<Digest>) -> Vec<(Claim, Signer)> {
        let with_signer = |claim: Claim| {
            let signer = self.signer(&claim, released);
            (claim, signer)
        };
        self.data.claims(tag, self.now).into_iter().map(with_signer).collect()
    }

    /// Whether what is released under the reference's tag may run.
    pub fn tag(&self, reference: &Reference, tag: &Tag) -> Result<Grant, Reason> {
        if let Some(digest) = self.data.released(tag.as_str(), self.now) {
            return self.approve(tag.as_str(), digest);
        }
        let signers = self.signers(tag.as_str(), None);
        Err(self.not_signed(reference.to_string(), signers))
    }

    /// Whether what a reference names by digest may run: some tag is released as one of the
    /// digests that cover it, and signed by whom the policy wants.
    pub fn digest(
        &self,
        reference: &Reference,
        digest: Digest,
        covering: &[Digest],
    ) -> Result<Grant, Reason> {
        self.any_tag(covering, reference.tag.as_ref()).unwrap_or_else(|| {
            Err(self.not_named(reference, Found::Manifest(digest), Place::Reference, covering))
        })
    }

    /// Whether an image that the engine holds may run: some tag is released as one of the
    /// digests that cover it, and signed by whom the policy wants. Its names decide nothing.
    pub fn held(
        &self,
        image: &HeldImage,
        covering: &[Digest],
        called: Option<&Reference>,
    ) -> Result<Grant, Reason> {
        let own = called.filter(|one| one.repository == *self.data.repository());
        let tag = own.and_then(|reference| reference.tag.as_ref());
        self.any_tag(covering, tag).unwrap_or_else(|| {
            Err(match own {
                Some(reference) => self.not_named(reference, shown(image), Place::Engine, covering),
                None => self.not_signed(image.called.clone(), self.unreleased(covering)),
            })
        })
    }

    /// Tries all tags released as one of `digests`, `first` before the others. `None`
    /// where there is none.
    fn any_tag(&self, digests: &[Digest], first: Option<&Tag>) -> Option<Result<Grant, Reason>> {
        let mut best: Option<Result<Grant, Reason>> = None;
        for &digest in digests {
            let first = first.map(Tag::as_str);
            let first = first.filter(|tag| self.data.released(tag, self.now) == Some(digest));
            let others = self.data.released_as(digest, self.now).filter(|tag| Some(*tag) != first);
            for tag in first.into_iter().chain(others).take(MAX_TAGS) {
                let outcome = self.approve(tag, digest);
                if outcome.is_ok() {
                    return Some(outcome);
                }
                best = best.or(Some(outcome));
            }
        }
        best
    }

    /// No tag is released as one of the digests; is there another one under the same tag?
    fn not_named(
        &self,
        reference: &Reference,
        found: Found,
        place: Place,
        covering: &[Digest],
    ) -> Reason {
        let tag = reference.tag.as_ref().map(Tag::as_str);
        if let Some(signed) = tag.and_then(|tag| self.data.released(tag, self.now)) {
            let reference = Reference { digest: None, ..reference.clone() }.to_string();
            return Reason::OtherImage { reference, signed, found, place };
        }
        let mut signers = self.unreleased(covering);
        for signer in tag.map(|tag| self.signers(tag, None)).unwrap_or_default() {
            if !signers.contains(&signer) {
                signers.push(signer);
            }
        }
        self.not_signed(reference.to_string(), signers)
    }

    /// Who signed one of the digests, under whatever tag, without its being released.
    fn unreleased(&self, digests: &[Digest]) -> Vec<Signer> {
        let mut signers: Vec<Signer> = Vec::new();
        for digest in digests {
            for tag in self.data.mentions(*digest).into_iter().take(MAX_TAGS) {
                let claims = self.data.claims(tag, self.now).into_iter();
                for claim in claims.filter(|claim| claim.proof.digest() == *digest) {
                    let signer = self.signer(&claim, None);
                    if !signers.contains(&signer) {
                        signers.push(signer);
                    }
                }
            }
        }
        signers
    }

    /// Whether the people whom the policy wants signed `tag` as `digest`.
    fn approve(&self, tag: &str, digest: Digest) -> Result<Grant, Reason> {
        let signers = self.signers(tag, Some(digest));
        let counted = || signers.iter().filter(|signer| signer.doubt.is_none());
        let signed = |signer: &Signer, team: &str| signer.teams.iter().any(|own| own == team);
        let has = |team: &&str| counted().any(|signer| signed(signer, team));
        let required = &self.demand.teams;
        let met =
            if required.is_empty() { counted().next().is_some() } else { required.iter().all(has) };
        if met {
            let repository = self.data.repository().clone();
            let (tag, also) = (tag.to_owned(), Vec::new());
            return Ok(Grant::Proven { repository, tag, digest, signers, also });
        }
        let missing: Vec<&str> = required.iter().copied().filter(|team| !has(team)).collect();
        let asked = self.demand.asked_with(&missing);
        let members = |team: &str| self.policy.members(team).map(str::to_owned).collect();
        let teams = missing.iter().map(|team| ((*team).to_owned(), members(team))).collect();
        let reference = format!("{}:{tag}", self.data.repository());
        let left_out = self.left_out();
        let short = Shortfall { reference, digest, teams, asked, signers, left_out };
        Err(Reason::SignatureMissing(Box::new(short)))
    }

    fn not_signed(&self, reference: String, signers: Vec<Signer>) -> Reason {
        let (repository, left_out) = (self.data.repository().clone(), self.left_out());
        Reason::NotSigned { reference, repository, signers, left_out }
    }

    /// The delegations that were left out, which may be what is missing.
    fn left_out(&self) -> Vec<String> {
        self.data.left_out().map(|(_, fault)| fault.to_string()).take(MAX_LEFT_OUT).collect()
    }

    /// Everyone who signed `tag`, with what is to be said against each signature.
    fn signers(&self, tag: &str, released: Option<Digest>) -> Vec<Signer> {
        self.account(tag, released).into_iter().map(|(_, signer)| signer).collect()
    }

    fn holder(&self, key: &SigningKey) -> Holder {
        let held = (key.id, key.certificates.iter().map(Arc::as_ptr).collect());
        let mut holders = self.holders.borrow_mut();
        holders.entry(held).or_insert_with(|| self.policy.holder(key, self.now)).clone()
    }

    fn signer(&self, claim: &Claim, released: Option<Digest>) -> Signer {
        let proof = &claim.proof;
        let objection = match claim.objection {
            Some(Objection::Nested) if self.policy.count_nested => None,
            other => other,
        };
        let (user, barred) = match self.holder(proof.key()) {
            Holder::User(user) => (Some(user), None),
            Holder::Barred(user, bar) => (Some(user), Some(Doubt::Key(bar))),
            Holder::Unknown => (None, Some(Doubt::UnknownKey)),
        };
        let other = released.filter(|digest| *digest != proof.digest());
        let doubt = objection
            .map(Doubt::Role)
            .or(other.map(|_| Doubt::OtherDigest(proof.digest())))
            .or(barred);
        Signer {
            teams: user.as_deref().map(|user| self.policy.teams_of(user)).unwrap_or_default(),
            user,
            role: proof.role().to_owned(),
            key_id: proof.key().id,
            doubt,
        }
    }
}

/// An image that the engine holds, by what can be held against a signed digest where it has
/// such a digest, else by its ID.
fn shown(image: &HeldImage) -> Found {
    let id = image.id;
    if !image.id_is_config {
        return Found::Manifest(id.0);
    }
    let manifest = image.digests.iter().copied().find(|digest| *digest != id.0);
    manifest.map_or(Found::Image(id), Found::Manifest)
}
