//! The files of a repository, read into types. Nothing here is verified yet.
//!
//! Format: Notary 0.7 `tuf/data`. Where Go reads a slice or map, `null` is an empty one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;

use super::along::TargetsAlong;
use super::canonical::{canonical, canonical_around};
use super::fault::Fault;
use super::grace::Grace;
use super::key::Key;
use super::limits;
use super::role::{DelegationName, Role};
use super::tags::{Tags, TagsBuilder};
use crate::image::Digest;
use crate::json::{Names, Number, Object, Value, parse, parse_along};
use crate::trust::KeyId;
use crate::trust::crypto::{Method, sha256, sha512};

/// The member that lists the tags.
const TARGETS: &str = "targets";

/// A file taken apart: `{"signed": …, "signatures": […]}`.
pub struct Envelope<'a> {
    pub role: Role,
    signed: Object<'a>,
    /// The tags of `signed`, where they were read on the way and left out there.
    tags: Option<Arc<Tags>>,
    /// The bytes that were signed: the canonical form of `signed`.
    pub payload: Vec<u8>,
    pub signatures: Vec<Signature>,
}

/// One signature of a file.
pub struct Signature {
    /// `None`: not a key ID; like one of an unknown key, it counts for nothing.
    pub key_id: Option<KeyId>,
    /// `None`: a method that is not known; the signature counts for nothing.
    pub method: Option<Method>,
    pub bytes: Vec<u8>,
}

/// What every role's file says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub version: u64,
    pub expires: Timestamp,
}

impl Header {
    /// Notary tolerates no skew: a file is out from the moment it names.
    pub fn check_current(&self, role: &Role, now: Timestamp) -> Result<(), Fault> {
        self.check_within(role, now, Grace::NONE)
    }

    /// The same, with grace for what ran out lately.
    pub fn check_within(&self, role: &Role, now: Timestamp, grace: Grace) -> Result<(), Fault> {
        let last = self.expires.saturating_add(grace.of(role)).unwrap_or(self.expires);
        if last < now {
            Err(Fault::Expired { role: role.clone(), at: self.expires })
        } else {
            Ok(())
        }
    }
}

/// The keys of a role and how many of them have to sign.
#[derive(Clone)]
pub struct RoleKeys {
    /// In order of the ID they are listed under.
    pub keys: Vec<Arc<Key>>,
    pub threshold: u64,
}

impl fmt::Debug for RoleKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids = self.keys.iter().map(|key| key.listed_id);
        write!(f, "{} of ", self.threshold)?;
        f.debug_list().entries(ids).finish()
    }
}

impl RoleKeys {
    /// Whether both ask for as many signatures, by the same keys in the same form, listed
    /// under the same IDs. The TUF key ID hashes a key as it is written, certificates
    /// included, so all that was read of it is the same, too.
    pub fn is_same(&self, other: &Self) -> bool {
        let ids = |key: &Arc<Key>| (key.listed_id, key.tuf_id);
        self.threshold == other.threshold
            && self.keys.iter().map(ids).eq(other.keys.iter().map(ids))
    }

    /// Whether both list the same keys.
    pub fn has_same_keys(&self, other: &Self) -> bool {
        let ids = |one: &Self| one.keys.iter().map(|key| key.tuf_id).collect::<BTreeSet<_>>();
        ids(self) == ids(other)
    }
}

/// `root`.
#[derive(Clone)]
pub struct Root {
    pub header: Header,
    pub root: RoleKeys,
    pub targets: RoleKeys,
    pub snapshot: RoleKeys,
    pub timestamp: RoleKeys,
}

/// `timestamp` and `snapshot`: what other files have to be.
pub struct Listing {
    pub header: Header,
    pub meta: BTreeMap<String, FileMeta>,
}

impl Listing {
    /// Errors where it, `own`'s file, has no readable entry for one of `roles`.
    pub fn names(&self, own: &Role, roles: &[Role]) -> Result<(), Fault> {
        match roles.iter().find(|role| !self.meta.contains_key(role.as_str())) {
            None => Ok(()),
            Some(role) => {
                let what = format!("it names no {role} with a SHA-256 hash");
                Err(Fault::malformed(own, &what))
            }
        }
    }
}

/// What a file has to be.
#[derive(Clone, Debug)]
pub struct FileMeta {
    /// An upper bound of its length in bytes.
    pub length: u64,
    pub sha256: Digest,
    sha512: Option<[u8; 64]>,
}

