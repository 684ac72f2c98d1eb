//! Verified trust data, and what it says of a tag.

use std::cmp::{Ordering, Reverse};
use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;

use super::fault::Fault;
use super::file::RoleFile;
use super::grace::Grace;
use super::metadata::Header;
use super::role::{DelegationName, Role};
use super::tags::Tags;
use crate::image::{Digest, Repository, Tag};
use crate::trust::{Proof, Scheme, SigningKey};

/// The verified trust data of one repository. Only a finished
/// [`Update`](super::Update) makes one.
///
/// It was current when it was verified; every question takes `now` again, since it may
/// have been kept.
#[derive(Debug)]
pub struct TrustData {
    repository: Repository,
    /// Root, timestamp, snapshot.
    headers: [(Role, Header); 3],
    root_keys: Vec<SigningKey>,
    /// Targets first, then delegations, each after its parent.
    roles: Vec<LoadedRole>,
    left_out: Vec<(DelegationName, Fault)>,
}

/// A role with a verified file, and what its place in the tree makes of it.
#[derive(Debug)]
pub(super) struct LoadedRole {
    pub file: Arc<RoleFile>,
    /// Prefixes of the tags it may speak of, narrowed by those of its parents.
    pub paths: Vec<String>,
    /// Its parent's place in the list.
    pub parent: Option<usize>,
    /// Whether the bytes signed are an earlier `targets/releases`.
    pub replayed: bool,
}

impl LoadedRole {
    /// What it says of `tag`; nothing outside its paths, whatever its file holds.
    fn digest_of(&self, tag: &str) -> Option<Digest> {
        let admitted = self.paths.iter().any(|path| tag.starts_with(path.as_str()));
        admitted.then(|| self.file.tags.get(tag)).flatten()
    }
}

/// A signature on a tag, and why it does not tell who vouches for it, if so.
#[derive(Clone, Debug)]
pub struct Claim {
    /// What was signed.
    pub proof: Proof,
    /// Why it does not count towards a policy.
    pub objection: Option<Objection>,
}

/// Why a valid signature proves nothing about who vouches for a tag.
///
/// A role's file names neither its role nor its repository. Whoever signs a file signs
/// all of it, and whoever may put a file in a role's place may put any file there that
/// the role's key ever signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Objection {
    /// In a delegation that another delegation declares. Its holder alone decides whose
    /// key it lists, and can fill it with any file this key signed elsewhere.
    Nested,
    /// In `targets`: the repository's own key.
    Owner,
    /// In `targets/releases`, which everyone re-signs as a whole.
    Releases,
    /// The same signed bytes stand in `targets/releases` or `targets`, or stood there once:
    /// the file was signed for that role.
    SharedFile,
}

impl TrustData {
    pub(super) fn new(
        repository: Repository,
        headers: [(Role, Header); 3],
        root_keys: Vec<SigningKey>,
        roles: Vec<LoadedRole>,
        left_out: Vec<(DelegationName, Fault)>,
    ) -> Self {
        Self { repository, headers, root_keys, roles, left_out }
    }

    /// The repository it is of.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The keys of its root.
    pub fn root_keys(&self) -> &[SigningKey] {
        &self.root_keys
    }

    /// Delegations that were declared and published but could not be relied on, or are
    /// missing though they were seen before, and why.
    pub fn left_out(&self) -> impl Iterator<Item = (&DelegationName, &Fault)> {
        self.left_out.iter().map(|(name, fault)| (name, fault))
    }

    /// The version of each file it was made of.
    pub fn versions(&self) -> impl Iterator<Item = (&Role, u64)> {
        let base = self.headers.iter().map(|(role, header)| (role, header.version));
        let roles = self.roles.iter().map(|loaded| &loaded.file);
        base.chain(roles.map(|file| (&file.role, file.header.version)))
    }

    /// The verified file of a role.
    pub(super) fn file(&self, role: &Role) -> Option<&Arc<RoleFile>> {
        self.roles.iter().map(|loaded| &loaded.file).find(|file| file.role == *role)
    }

    /// The keys that really signed a targets or delegation file; none for other roles.
    pub fn signers(&self, role: &Role) -> &[SigningKey] {
        self.file(role).map_or(&[], |file| &file.signers)
    }

