//! A trust server that can turn hostile or fall ill, and nodes that rest on it: from TLS to
//! the verdict it is the whole line, in this process, so that a test can read the log of
//! each decision and say what time it is.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use countersign::gate::{Gate, Settings};
use countersign::image::Digest;
use countersign::policy::{Grant, Policy, Verdict};
use jiff::Timestamp;
use serde_json::json;

use crate::builder::key::{person, root_key};
use crate::builder::{A, GUN, Repo, Server};
use crate::node::Node;
use crate::static_server::StaticServer;

/// Every file of [`honest`].
pub const ROLES: [&str; 6] =
    ["root", "timestamp", "snapshot", "targets", "targets/releases", "targets/jenkins"];

/// When timestamps of [`honest`] run out, by the real clock and by any that a test sets.
pub const TIMESTAMP_EXPIRES: &str = "2029-11-29T00:00:00Z";

/// A repository whose files all have this version: jenkins signed tag 1.0 as [`A`].
pub fn honest(version: u64) -> Repo {
    let mut repo = Repo::signed_by_jenkins();
    for role in ROLES {
        repo.at(role).version(version);
    }
    repo.at("timestamp").signed["expires"] = json!(TIMESTAMP_EXPIRES);
    repo
}

/// The same at its next version, under the same root.
pub fn successor(version: u64) -> Repo {
    let mut repo = honest(version + 1);
    repo.at("root").version(version);
    repo
}

/// The server of a registry where [`GUN`] is, and what nodes are told of it.
pub struct Site {
    pub server: StaticServer,
    /// What it serves as long as it is honest: [`honest`] of version 2.
    pub honest: Server,
    /// More lines of its `[[registries]]` entry.
    pub entry: String,
    pub trust_server: String,
    /// `0s`: each decision asks.
    pub max_staleness: &'static str,
}

impl Site {
    pub fn new() -> Self {
        let server = StaticServer::new(&[]);
        let honest = honest(2).publish();
        server.publish_built(GUN, &honest);
        let trust_server = format!("https://{}", server.host());
        Self { server, honest, entry: String::new(), trust_server, max_staleness: "0s" }
    }

    /// A node that pins the honest root.
    pub fn node(&self) -> SiteNode {
        let node = Node::new(&self.policy());
        fs::write(node.path("ca.pem"), &self.server.ca).unwrap();
        // ann:secret, for entries that name it.
        let config = r#"{"auths":{"registry.example":{"auth":"YW5uOnNlY3JldA=="}}}"#;
        fs::write(node.path("config.json"), config).unwrap();
        SiteNode { node }
    }

    pub fn policy(&self) -> String {
        let key = BASE64.encode(&person("jenkins").bare().public);
        format!(
            r#"
            [trust_configuration]
            require_content_trust = true
            require_signature_from = ["CI"]
            max_staleness = "{}"

            [[registries]]
            host_address = "registry.example"
            ca_file = "ca.pem"
            trust_server = "{}"
            root_pins = ["{}"]
            {}

            [teams]
            CI = ["jenkins"]

            [users.jenkins]
            certificates = ["-----BEGIN PUBLIC KEY-----\n{key}\n-----END PUBLIC KEY-----\n"]
            "#,
            self.max_staleness,
            self.trust_server,
            root_key("root").canonical_id(),
            self.entry,
        )
    }
}

/// A node of a [`Site`].
pub struct SiteNode {
    pub node: Node,
}

/// What came of a decision on `GUN:1.0`.
#[derive(Debug)]
pub struct Told {
    pub code: &'static str,
    /// What is said of a denial.
    pub message: String,
    pub notes: Vec<String>,
    pub log: String,
    digest: Option<Digest>,
}

impl SiteNode {
    /// Its gate; each is a new start of the program.
    pub fn gate(&self) -> Gate {
        self.start(false)
    }

    /// The same, without the network.
    pub fn offline(&self) -> Gate {
        self.start(true)
    }