impl FileMeta {
    /// Whether `bytes` is that file. Every hash given has to match, and the length is an
    /// upper bound, as in Notary.
    pub fn matches(&self, bytes: &[u8]) -> bool {
        bytes.len() as u64 <= self.length
            && sha256(bytes) == *self.sha256.as_bytes()
            && self.sha512.is_none_or(|hash| sha512(bytes) == hash)
    }

    /// The same, known by SHA-256 alone: for a file that was checked by every hash before it
    /// was kept. That hash binds its bytes by itself; the other costs twice as much time.
    #[must_use]
    pub fn by_one_hash(self) -> Self {
        Self { sha512: None, ..self }
    }

    /// Whether bytes that match this have every hash that `other` asks for.
    pub fn answers(&self, other: &Self) -> bool {
        self.sha256 == other.sha256 && (other.sha512.is_none() || self.sha512 == other.sha512)
    }
}

/// `targets` and delegations.
pub struct Targets {
    pub header: Header,
    /// Tag → manifest digest. Entries without a usable SHA-256 are left out: they bind
    /// no content.
    pub tags: Arc<Tags>,
    pub delegations: Vec<Delegation>,
}

/// A delegation as its parent declares it.
#[derive(Clone, Debug)]
pub struct Delegation {
    pub name: DelegationName,
    pub keys: RoleKeys,
    /// Prefixes of the tags it may sign; `""` is all of them.
    pub paths: Vec<String>,
}

impl<'a> Envelope<'a> {
    /// Takes a file apart.
    pub fn read(role: Role, bytes: &'a [u8]) -> Result<Self, Fault> {
        if matches!(role, Role::Targets | Role::Delegation(_))
            && let Some(file) = Self::read_along(&role, bytes)
        {
            return Ok(file);
        }
        let bad = |what: &str| Fault::malformed(&role, what);
        let document =
            parse(bytes, Names::Exact, limits::JSON).map_err(|error| bad(&error.to_string()))?;
        let (signed, signatures) = take_apart(&role, document)?;
        let signed = Value::Object(signed);
        let payload = canonical(&signed).ok_or_else(|| bad("a number nobody can sign"))?;
        let Value::Object(signed) = signed else { return Err(bad("not an object")) };
        Ok(Self { role, signed, tags: None, payload, signatures })
    }

    /// Takes a file of tags apart without holding all of it as JSON, which would take ten
    /// times its size. `None` where that cannot be, as its tags are not in order, or anything
    /// is wrong with it: reading it as a whole says what.
    fn read_along(role: &Role, bytes: &'a [u8]) -> Option<Self> {
        let mut targets = TargetsAlong::with_capacity(bytes.len());
        let path = ["signed", TARGETS];
        let document = parse_along(bytes, limits::JSON, &path, &mut targets).ok()?;
        let TargetsAlong { tags, members } = targets;
        let (signed, signatures) = take_apart(role, document).ok()?;
        // What was shown on the way was this object.
        signed.get(TARGETS)?.as_object()?;
        let payload = canonical_around(&signed, TARGETS, members)?;
        let tags = Some(Arc::new(tags.build()));
        Some(Self { role: role.clone(), signed, tags, payload, signatures })
    }

    /// Reads `signed` as a root. All four base roles have to be there.
    pub fn root(&self) -> Result<Root, Fault> {
        let header = self.header()?;
        let keys = self.keys(&self.signed)?;
        let roles = self.object(&self.signed, "roles")?;
        let role = |name: &str| {
            let role = roles
                .get(name)
                .and_then(Value::as_object)
                .ok_or_else(|| self.bad(&format!("no role {name:?}")))?;
            self.role_keys(name, role, &keys)
        };
        Ok(Root {
            header,
            root: role("root")?,
            targets: role("targets")?,
            snapshot: role("snapshot")?,
            timestamp: role("timestamp")?,
        })
    }

    /// Reads `signed` as a timestamp or snapshot.
    pub fn listing(&self) -> Result<Listing, Fault> {
        let header = self.header()?;
        let mut meta = BTreeMap::new();
        for (name, value) in self.object(&self.signed, "meta")?.iter() {
            let file = value.as_object().and_then(read_file_meta);
            // A file that nothing asks for may be listed in any way.
            if let Some(file) = file {
                meta.insert(name.to_owned(), file);
            }
        }
        Ok(Listing { header, meta })
    }