    /// All dates on which what it says changes: its files run out, and the certificates of
    /// those who signed begin and end.
    pub fn dates(&self) -> impl Iterator<Item = Timestamp> {
        let base = self.headers.iter().map(|(_, header)| header.expires);
        let files = self.roles.iter().map(|loaded| &loaded.file);
        let certificates =
            files.clone().flat_map(|file| &file.signers).flat_map(|key| &key.certificates);
        base.chain(files.map(|file| file.header.expires))
            .chain(certificates.flat_map(|one| [one.not_before, one.not_after]))
    }

    /// How many signatures stand on its files.
    pub fn signatures(&self) -> usize {
        self.roles.iter().map(|loaded| loaded.file.signers.len()).sum()
    }

    /// How many tags its files name, each file's own.
    pub fn tags(&self) -> usize {
        self.roles.iter().map(|loaded| loaded.file.tags.len()).sum()
    }

    /// About how many bytes of memory it takes.
    pub fn weight(&self) -> usize {
        let mut counted: Vec<&Arc<Tags>> = Vec::new();
        let mut weight = size_of::<Self>();
        for loaded in &self.roles {
            weight += size_of::<LoadedRole>() + loaded.file.weight();
            let tags = &loaded.file.tags;
            if counted.iter().all(|other| !Arc::ptr_eq(other, tags)) {
                counted.push(tags);
                weight += tags.weight();
            }
        }
        weight
    }

    /// Every file it was made of: its role, version, and when it runs out.
    pub fn files(&self) -> impl Iterator<Item = (&Role, u64, Timestamp)> {
        let base = self.headers.iter().map(|(role, header)| (role, header));
        let roles = self.roles.iter().map(|loaded| (&loaded.file.role, &loaded.file.header));
        base.chain(roles).map(|(role, header)| (role, header.version, header.expires))
    }

    /// Whether root, timestamp, snapshot and targets are all in date at `now`. Nothing
    /// below holds where they are not.
    pub fn check_current(&self, now: Timestamp) -> Result<(), Fault> {
        self.check_within(now, Grace::NONE)
    }

    /// The same, with grace for what ran out lately.
    pub fn check_within(&self, now: Timestamp, grace: Grace) -> Result<(), Fault> {
        let targets = self.roles.first().map(|loaded| (&loaded.file.role, &loaded.file.header));
        let base = self.headers.iter().map(|(role, header)| (role, header)).chain(targets);
        for (role, header) in base {
            header.check_within(role, now, grace)?;
        }
        Ok(())
    }

    /// The digest that is published for `tag`: what `targets/releases` says, else
    /// `targets`, as the docker CLI reads it. A tag in other roles alone is not released,
    /// and nothing is while `targets/releases` cannot be relied on.
    pub fn released(&self, tag: &str, now: Timestamp) -> Option<Digest> {
        self.released_roles(now).find_map(|loaded| loaded.digest_of(tag))
    }

    /// The tags that are released as `digest`, in order.
    pub fn tags_of(&self, digest: Digest, now: Timestamp) -> Vec<&str> {
        self.released_as(digest, now).collect()
    }

    /// The same, one by one, since there can be as many as there are tags.
    pub fn released_as(&self, digest: Digest, now: Timestamp) -> impl Iterator<Item = &str> {
        let mut roles = self.released_roles(now).map(|loaded| loaded.file.tags.of(digest));
        let (first, second) = (roles.next(), roles.next());
        merged(first.into_iter().flatten(), second.into_iter().flatten())
            // Any text can be signed as a tag; by most of them nothing can ever be pulled.
            .filter(|tag| tag.parse::<Tag>().is_ok())
            .filter(move |tag| self.released(tag, now) == Some(digest))
    }

    /// All digests that are released, those of the highest tags first.
    pub fn latest(&self, now: Timestamp) -> impl Iterator<Item = Digest> {
        let mut roles =
            self.released_roles(now).map(|loaded| loaded.file.tags.names().rev().map(Reverse));
        let (first, second) = (roles.next(), roles.next());
        merged(first.into_iter().flatten(), second.into_iter().flatten())
            .filter(|Reverse(tag)| tag.parse::<Tag>().is_ok())
            .filter_map(move |Reverse(tag)| self.released(tag, now))
    }

    /// The tags that are released, in order.
    pub fn released_tags(&self, now: Timestamp) -> impl Iterator<Item = &str> {
        let mut roles = self.released_roles(now).map(|loaded| loaded.file.tags.names());
        let (first, second) = (roles.next(), roles.next());
        merged(first.into_iter().flatten(), second.into_iter().flatten())
            .filter(|tag| tag.parse::<Tag>().is_ok())
            .filter(move |tag| self.released(tag, now).is_some())
    }

