//! A small Notary v1 for tests: it makes repositories as Notary's tools do, and as only
//! an attacker would. The idea is that of Notary's own `MetadataSwizzler`.
//!
//! A [`Repo`] is a set of [`Draft`]s. A test changes the drafts; [`Repo::publish`] then
//! signs them from the leaves up and lists each file's hash in its parent. A draft can be
//! changed at three points, which are three attackers:
//!
//! - `signed` and [`Draft::amend`]: before it is signed, by whoever holds the role's keys;
//! - [`Draft::tamper`]: after it is signed and before its parent lists its hash, by whoever
//!   holds the server's snapshot and timestamp keys;
//! - [`Draft::swap`]: after its parent listed it, by whoever sits on the wire.

pub mod json;
pub mod key;

use std::collections::BTreeMap;
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use countersign::trust::notary::{FileName, History, RootPolicy};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::repositories::{Outcome, drive, first_use};
use json::{canonical, sha256, sha512, wire};
use key::{Key, person, role_key, root_key, root_key_of};

/// The repository's name.
pub const GUN: &str = "registry.example/team/app";
/// When all that is built is current.
pub const NOW: &str = "2026-12-01T00:00:00Z";
/// The digests that tags name.
pub const A: [u8; 32] = [0xaa; 32];
pub const B: [u8; 32] = [0xbb; 32];

const ROOT_EXPIRES: &str = "2036-11-28T00:00:00Z";
const TARGETS_EXPIRES: &str = "2029-11-30T00:00:00Z";
const TIMESTAMP_EXPIRES: &str = "2026-12-15T00:00:00Z";

pub fn now() -> Timestamp {
    NOW.parse().unwrap()
}

/// A file before it is signed.
#[derive(Clone)]
pub struct Draft {
    pub signed: Value,
    /// Who signs it.
    pub keys: Vec<Key>,
    /// Whether the snapshot lists it.
    pub listed: bool,
    /// Whether the server has it.
    pub served: bool,
    amend: Option<Amendment>,
    tamper: Option<Edit>,
    swap: Option<Edit>,
}

/// A change of a file's content.
type Amendment = Rc<dyn Fn(&mut Value)>;
/// A change of a file's text.
type Edit = Rc<dyn Fn(String) -> String>;

impl Draft {
    fn new(signed: Value, keys: &[Key]) -> Self {
        let keys = keys.to_vec();
        Self { signed, keys, listed: true, served: true, amend: None, tamper: None, swap: None }
    }

    /// Changes the content right before it is signed, the hashes it lists included.
    pub fn amend(&mut self, change: impl Fn(&mut Value) + 'static) {
        self.amend = Some(Rc::new(change));
    }

    /// Changes the signed bytes before the parent lists them.
    pub fn tamper(&mut self, change: impl Fn(String) -> String + 'static) {
        self.tamper = Some(Rc::new(change));
    }

    /// Changes the bytes that are served, whatever the parent lists.
    pub fn swap(&mut self, change: impl Fn(String) -> String + 'static) {
        self.swap = Some(Rc::new(change));
    }

    /// Replaces the text `from`, which has to be there, in the signed bytes.
    pub fn rewrite(&mut self, from: &'static str, to: &'static str) {
        self.tamper(move |text| {
            assert!(text.contains(from), "no {from:?} in {text}");
            text.replacen(from, to, 1)
        });
    }

    /// Sets the version.
    pub fn version(&mut self, version: u64) {
        self.signed["version"] = json!(version);
    }

    /// Sets `tag` to the digest.
    pub fn tag(&mut self, tag: &str, digest: [u8; 32]) {
        self.signed["targets"][tag] =
            json!({"hashes": {"sha256": BASE64.encode(digest)}, "length": 523});
    }

    /// Declares a delegation, after those that are there. Declaring it again replaces it.
    pub fn declare(&mut self, name: &str, keys: &[Key], threshold: u64, paths: &[&str]) {
        let delegations = &mut self.signed["delegations"];
        for key in keys {
            delegations["keys"][key.id()] = key.listed();
        }
        let ids: Vec<_> = keys.iter().map(Key::id).collect();
        let roles = delegations["roles"].as_array_mut().unwrap();
        roles.retain(|role| role["name"] != name);
        roles.push(json!({"keyids": ids, "name": name, "paths": paths, "threshold": threshold}));
    }

    /// The declaration of a delegation.
    pub fn declared(&mut self, name: &str) -> &mut Value {
        let roles = self.signed["delegations"]["roles"].as_array_mut().unwrap();
        roles.iter_mut().find(|role| role["name"] == name).unwrap()
    }

