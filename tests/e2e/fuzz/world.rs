//! The engine under test, and what stands on it when the calls begin: what is signed, and baits.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::draft::{Body, Draft};
use super::json::Json;
use crate::effect::{Signed, get};
use crate::node::{Engine, Files, Plugin, socket};
use crate::stage::Stage;
use crate::wire::Request;

/// A guarded engine, and what calls are made of.
pub struct World<'a> {
    pub engine: Engine<'a>,
    pub plugin: Plugin<'a>,
    pub signed: Signed,
    /// The API version of most calls, as it stands in paths.
    pub version: String,
    /// What `$NAME` stands for.
    names: HashMap<String, String>,
    archives: PathBuf,
}

/// Makes the archives that calls carry.
const ARCHIVES: &str = r#"
set -euo pipefail
cd "$1"
mkdir -p root/bin build plugin/rootfs
echo planted >planted
cp "$(command -v busybox)" root/bin/busybox
printf 'FROM scratch\nCOPY planted /\nLABEL fuzzed=1\n' >build/Dockerfile
cp planted build/
cat >plugin/config.json <<'JSON'
{"description":"x","documentation":"x","entrypoint":["/x"],"network":{"type":"none"},
 "env":[{"name":"A","description":"x","settable":["value"],"value":"a"}],
 "interface":{"types":["docker.volumedriver/1.0"],"socket":"x.sock"}}
JSON
tar -cf planted.tar planted
tar -cf root.tar -C root bin
tar -cf build.tar -C build Dockerfile planted
tar -cf plugin.tar -C plugin config.json rootfs
"#;

/// How many services there are to be updated.
const SERVICES: u64 = 6;

impl<'a> World<'a> {
    /// Sets everything up: unguarded first, so that baits can be made.
    #[track_caller]
    pub fn build(stage: &'a Stage, change_policy: fn(&str) -> String) -> Self {
        let (app, policy) = stage.signed_app();
        let other = stage.repository("other");
        stage.push_unsigned(&format!("{app}:other"), "gotcha");
        stage.push_unsigned(&format!("{app}:remote"), "gotcha from afar");
        stage.push_unsigned(&format!("{other}:latest"), "gotcha from elsewhere");
        let archives = stage.dir().join("archives");
        fs::create_dir(&archives).unwrap();
        let mut make = Command::new("bash");
        stage.run("(archives)", make.args(["-c", ARCHIVES, "bash"]).arg(&archives)).expect_ok();
        let save = format!("save --output {}/image.tar {app}:remote", archives.display());
        stage.user("admin").docker(save).expect_ok();

        let engine = Engine::absent(stage);
        engine.start(&[]);
        let mut names = names_of_images(stage, &engine, &app, &other);
        bait(&engine, &archives, &names);
        let files = Files::new(stage, &change_policy(&policy.to_string()), &engine);
        let plugin = guard(stage, &files);
        stage.script(&["engine", "stop", engine.name()]);
        engine.start(&["--plugin", plugin.name()]);
        engine.docker("start web").expect_ok();

        let socket = engine.socket();
        for container in ["evil", "bound", "idle", "web"] {
            let id = get(&socket, &format!("/containers/{container}/json"))["Id"].clone();
            let id = id.as_str().expect("containers have IDs").to_owned();
            let name = container.to_uppercase();
            names.insert(format!("{name}_CID_SHORT"), id[..12].to_owned());
            names.insert(format!("{name}_CID"), id);
        }
        let signed = Signed {
            ids: [names["GOOD_ID"].clone()].into(),
            digests: [names["GOOD_DIGEST"].clone()].into(),
        };
        let told = get(&socket, "/version");
        let version = format!("/v{}", told["ApiVersion"].as_str().expect("engines tell theirs"));
        let mut world = Self { engine, plugin, signed, version, names, archives };
        world.look_up_versions();
        world
    }

    pub fn socket(&self) -> PathBuf {
        self.engine.socket()
    }

    /// The repository of the signed image, and of others.
    pub fn app(&self) -> &str {
        &self.names["APP"]
    }

    pub fn good(&self) -> &str {
        &self.names["GOOD"]
    }

    pub fn good_id(&self) -> &str {
        &self.names["GOOD_ID"]
    }

    /// The signed image, by name and digest.
    pub fn pinned(&self) -> &str {
        &self.names["PINNED"]
    }

    pub fn archive(&self, name: &str) -> Vec<u8> {
        fs::read(self.archives.join(format!("{name}.tar"))).unwrap()
    }

