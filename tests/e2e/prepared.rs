//! An engine that holds what the recorded calls presume.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;

use crate::effect::{Signed, Snapshot, get};
use crate::node::{Engine, Plugin};
use crate::stage::Stage;
use crate::wire::{Body, Request};

/// Pulls are done sooner than this.
const LIMIT: Duration = Duration::from_secs(60);

/// What the plugin tells in its log: every decision.
const LOG: [&str; 2] = ["env", "RUST_LOG=info,countersign::record=debug"];

/// The present version of the service that updates are about.
const VERSION: &str = "{{VER:bc-u}}";

/// Which calls an engine is prepared for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// It is in no swarm.
    #[default]
    Node,
    /// It manages a swarm, and the calls are about services.
    Manager,
}

/// The engine, and what calls name.
pub struct Prepared<'a> {
    pub engine: Engine<'a>,
    pub signed: Signed,
    folder: PathBuf,
    words: BTreeMap<String, String>,
}

/// The files that calls upload: a root file system, an archive that gives an unsigned image a
/// signed one's name, and a build of it.
const FILES: &str = r#"
set -euo pipefail
cd "$1"; evil=$2
mkdir -p root/bin build plugin/rootfs/bin
cp "$(command -v busybox)" root/bin/busybox
ln -sf busybox root/bin/sleep
echo EVIL >root/marker
cp -a root/bin plugin/rootfs/
tar -C root -cf root.tar bin marker
printf 'FROM %s\nRUN cat /text\n' "$evil" >build/Dockerfile
tar -C build -cf build.tar Dockerfile
cat >plugin/config.json <<'JSON'
{"description": "does nothing", "entrypoint": ["/bin/sleep", "1000"], "network": {"type": "none"},
 "interface": {"types": ["docker.dummy/1.0"], "socket": "dummy.sock"}}
JSON
tar -C plugin -cf plugin.tar config.json rootfs
"#;

impl<'a> Prepared<'a> {
    /// Prepares an engine that nobody guards.
    #[track_caller]
    pub fn unguarded(stage: &'a Stage, part: Part) -> Self {
        let (good, evil) = (stage.repository("good"), stage.repository("evil"));
        let plug = stage.repository("plug");
        stage.admit(&good, &["jenkins"]);
        stage.push_signed(&format!("{good}:1"), "hello", "jenkins");
        stage.push_signed(&format!("{good}:2"), "hello again", "jenkins");
        stage.push_unsigned(&format!("{evil}:1"), "gotcha");
        stage.push_unsigned(&format!("{good}:latest"), "gotcha");

        let folder = stage.dir().join("files");
        std::fs::create_dir(&folder).unwrap();
        let mut files = Command::new("bash");
        files.args(["-c", FILES, "bash"]).arg(&folder).arg(format!("{evil}:1"));
        stage.run("(the files that calls upload)", &mut files).expect_ok();

        let admin = stage.user("admin");
        let digest = |image: String| stage.digest(&image);
        let (good_digest, evil_digest) = (digest(format!("{good}:1")), digest(format!("{evil}:1")));
        let inspect = |image: &str| {
            admin.docker(format!("image inspect --format {{{{.Id}}}} {image}")).expect_ok()
        };
        let digests: BTreeSet<_> = [good_digest.clone(), digest(format!("{good}:2"))].into();
        let id = |tag| inspect(&format!("{good}:{tag}")).text().to_owned();
        let ids = digests.iter().cloned().chain([id(1), id(2)]).collect();
        let signed = Signed { ids, digests };
        let folder_shown = folder.display();
        admin.docker(format!("tag {evil}:1 {good}:1")).expect_ok();
        admin.docker(format!("save --output {folder_shown}/load.tar {good}:1")).expect_ok();
        if part == Part::Node {
            admin.docker(format!("plugin create {plug}:1 {folder_shown}/plugin")).expect_ok();
            admin.docker(format!("plugin push {plug}:1")).expect_ok();
            admin.docker(format!("plugin rm {plug}:1")).expect_ok();
        }

        let words = [
            ("REGISTRY", stage.lab().registry()),
            ("GOOD", good),
            ("EVIL", evil),
            ("PLUG", plug),
            ("GOOD_DIGEST", good_digest),
            ("EVIL_DIGEST", evil_digest),
        ];
        let words = words.map(|(word, text)| (word.to_owned(), text)).into();
        let engine = Engine::unguarded(stage);
        let mut scene = Scene { engine, folder, words };
        match part {
            Part::Node => scene.fill_node(),
            Part::Manager => scene.fill_manager(),
        }
        let Scene { engine, folder, words } = scene;

        let prepared = Self { engine, signed, folder, words };
        prepared.await_quiet();
        prepared
    }

    /// Has it guarded from now on.
    #[track_caller]
    pub fn guarded(self, stage: &'a Stage) -> (Self, Plugin<'a>) {
        let lab = stage.lab();
        let policy = crate::policy::Policy::requiring(lab, &["CI"])
            .team("CI", &["jenkins"])
            .user(lab, "jenkins");
        let plugin = Plugin::start_as(stage, &policy, &self.engine, &LOG);
        stage.script(&["engine", "stop", self.engine.name()]);
        self.engine.start(&["--plugin", plugin.name()]);
        self.await_quiet();
        (self, plugin)
    }

    /// Until nothing changes by itself any more: a swarm takes its time to come up.
    fn await_quiet(&self) {
        let socket = self.engine.socket();
        let mut last = Snapshot::of(&socket);
        for _ in 0..100 {
            std::thread::sleep(Duration::from_millis(300));
            let now = last.now(&socket);
            if now == last {
                return;
            }
            last = now;
        }
        panic!("the engine does not come to rest");
    }