    /// Reads `signed` as targets or a delegation.
    pub fn targets(&self) -> Result<Targets, Fault> {
        let header = self.header()?;
        let tags = match &self.tags {
            Some(tags) => Arc::clone(tags),
            None => Arc::new(self.tags()?),
        };
        let delegations = match self.optional_object(&self.signed, "delegations")? {
            Some(object) => self.delegations(object)?,
            None => Vec::new(),
        };
        Ok(Targets { header, tags, delegations })
    }

    fn tags(&self) -> Result<Tags, Fault> {
        let mut sorted = BTreeMap::new();
        if let Some(object) = self.optional_object(&self.signed, TARGETS)? {
            for (name, value) in object.iter() {
                let target = value.as_object().ok_or_else(|| self.bad("an odd target"))?;
                sorted.extend(target_digest(target).map(|digest| (name, digest)));
            }
        }
        let mut tags = TagsBuilder::default();
        for (name, digest) in sorted {
            tags.push(name, digest).ok_or_else(|| self.bad("too many tags"))?;
        }
        Ok(tags.build())
    }

    /// Source: `isValidTargetsStructure`; one violation makes the whole file invalid.
    fn delegations(&self, object: &Object<'_>) -> Result<Vec<Delegation>, Fault> {
        let keys = self.keys(object)?;
        let roles = match object.get("roles") {
            None | Some(Value::Null) => &[][..],
            Some(value) => value.as_array().ok_or_else(|| self.bad("odd roles"))?,
        };
        if roles.len() > limits::DELEGATIONS {
            return Err(self.too_many("delegations", limits::DELEGATIONS));
        }
        let mut delegations: Vec<Delegation> = Vec::with_capacity(roles.len());
        for role in roles {
            let role = role.as_object().ok_or_else(|| self.bad("an odd role"))?;
            let text = role.get("name").and_then(Value::as_str).unwrap_or_default();
            let name = DelegationName::new(text)
                .filter(|name| name.parent() == self.role.as_str())
                .ok_or_else(|| self.bad(&format!("it cannot delegate to {text:?}")))?;
            if delegations.iter().any(|other| other.name == name) {
                return Err(self.bad(&format!("it declares {name} twice")));
            }
            let keys = self.role_keys(text, role, &keys)?;
            let paths = self.strings(role, "paths")?;
            delegations.push(Delegation { name, keys, paths });
        }
        Ok(delegations)
    }

    /// What it says of itself.
    pub fn header(&self) -> Result<Header, Fault> {
        let text = |name| self.signed.get(name).and_then(Value::as_str);
        let found = text("_type").unwrap_or_default();
        if found != self.role.type_name() {
            return Err(self.bad(&format!("its _type is {found:?}")));
        }
        let version = match self.signed.get("version") {
            Some(Value::Number(Number::Unsigned(version)))
                if (1..=limits::VERSION).contains(version) =>
            {
                *version
            }
            _ => return Err(self.bad("its version is not an integer from 1 to 2^53 - 1")),
        };
        let expires = text("expires")
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| self.bad("it has no readable expiry date"))?;
        Ok(Header { version, expires })
    }

    fn keys(&self, object: &Object<'_>) -> Result<BTreeMap<KeyId, Arc<Key>>, Fault> {
        let Some(listed) = self.optional_object(object, "keys")? else {
            return Ok(BTreeMap::new());
        };
        if listed.iter().len() > limits::KEYS {
            return Err(self.too_many("keys", limits::KEYS));
        }
        let mut keys = BTreeMap::new();
        for (id, key) in listed.iter() {
            let id = id.parse().map_err(|_| self.bad(&format!("{id:?} is no key ID")))?;
            let key = key.as_object().ok_or_else(|| self.bad("an odd key"))?;
            let key = Key::read(id, key).map_err(|what| self.bad(&what))?;
            keys.insert(id, Arc::new(key));
        }
        Ok(keys)
    }

    /// The keys that a role lists by ID, each at most once.
    fn role_keys(
        &self,
        name: &str,
        role: &Object<'_>,
        keys: &BTreeMap<KeyId, Arc<Key>>,
    ) -> Result<RoleKeys, Fault> {
        let threshold = match role.get("threshold") {
            Some(Value::Number(Number::Unsigned(threshold))) if *threshold >= 1 => *threshold,
            _ => return Err(self.bad(&format!("{name} has no threshold of at least 1"))),
        };
        let mut ids = BTreeSet::new();
        for id in self.strings(role, "keyids")? {
            ids.insert(id.parse().map_err(|_| self.bad(&format!("{id:?} is no key ID")))?);
        }
        let keys = ids
            .into_iter()
            .map(|id| {
                let key = keys.get(&id).map(Arc::clone);
                key.ok_or_else(|| {
                    self.bad(&format!("{name} lists the key {id}, which is not there"))
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(RoleKeys { keys, threshold })
    }

    fn object<'o>(&self, object: &'o Object<'a>, name: &str) -> Result<&'o Object<'a>, Fault> {
        object
            .get(name)
            .and_then(Value::as_object)
            .ok_or_else(|| self.bad(&format!("it has no {name:?}")))
    }

    fn optional_object<'o, 'v>(
        &self,
        object: &'o Object<'v>,
        name: &str,
    ) -> Result<Option<&'o Object<'v>>, Fault> {
        match object.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(object)) => Ok(Some(object)),
            Some(_) => Err(self.bad(&format!("{name:?} is not an object"))),
        }
    }

    fn strings(&self, object: &Object<'_>, name: &str) -> Result<Vec<String>, Fault> {
        let list = match object.get(name) {
            None | Some(Value::Null) => return Ok(Vec::new()),
            Some(value) => value.as_array(),
        };
        let strings: Option<Vec<String>> =
            list.and_then(|list| list.iter().map(|v| v.as_str().map(str::to_owned)).collect());
        let strings = strings.ok_or_else(|| self.bad(&format!("odd {name:?}")))?;
        if strings.len() > limits::KEYS {
            return Err(self.too_many("entries in a list", limits::KEYS));
        }
        Ok(strings)
    }

    fn bad(&self, what: &str) -> Fault {
        Fault::malformed(&self.role, what)
    }

    fn too_many(&self, what: &'static str, limit: usize) -> Fault {
        Fault::TooMany { role: self.role.clone(), what, limit: limit as u64 }
    }
}