    /// In a root: gives a role other keys.
    pub fn appoint(&mut self, role: &str, keys: &[Key], threshold: u64) {
        for key in keys {
            self.signed["keys"][key.id()] = key.listed();
        }
        let ids: Vec<_> = keys.iter().map(Key::id).collect();
        self.signed["roles"][role] = json!({"keyids": ids, "threshold": threshold});
    }

    /// The file as its signers write it, tampered with where a test says so.
    fn write(&self, mut signed: Value) -> String {
        if let Some(amend) = &self.amend {
            amend(&mut signed);
        }
        let text = envelope(&signed, &self.keys);
        self.tamper.as_ref().map_or(text.clone(), |tamper| tamper(text))
    }
}

/// `{"signed":…,"signatures":…}`, signed by `keys`.
pub fn envelope(signed: &Value, keys: &[Key]) -> String {
    let payload = canonical(signed);
    let signatures: Vec<_> = keys.iter().map(|key| key.sign(payload.as_bytes())).collect();
    format!(r#"{{"signed":{},"signatures":[{}]}}"#, wire(&payload), signatures.join(","))
}

/// A repository before it is published.
#[derive(Clone)]
pub struct Repo {
    drafts: BTreeMap<String, Draft>,
    /// `N.root.json`
    pub old_roots: BTreeMap<u64, String>,
}

impl Repo {
    /// As `docker push` makes one of a repository without signers: tag 1.0 in `targets`.
    pub fn plain() -> Self {
        let mut root = Draft::new(
            json!({"_type": "Root", "consistent_snapshot": false, "expires": ROOT_EXPIRES,
                "keys": {}, "roles": {}, "version": 1}),
            &[root_key("root")],
        );
        root.appoint("root", &[root_key("root")], 1);
        for role in ["targets", "snapshot", "timestamp"] {
            root.appoint(role, &[role_key(role)], 1);
        }
        let mut targets = Draft::new(no_targets(), &[role_key("targets")]);
        targets.tag("1.0", A);
        let snapshot = json!({"_type": "Snapshot", "expires": TARGETS_EXPIRES, "version": 1});
        let timestamp = json!({"_type": "Timestamp", "expires": TIMESTAMP_EXPIRES, "version": 1});
        let drafts = BTreeMap::from([
            ("root".to_owned(), root),
            ("targets".to_owned(), targets),
            ("snapshot".to_owned(), Draft::new(snapshot, &[role_key("snapshot")])),
            ("timestamp".to_owned(), Draft::new(timestamp, &[role_key("timestamp")])),
        ]);
        Self { drafts, old_roots: BTreeMap::new() }
    }

    /// As `docker trust sign` leaves a repository with the signers jenkins and moby:
    /// jenkins signed 1.0, into `targets/jenkins` and `targets/releases`.
    pub fn signed_by_jenkins() -> Self {
        let mut repo = Self::plain();
        repo.at("targets").signed["targets"] = json!({});
        let (jenkins, moby) = (person("jenkins"), person("moby"));
        repo.delegate("targets/releases", &[jenkins.clone(), moby.clone()], &[""]);
        repo.delegate("targets/jenkins", std::slice::from_ref(&jenkins), &[""]);
        repo.delegate("targets/moby", std::slice::from_ref(&moby), &[""]);
        for role in ["targets/releases", "targets/jenkins"] {
            repo.at(role).keys = vec![jenkins.clone()];
            repo.at(role).tag("1.0", A);
        }
        repo.at("targets/moby").listed = false;
        repo
    }

    /// The draft of a role's file.
    pub fn at(&mut self, role: &str) -> &mut Draft {
        self.drafts.get_mut(role).unwrap_or_else(|| panic!("no {role}"))
    }

    /// Declares a delegation in its parent and drafts an empty file for it, signed by all
    /// of its keys.
    pub fn delegate(&mut self, name: &str, keys: &[Key], paths: &[&str]) {
        let (parent, _) = name.rsplit_once('/').unwrap();
        self.at(parent).declare(name, keys, 1, paths);
        let mut draft = Draft::new(no_targets(), keys);
        // No two files are the same: Notary writes the time to the nanosecond.
        let fraction = self.drafts.len();
        draft.signed["expires"] = json!(TARGETS_EXPIRES.replace('Z', &format!(".{fraction}Z")));
        self.drafts.insert(name.to_owned(), draft);
    }

    /// Gives a base role other keys, which sign its file from now on.
    pub fn appoint(&mut self, role: &str, keys: &[Key], threshold: u64) {
        self.at("root").appoint(role, keys, threshold);
        self.at(role).keys = keys.to_vec();
    }

    /// Publishes the root and goes on to the next, with another root key; both keys sign.
    pub fn rotate(&mut self, new: Key) {
        self.next_root();
        let root = self.at("root");
        root.appoint("root", std::slice::from_ref(&new), 1);
        let old = root.keys.pop().unwrap();
        root.keys = vec![old, new];
    }

    /// Publishes the root and goes on to the next version.
    pub fn next_root(&mut self) {
        let root = self.at("root");
        let (text, version) = (root.write(root.signed.clone()), root.signed["version"].clone());
        let version = version.as_u64().unwrap();
        root.version(version + 1);
        // Keys of earlier rotations do not sign any more.
        root.keys = root.keys.split_off(root.keys.len() - 1);
        self.old_roots.insert(version, text);
    }

    /// Raises the version of every file but the root, as a later publication does.
    pub fn republish(&mut self) {
        for (_, draft) in self.drafts.iter_mut().filter(|(name, _)| *name != "root") {
            let version = draft.signed["version"].as_u64().unwrap();
            draft.version(version + 1);
        }
    }

    /// Signs and lists all files.
    pub fn publish(&self) -> Server {
        let (mut files, mut meta) = (BTreeMap::new(), serde_json::Map::new());
        let mut publish = |name: &str, draft: &Draft, signed: Value| {
            let text = draft.write(signed);
            let entry = listing(text.as_bytes());
            let served = draft.swap.as_ref().map_or(text.clone(), |swap| swap(text));
            if draft.served {
                files.insert(format!("{name}.json"), served.into_bytes());
            }
            entry
        };
        let online = ["snapshot", "timestamp"];
        for (name, draft) in self.drafts.iter().filter(|(name, _)| !online.contains(&&***name)) {
            let entry = publish(name, draft, draft.signed.clone());
            if draft.listed {
                meta.insert(name.clone(), entry);
            }
        }
        let mut meta = Value::Object(meta);
        for name in online {
            let draft = &self.drafts[name];
            let mut signed = draft.signed.clone();
            signed["meta"] = meta;
            meta = json!({"snapshot": publish(name, draft, signed)});
        }
        for (version, text) in &self.old_roots {
            files.insert(format!("{version}.root.json"), text.clone().into_bytes());
        }
        Server(files)
    }

    /// The same, made as another repository.
    pub fn of(mut self, repository: &str) -> Self {
        self.appoint("root", &[root_key_of(repository)], 1);
        self
    }

    /// Publishes it and lets a node that knows nothing update, and takes it for this one.
    pub fn update_of(&self, repository: &str) -> Outcome {
        let (server, history) = (self.publish(), History::default());
        drive(&repository.parse().unwrap(), &history, &first_use(), now(), |file| {
            server.answer(file)
        })
    }

    /// Publishes it and lets a node that knows nothing update.
    pub fn update(&self) -> Outcome {
        self.publish().update(&History::default(), &first_use())
    }

    /// Publishes it and returns what a node then knows.
    pub fn history(&self) -> History {
        self.update().unwrap().1
    }
}

/// What a trust server answers. Files have their plain names; whether a file fits a hash
/// is for the update to see.
#[derive(Clone)]
pub struct Server(pub BTreeMap<String, Vec<u8>>);

impl Server {
    pub fn answer(&self, file: &FileName) -> Option<Vec<u8>> {
        let plain = match file {
            FileName::Hashed(role, _) => FileName::Current(role.clone()),
            other => other.clone(),
        };
        self.0.get(&plain.to_string()).cloned()
    }

    /// Lets a node update that knows `history`.
    pub fn update(&self, history: &History, policy: &RootPolicy) -> Outcome {
        drive(&GUN.parse().unwrap(), history, policy, now(), |file| self.answer(file))
    }

    /// A file as text.
    pub fn text(&self, name: &str) -> String {
        String::from_utf8(self.0[name].clone()).unwrap()
    }
}

fn no_targets() -> Value {
    json!({"_type": "Targets", "delegations": {"keys": {}, "roles": []},
        "expires": TARGETS_EXPIRES, "targets": {}, "version": 1})
}

/// How a parent lists a file.
fn listing(bytes: &[u8]) -> Value {
    let hash = |hash: Vec<u8>| BASE64.encode(hash);
    json!({"hashes": {"sha256": hash(sha256(bytes)), "sha512": hash(sha512(bytes))},
        "length": bytes.len()})
}