    /// A file that a call uploads.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The text with each `{{WORD}}` as it is here.
    pub fn fill(&self, text: &str) -> String {
        let text = fill(text, &self.words);
        if !text.contains(VERSION) {
            return text;
        }
        let service = get(&self.engine.socket(), "/v1.41/services/bc-u");
        text.replace(VERSION, &service["Version"]["Index"].to_string())
    }
}

fn fill(text: &str, words: &BTreeMap<String, String>) -> String {
    words.iter().fold(text.to_owned(), |text, (word, meaning)| {
        text.replace(&format!("{{{{{word}}}}}"), meaning)
    })
}

/// An engine that is being prepared.
struct Scene<'a> {
    engine: Engine<'a>,
    folder: PathBuf,
    words: BTreeMap<String, String>,
}

impl Scene<'_> {
    /// Images of both kinds, and containers that are made and were never started.
    #[track_caller]
    fn fill_node(&mut self) {
        self.pull_both();
        self.call("POST", "/v1.41/images/{{EVIL}}:1/tag?repo={{GOOD_SHORT}}&tag=latest", b"");
        let idle = |image: &str| {
            json!({"Image": image, "Cmd": ["/bin/sleep", "1000"],
                "HostConfig": {"NetworkMode": "none"}})
        };
        let mut bound = idle("{{GOOD}}:1");
        bound["HostConfig"]["Binds"] = json!(["/etc:/h"]);
        for (name, body) in [
            ("bc-g", idle("{{GOOD}}:1")),
            ("bc-h", idle("{{GOOD}}:1")),
            ("bc-b", bound),
            ("bc-e", idle("{{EVIL}}:1")),
            ("bc-c", idle("{{EVIL}}:1")),
            ("bc-p8", idle("{{EVIL}}:1")),
            ("bc-p10", idle("{{EVIL}}:1")),
            ("bc-n", idle("")),
        ] {
            let made =
                self.json(&format!("/v1.41/containers/create?name={name}"), &body.to_string());
            let made: serde_json::Value = serde_json::from_str(&made).unwrap();
            let id = made["Id"].as_str().unwrap();
            self.word(&format!("CID:{name}"), &id[..14]);
            let created = format!("{{\"Id\":\"{id}\",\"Warnings\":[]}}\n");
            self.word(&format!("CREATED:{name}"), &STANDARD.encode(created));
        }
        let files = std::fs::read(self.folder.join("root.tar")).unwrap();
        self.call("PUT", "/v1.41/containers/bc-n/archive?path=/", &files);
        let plugin = std::fs::read(self.folder.join("plugin.tar")).unwrap();
        self.call("POST", "/v1.41/plugins/create?name=bcplug", &plugin);
    }

    /// A swarm with a service that ran an unsigned image before its update.
    #[track_caller]
    fn fill_manager(&mut self) {
        self.pull_both();
        let swarm = json!({"ListenAddr": "127.0.0.1:2377", "AdvertiseAddr": "127.0.0.1"});
        self.json("/v1.41/swarm/init", &swarm.to_string());
        let service = |image: &str| {
            json!({"Name": "bc-u", "Mode": {"Replicated": {"Replicas": 0}},
                "TaskTemplate": {"ContainerSpec": {"Image": image}}})
            .to_string()
        };
        self.json("/v1.41/services/create", &service("{{EVIL}}:1@{{EVIL_DIGEST}}"));
        let made = get(&self.engine.socket(), "/v1.41/services/bc-u");
        let version = &made["Version"]["Index"];
        let update = format!("/v1.41/services/bc-u/update?version={version}");
        self.json(&update, &service("{{GOOD}}:1@{{GOOD_DIGEST}}"));
    }

    #[track_caller]
    fn pull_both(&mut self) {
        for (word, name) in [("GOOD", "{{GOOD}}"), ("EVIL", "{{EVIL}}")] {
            self.call("POST", &format!("/v1.41/images/create?fromImage={name}&tag=1"), b"");
            let target = fill(&format!("/v1.41/images/{name}:1/json"), &self.words);
            let image = get(&self.engine.socket(), &target);
            let id = image["Id"].as_str().unwrap();
            let hex = id.strip_prefix("sha256:").unwrap();
            self.word(&format!("{word}_ID"), id);
            self.word(&format!("{word}_HEX"), hex);
            self.word(&format!("{word}_SHORT"), &hex[..12]);
        }
    }

    fn word(&mut self, word: &str, meaning: &str) {
        self.words.insert(word.to_owned(), meaning.to_owned());
    }

    #[track_caller]
    fn json(&self, target: &str, body: &str) -> String {
        let (target, body) = (fill(target, &self.words), fill(body, &self.words));
        self.done(&Request::json("POST", &target, &body))
    }

    #[track_caller]
    fn call(&self, method: &str, target: &str, body: &[u8]) -> String {
        let request = Request::new(method, fill(target, &self.words));
        let request = match body {
            [] => request,
            _ => request.header("Content-Type", "application/x-tar"),
        };
        self.done(&request.body(Body::Length(body.to_vec())))
    }

    #[track_caller]
    fn done(&self, request: &Request) -> String {
        let answer = request.send(&self.engine.socket(), LIMIT);
        let target = String::from_utf8_lossy(&request.target);
        assert!(matches!(answer.status(), Some(200..300)), "{target}: {answer}");
        answer.text()
    }
}