/// The object that was signed, and the signatures on it.
fn take_apart<'a>(role: &Role, document: Value<'a>) -> Result<(Object<'a>, Vec<Signature>), Fault> {
    let bad = |what: &str| Fault::malformed(role, what);
    let Value::Object(document) = document else { return Err(bad("not an object")) };
    let mut signed = None;
    let mut signatures = Vec::new();
    for (name, value) in document.into_members() {
        match (name.as_ref(), value) {
            ("signed", Value::Object(object)) => signed = Some(object),
            ("signatures", Value::Array(list)) => {
                for entry in &list {
                    signatures.push(read_signature(entry).map_err(bad)?);
                }
            }
            ("signatures", Value::Null) => {}
            ("signed" | "signatures", _) => return Err(bad(&format!("odd {name:?}"))),
            _ => {}
        }
    }
    Ok((signed.ok_or_else(|| bad("no \"signed\""))?, signatures))
}

fn read_signature(entry: &Value<'_>) -> Result<Signature, &'static str> {
    let object = entry.as_object().ok_or("a signature is not an object")?;
    let text = |name| object.get(name).and_then(Value::as_str).ok_or("a signature lacks a part");
    let method = match text("method")?.to_ascii_lowercase().as_str() {
        "ecdsa" => Some(Method::Ecdsa),
        "rsapss" => Some(Method::RsaPss),
        "rsapkcs1v15" => Some(Method::RsaPkcs1),
        "eddsa" => Some(Method::Eddsa),
        _ => None,
    };
    Ok(Signature {
        key_id: text("keyid")?.parse().ok(),
        method,
        bytes: BASE64.decode(text("sig")?).map_err(|_| "a signature is not base64")?,
    })
}

fn read_file_meta(object: &Object<'_>) -> Option<FileMeta> {
    let Some(Value::Number(Number::Unsigned(length))) = object.get("length") else { return None };
    let hashes = object.get("hashes")?.as_object()?;
    let sha512 = match hashes.get("sha512") {
        None => None,
        Some(value) => Some(BASE64.decode(value.as_str()?).ok()?.try_into().ok()?),
    };
    Some(FileMeta { length: *length, sha256: sha256_of(hashes)?, sha512 })
}

/// The digest of a target, where it has a usable one.
pub(super) fn target_digest(target: &Object<'_>) -> Option<Digest> {
    sha256_of(target.get("hashes")?.as_object()?)
}

fn sha256_of(hashes: &Object<'_>) -> Option<Digest> {
    let bytes = BASE64.decode(hashes.get("sha256")?.as_str()?).ok()?;
    bytes.try_into().ok().map(Digest::from_bytes)
}