    /// What updates have to name, and what each update changes.
    #[track_caller]
    pub fn look_up_versions(&mut self) {
        let socket = self.socket();
        let number = |value: &Value| value["Version"]["Index"].to_string();
        let info = get(&socket, "/info");
        self.names.insert("VERSION_SWARM".into(), number(&info["Swarm"]["Cluster"]));
        if info["Swarm"]["ControlAvailable"] != true {
            return;
        }
        for service in get(&socket, "/services").as_array().into_iter().flatten() {
            let name = service["Spec"]["Name"].as_str().unwrap_or_default();
            self.names.insert(format!("VERSION_{}", name.to_uppercase()), number(service));
            if name == "turned" {
                let id = service["ID"].as_str().unwrap_or_default();
                self.names.insert("TURNED_ID".into(), id.to_owned());
            }
        }
        let node = &get(&socket, "/nodes")[0];
        self.names.insert("VERSION_NODE".into(), number(node));
        self.names.insert("NODE_ID".into(), node["ID"].as_str().unwrap_or_default().to_owned());
    }

    /// What stands for what, the longest first: the other way round than calls are made.
    pub fn values(&self) -> Vec<(String, String)> {
        let mut all: Vec<_> = Vec::new();
        for (name, value) in &self.names {
            if name.starts_with("VERSION_") {
                all.push((format!("version=${name}"), format!("version={value}")));
            } else {
                all.push((format!("${name}"), value.clone()));
            }
        }
        all.sort_by_key(|(name, value)| (std::cmp::Reverse(value.len()), name.clone()));
        all
    }
}

/// The plugin, which says nothing but what should not be: there are very many calls.
fn guard<'a>(stage: &'a Stage, files: &Files) -> Plugin<'a> {
    let name = stage.fresh_name();
    let path = socket(&name);
    fs::create_dir_all(path.parent().expect("in a folder")).unwrap();
    let mut serve = files.serve(&[]);
    serve.arg("--socket").arg(path).env("RUST_LOG", "warn");
    let process = serve.spawn().unwrap();
    let mut plugin = Plugin::adopt(stage, name, files.clone(), process);
    plugin.await_socket();
    plugin
}

/// Pulls the images, gives them names, and says what they are called.
#[track_caller]
fn names_of_images(
    stage: &Stage,
    engine: &Engine<'_>,
    app: &str,
    other: &str,
) -> HashMap<String, String> {
    let (good, evil) = (format!("{app}:1"), format!("{app}:other"));
    for image in [&good, &evil] {
        engine.docker(format!("pull {image}")).expect_ok();
    }
    let id = |image: &str| {
        let id = get(&engine.socket(), &format!("/images/{image}/json"))["Id"].clone();
        id.as_str().expect("images have IDs").to_owned()
    };
    let (good_id, evil_id) = (id(&good), id(&evil));
    let hex = |id: &str| id.trim_start_matches("sha256:").to_owned();
    let shadow = hex(&good_id)[..12].to_owned();
    for (image, name) in
        [(&good, "lane:1"), (&good, "lane:race"), (&evil, "lane:evil"), (&evil, &shadow)]
    {
        engine.docker(format!("tag {image} {name}")).expect_ok();
    }
    let (good_digest, evil_digest) = (stage.digest(&good), stage.digest(&evil));
    [
        ("APP", app.to_owned()),
        ("OTHER", other.to_owned()),
        ("PINNED", format!("{good}@{good_digest}")),
        ("EVIL_PINNED", format!("{evil}@{evil_digest}")),
        ("REMOTE_DIGEST", stage.digest(&format!("{app}:remote"))),
        ("GOOD_DIGEST", good_digest),
        ("EVIL_DIGEST", evil_digest),
        ("EVIL_HEX", hex(&evil_id)),
        ("EVIL_SHORT", hex(&evil_id)[..12].to_owned()),
        ("SHADOW", shadow),
        ("GOOD_ID", good_id),
        ("EVIL_ID", evil_id),
        ("GOOD", good),
        ("EVIL", evil),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// Makes what must not be started, and what may; services; a managed plugin.
#[track_caller]
fn bait(engine: &Engine<'_>, archives: &Path, names: &HashMap<String, String>) {
    let (good, evil) = (&names["GOOD"], &names["EVIL"]);
    for (name, words) in [
        ("evil", format!("{evil} sleep 1000")),
        ("strong", format!("--privileged {good} sleep 1000")),
        ("bound", format!("--volume /etc:/h {good} sleep 1000")),
        ("heir", format!("--volumes-from bound {good} sleep 1000")),
        ("idle", format!("{good} true")),
        ("web", format!("{good} sleep 1000000")),
    ] {
        engine.docker(format!("create --network none --name {name} {words}")).expect_ok();
    }
    let options = "--opt type=none --opt o=bind --opt device=/etc";
    engine.docker(format!("volume create {options} bait")).expect_ok();
    let plugin = archives.join("plugin");
    engine.docker(format!("plugin create sleeper {}", plugin.display())).expect_ok();
    let address = "--advertise-addr 127.0.0.1 --listen-addr 127.0.0.1:2377";
    engine.docker(format!("swarm init {address}")).expect_ok();
    let have = |call: &str, name: &str, image: &str| {
        let answer = specify(call, name, image).send(&engine.socket(), Duration::from_secs(30));
        assert!(matches!(answer.status(), Some(200 | 201)), "{name}: {answer}");
    };
    for number in 0..SERVICES {
        have("create", &format!("s{number}"), &names["PINNED"]);
    }
    have("create", "turned", &names["EVIL_PINNED"]);
    let version = get(&engine.socket(), "/services/turned")["Version"]["Index"].clone();
    have(&format!("turned/update?version={version}"), "turned", &names["PINNED"]);
    symlink("/etc", link(archives)).unwrap();
}

fn link(archives: &Path) -> PathBuf {
    archives.join("link")
}

/// A call that has a service run this image.
pub fn specify(call: &str, name: &str, image: &str) -> Request {
    let document = format!(
        r#"{{"Name":"{name}","Mode":{{"Replicated":{{"Replicas":0}}}},
            "TaskTemplate":{{"ContainerSpec":{{"Image":"{image}"}}}}}}"#
    );
    Request::json("POST", &format!("/services/{call}"), &document)
}