    fn start(&self, offline: bool) -> Gate {
        let text = fs::read_to_string(self.node.path("countersign.toml")).unwrap();
        let read = |file: &Path| fs::read_to_string(self.node.path(file.to_str().unwrap()));
        let policy = Policy::from_toml(&text, &read).unwrap();
        let state_dir = self.node.path("state");
        Gate::new(Settings { policy, engine: None, state_dir, offline }).unwrap()
    }

    /// What is on its disk of repositories: all files that are not empty, but those that say
    /// which node this is.
    pub fn kept(&self) -> BTreeMap<String, Vec<u8>> {
        let mut found = BTreeMap::new();
        let mut folders = vec![self.node.path("state")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.insert(path.display().to_string(), fs::read(path).unwrap());
                }
            }
        }
        found.retain(|path, bytes| !bytes.is_empty() && !path.ends_with("/node"));
        found
    }
}

/// Has a gate decide on `GUN:1.0`.
pub async fn decide(gate: &Gate) -> Told {
    decide_at(gate, countersign::source::now()).await
}

/// The same by a clock of the test's own.
pub async fn decide_at(gate: &Gate, now: Timestamp) -> Told {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_writer(move || writer.clone())
        .finish();
    let reference = format!("{GUN}:1.0").parse().unwrap();
    // What the decision spawns logs there too, as tests have one thread.
    let logging = tracing::subscriber::set_default(subscriber);
    let decision = gate.check_at(reference, now).await;
    drop(logging);
    let (digest, message) = match &decision.verdict {
        Verdict::Allow(Grant::Proven { digest, .. }) => (Some(*digest), String::new()),
        Verdict::Allow(_) => (None, String::new()),
        Verdict::Deny(refusal) => (None, refusal.to_string()),
    };
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    Told { code: decision.verdict.code(), message, notes: decision.notes, log, digest }
}

/// What was logged during one decision.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Told {
    /// Whether jenkins' image was let through, and nothing is to be said beside it.
    pub fn is_plain(&self) -> Result<(), String> {
        self.is_signed()?;
        if self.notes.is_empty() { Ok(()) } else { Err(format!("it says {:?}", self.notes)) }
    }

    /// Whether jenkins' image was let through by what was verified before, which is told
    /// in a note that contains `what`.
    pub fn stood(&self, what: &str) -> Result<(), String> {
        self.is_signed()?;
        match self.notes.as_slice() {
            [note] if note.contains(what) && note.contains("decided by what was verified") => {
                Ok(())
            }
            notes => Err(format!("it says {notes:?}, not {what:?}")),
        }
    }

    fn is_signed(&self) -> Result<(), String> {
        if self.code == "signed" && self.digest == Some(Digest::from_bytes(A)) {
            Ok(())
        } else {
            Err(format!("{}, as {:?}: {}", self.code, self.digest, self.message))
        }
    }

    /// Whether it was refused with this code and a text that contains `what`; never as if
    /// it were the image's fault.
    pub fn refused(&self, code: &str, what: &str) -> Result<(), String> {
        let lower = self.message.to_lowercase();
        // Certificates are signed as well.
        let lower = lower.replace("is not signed by the registered ca", "");
        let blames_image = ["unsigned", "not signed", "signing policy", "does not exist"]
            .iter()
            .any(|words| lower.contains(words));
        if self.code == code && self.message.contains(what) && !blames_image {
            Ok(())
        } else {
            Err(format!("{}: {}; not {code}: {what:?}", self.code, self.message))
        }
    }

    /// Whether the log says that this is what an attack looks like.
    pub fn is_attack_like(&self) -> bool {
        self.log.contains("this is what an attack looks like")
    }
}

/// Fails with all that is wrong, each under the name of its case.
#[track_caller]
pub fn all_well(faults: &[String]) {
    assert!(faults.is_empty(), "{} wrong:\n{}", faults.len(), faults.join("\n"));
}