    /// The tags that any role names with `digest`, released or not, in order: for
    /// explanations.
    pub fn mentions(&self, digest: Digest) -> BTreeSet<&str> {
        self.roles.iter().flat_map(|loaded| loaded.file.tags.of(digest)).collect()
    }

    /// Every key that really signed something about `tag`, with the digest it signed and
    /// whether the signature tells who vouches for it.
    ///
    /// `GetAllTargetMetadataByName` is Notary's form of it, except that it lists roles,
    /// and that it knows no objection but to `targets/releases`.
    pub fn claims(&self, tag: &str, now: Timestamp) -> Vec<Claim> {
        let mut claims = Vec::new();
        for loaded in self.roles.iter().filter(|loaded| self.is_current(loaded, now)) {
            let Some(digest) = loaded.digest_of(tag) else { continue };
            let objection = self.objection(loaded);
            claims.extend(loaded.file.signers.iter().map(|key| Claim {
                proof: Proof {
                    repository: self.repository.clone(),
                    tag: tag.to_owned(),
                    digest,
                    scheme: Scheme::NotaryV1,
                    role: loaded.file.role.to_string(),
                    key: key.clone(),
                    good_until: self.good_until(loaded),
                },
                objection,
            }));
        }
        claims
    }

    fn objection(&self, loaded: &LoadedRole) -> Option<Objection> {
        let Role::Delegation(name) = &loaded.file.role else { return Some(Objection::Owner) };
        if name.is_releases() {
            return Some(Objection::Releases);
        }
        let shared = self.roles.iter().any(|other| {
            let of_all = match &other.file.role {
                Role::Delegation(name) => name.is_releases(),
                _ => true,
            };
            of_all && other.file.payload == loaded.file.payload
        });
        if shared || loaded.replayed {
            Some(Objection::SharedFile)
        } else if name.is_top_level() {
            None
        } else {
            Some(Objection::Nested)
        }
    }

    /// `targets/releases` and `targets`, in the order in which they are asked.
    ///
    /// None of them where `targets/releases` is there and cannot be relied on: whoever
    /// takes its signature away, as the server's keys alone can, would otherwise bring
    /// back what `targets` released before.
    fn released_roles(&self, now: Timestamp) -> impl Iterator<Item = &LoadedRole> {
        let is_releases = |loaded: &&LoadedRole| matches!(&loaded.file.role, Role::Delegation(name) if name.is_releases());
        let releases = self.roles.iter().find(is_releases);
        let reliable = releases.is_none_or(|loaded| self.is_current(loaded, now))
            && !self.left_out.iter().any(|(name, _)| name.is_releases());
        let targets = self.roles.first().filter(|loaded| self.is_current(loaded, now));
        releases.into_iter().chain(targets).filter(move |_| reliable)
    }

    /// Whether a role and all above it are in date.
    fn is_current(&self, loaded: &LoadedRole, now: Timestamp) -> bool {
        self.line(loaded).all(|one| now <= one.file.header.expires)
    }

    fn good_until(&self, loaded: &LoadedRole) -> Timestamp {
        let base = self.headers.iter().map(|(_, header)| header.expires);
        let line = self.line(loaded).map(|one| one.file.header.expires);
        base.chain(line).min().unwrap_or(loaded.file.header.expires)
    }

    /// The role, its parent, and so on up to `targets`.
    fn line<'s>(&'s self, loaded: &'s LoadedRole) -> impl Iterator<Item = &'s LoadedRole> {
        std::iter::successors(Some(loaded), |one| self.roles.get(one.parent?))
    }
}

/// Both, in order and each once; both are in order.
fn merged<T: Ord>(
    one: impl Iterator<Item = T>,
    other: impl Iterator<Item = T>,
) -> impl Iterator<Item = T> {
    let (mut one, mut other) = (one.peekable(), other.peekable());
    std::iter::from_fn(move || {
        let order = match (one.peek(), other.peek()) {
            (Some(one), Some(other)) => one.cmp(other),
            (Some(_), None) => Ordering::Less,
            (None, _) => Ordering::Greater,
        };
        match order {
            Ordering::Less => one.next(),
            Ordering::Greater => other.next(),
            Ordering::Equal => one.next().and(other.next()),
        }
    })
}