/// What names stand for in one case.
pub struct Names<'w> {
    world: &'w World<'w>,
    number: u64,
}

impl<'w> Names<'w> {
    pub fn of(world: &'w World<'w>, number: u64) -> Self {
        Self { world, number }
    }

    fn value(&self, name: &str) -> Option<String> {
        let number = self.number;
        Some(match name {
            "NEW" => format!("n{number}"),
            "RECENT" => format!("n{}", number.saturating_sub(1 + number % 7)),
            "SERVICE" => format!("s{}", number % SERVICES),
            "VERSION" => self.value(&format!("VERSION_S{}", number % SERVICES))?,
            "LINK" => link(&self.world.archives).display().to_string(),
            name => self.world.names.get(name)?.clone(),
        })
    }

    /// The text with names for what they stand for.
    pub fn filled(&self, text: &str) -> String {
        let mut pieces = text.split('$');
        let mut filled = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            let is_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
            let length = piece.find(|c| !is_name(c)).unwrap_or(piece.len());
            match self.value(&piece[..length]) {
                Some(value) => filled.push_str(&value),
                None => filled.extend(["$", &piece[..length]]),
            }
            filled.push_str(&piece[length..]);
        }
        filled
    }

    /// Fills every piece of a call.
    pub fn fill(&self, draft: &mut Draft) {
        let Draft { path, query, after_query, body, .. } = draft;
        for text in [path, after_query] {
            *text = self.filled(text);
        }
        for (name, value) in query {
            *name = self.filled(name);
            *value = self.filled(value);
        }
        match body {
            Body::Absent => {}
            Body::Bytes(bytes) => self.fill_bytes(bytes),
            Body::Json { before, document, after } => {
                self.fill_bytes(before);
                self.fill_json(document);
                self.fill_bytes(after);
            }
        }
    }

    fn fill_json(&self, json: &mut Json) {
        match json {
            Json::Raw(bytes) => self.fill_bytes(bytes),
            Json::List(elements) => elements.iter_mut().for_each(|one| self.fill_json(one)),
            Json::Object(members) => members.iter_mut().for_each(|(_, one)| self.fill_json(one)),
        }
    }

    fn fill_bytes(&self, bytes: &mut Vec<u8>) {
        if bytes.contains(&b'$')
            && let Ok(text) = std::str::from_utf8(bytes)
        {
            *bytes = self.filled(text).into_bytes();
        }
    }
}

/// A policy under which anything may run: what the search finds then, it can find.
pub fn asleep(policy: &str) -> String {
    policy.replace("require_content_trust = true", "require_content_trust = false")
}

/// The policy as it is.
pub fn awake(policy: &str) -> String {
    policy.to_owned()
}
