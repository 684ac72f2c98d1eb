//! A node with a plugin, repositories that were signed for it, and their trust server.

use std::fs;
use std::path::Path;
use std::process::Command;

use futures_util::StreamExt as _;

use crate::builder::Repo;
use crate::builder::key::person;
use crate::node::Node;
use crate::process::Served;
use crate::static_server::StaticServer;
use crate::stub_engine::digest_of;
use crate::wire::{self, Message, Verdict};

/// The registry of all that is made here.
const HOST: &str = "registry.bench.example";
/// When all that is signed here runs out.
const FAR: &str = "2036-10-01T00:00:00Z";
/// Repositories that are verified at the same time while a plugin gets to know them.
const AT_ONCE: usize = 8;

/// Repositories, each with so many tags that jenkins signed.
pub struct World {
    node: Node,
    repositories: usize,
    tags: usize,
    _trust: StaticServer,
    _engine: Served,
    plugin: Served,
}

impl World {
    /// Signs the repositories, and starts a plugin that knows none of them yet.
    pub fn new(repositories: usize, tags: usize) -> Self {
        let trust = StaticServer::new(&[]);
        for number in 0..repositories {
            let name = repository(number);
            trust.publish_built(&name, &signed(&name, tags));
        }
        let node = Node::new(&policy(&trust.host()));
        fs::write(node.path("ca.pem"), &trust.ca).unwrap();
        fs::write(node.path("jenkins.pem"), person("jenkins").pem()).unwrap();
        let engine = stub_engine(&node.path("engine.sock"), &node.path("engine.log"));
        let plugin = Served::start(&mut node.serve_command(), &node.socket(), &node.path("said"));
        Self { node, repositories, tags, _trust: trust, _engine: engine, plugin }
    }

    /// Has the plugin verify every repository.
    pub fn warm_up(&self) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        let calls = futures_util::stream::iter(0..self.repositories).map(async |number| {
            let socket = self.plugin.socket();
            let mut stream = tokio::net::UnixStream::connect(socket).await.unwrap();
            let verdict = wire::call(&mut stream, &self.create(number)).await;
            assert_eq!(verdict, Ok(Verdict::Allowed), "{}", self.plugin.log());
        });
        runtime.block_on(calls.buffer_unordered(AT_ONCE).collect::<()>());
    }

    /// `docker run` of an image of the repository with this number.
    pub fn create(&self, number: usize) -> Message {
        Message::create(&self.image(number))
    }

    /// An image of the repository with this number, of a tag in the middle.
    pub fn image(&self, number: usize) -> String {
        format!("{}:{}", repository(number), tag(self.tags / 2))
    }

    pub fn plugin(&self) -> &Served {
        &self.plugin
    }

    /// The stub's socket.
    pub fn engine_socket(&self) -> std::path::PathBuf {
        self.node.path("engine.sock")
    }
}

/// The engine that knows every image and takes no time.
pub fn stub_engine(socket: &Path, log: &Path) -> Served {
    let this = std::env::current_exe().unwrap();
    Served::start(Command::new(this).arg(crate::STUB_ENGINE).arg(socket), socket, log)
}

fn repository(number: usize) -> String {
    format!("{HOST}/team/app{number:05}")
}

fn tag(number: usize) -> String {
    format!("v{}.{}.{}", number / 10_000, number / 100 % 100, number % 100)
}

/// The trust data of a repository, in which each tag names a digest that no other does.
fn signed(name: &str, tags: usize) -> crate::builder::Server {
    let mut repo = Repo::signed_by_jenkins().of(name);
    for role in ["targets/releases", "targets/jenkins"] {
        let draft = repo.at(role);
        draft.signed["targets"] = serde_json::json!({});
        for number in 0..tags {
            let tag = tag(number);
            draft.tag(&tag, digest_of(&format!("{name}:{tag}")));
        }
    }
    for role in ["targets", "snapshot", "timestamp", "targets/releases", "targets/jenkins"] {
        let fraction = role.len();
        repo.at(role).signed["expires"] = FAR.replace('Z', &format!(".{fraction}Z")).into();
    }
    repo.publish()
}

fn policy(trust_server: &str) -> String {
    format!(
        r#"
        [trust_configuration]
        require_content_trust = true
        require_signature_from = ["CI"]

        [[registries]]
        host_address = "{HOST}"
        ca_file = "ca.pem"
        trust_server = "https://{trust_server}"

        [teams]
        CI = ["jenkins"]

        [users.jenkins]
        certificates = ["jenkins.pem"]
        "#
    )
}
