//! What a node keeps: `countersign trust`, and that neither damage, nor another process, nor
//! a kill, nor files from elsewhere make it forget what it has seen.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::builder::{GUN, Repo};
use crate::node::{Checked, Node};
use crate::repositories::data;
use crate::static_server::{Mood, StaticServer};

const JENKINS: &str = "localhost:5443/fx/jenkins";
const REMOVED: &str = "localhost:5443/fx/removed-tag";

pub fn node(server: &StaticServer) -> Node {
    let users = data().join("users");
    let node = Node::new(&format!(
        r#"
        [trust_configuration]
        require_content_trust = true
        require_signature_from = ["CI"]
        max_staleness = "0s"

        [[registries]]
        host_address = "localhost:5443"
        ca_file = "ca.pem"
        trust_server = "https://{host}"

        [[registries]]
        host_address = "registry.example"
        ca_file = "ca.pem"
        trust_server = "https://{host}"

        [teams]
        CI = ["jenkins"]

        [users.jenkins]
        certificates = ["{users}/jenkins/pub.pem"]
        "#,
        host = server.host(),
        users = users.display(),
    ));
    fs::write(node.path("ca.pem"), &server.ca).unwrap();
    node
}

pub fn trust(node: &Node, arguments: &[&str]) -> Checked {
    // The subcommand comes before the options.
    let told = node.command("trust");
    let mut program = std::process::Command::new(told.get_program());
    program.arg("trust").arg(arguments[0]).args(told.get_args().skip(1)).args(&arguments[1..]);
    let output = program.env_clear().stdin(Stdio::null()).output().unwrap();
    Checked {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The verdict's code on an image, asked with `--json`.
pub fn code(node: &Node, arguments: &[&str]) -> String {
    let report = node.check(&[&["--json"], arguments].concat()).report();
    report["code"].as_str().unwrap().to_owned()
}

/// Both copies of a repository's record.
pub fn copies(node: &Node, gun: &str) -> [PathBuf; 2] {
    [
        format!("state/record/{gun}/_record/record.json"),
        format!("state/trust/{gun}/_trust/record.json"),
    ]
    .map(|name| node.path(&name))
}

/// The highest versions seen, as the copies have them that can be read.
pub fn seen(copies: &[PathBuf]) -> Vec<BTreeMap<String, u64>> {
    let read = |path: &PathBuf| {
        let record: Value = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
        serde_json::from_value(record["content"]["versions"].clone()).ok()
    };
    copies.iter().filter_map(read).collect()
}

/// Every file below a folder.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

#[test]
fn what_is_kept_is_listed_and_shown() {
    let server = StaticServer::new(&["jenkins", "removed-tag/2-removed"]);
    let node = node(&server);
    let nothing = trust(&node, &["list"]);
    assert_eq!((nothing.code, nothing.out.as_str()), (0, "no trust data is kept yet\n"));
    let unknown = trust(&node, &["show", JENKINS]);
    assert_eq!((unknown.code, unknown.out.as_str()), (1, ""));
    assert!(unknown.err.contains(&format!("nothing is kept of {JENKINS}")), "{}", unknown.err);

    code(&node, &[&format!("{JENKINS}:1.0")]);
    code(&node, &[&format!("{REMOVED}:2.0")]);
    server.requests();
    let listed = trust(&node, &["list", "--json"]).reports();
    let states: Vec<_> = listed
        .iter()
        .map(|line| (line["repository"].as_str().unwrap(), line["state"].as_str().unwrap()))
        .collect();
    assert_eq!(states, [(JENKINS, "good"), (REMOVED, "good")]);
    assert!(listed[0]["tags"].as_u64().unwrap() > 0, "{listed:?}");
    assert!(listed[0]["confirmed"].is_string() && listed[0]["serves_until"].is_string());

    let shown = trust(&node, &["show", "--json", "--tags", JENKINS]).report();
    assert_eq!(shown["root"]["pinned"], false);
    assert!(shown["root"]["since"].is_string(), "{shown}");
    let role = |name: &str| {
        let roles = shown["roles"].as_array().unwrap();
        roles.iter().find(|role| role["role"] == name).unwrap_or_else(|| panic!("{name}: {shown}"))
    };
    for name in ["root", "timestamp", "snapshot", "targets", "targets/jenkins"] {
        assert_eq!(role(name)["version"], role(name)["seen"], "{name}");
        assert_eq!(role(name)["signers"].as_array().unwrap().len(), 1, "{name}: {shown}");
    }
    assert_eq!(role("targets/jenkins")["signers"][0]["user"], "jenkins");
    let tag = &shown["tags"].as_array().unwrap()[0];
    assert_eq!(tag["signers"][0]["user"], "jenkins", "{shown}");
    let text = trust(&node, &["show", JENKINS]).out;
    for part in
        ["first use; trusted since 20", "until 20", "jenkins (1fd16d350587)", "targets/releases"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(server.requests(), [""; 0], "no server is asked");
}

#[test]
fn a_reset_is_the_way_to_forget_and_is_logged() {
    let server = StaticServer::new(&["removed-tag/2-removed"]);
    let node = node(&server);
    let image = format!("{REMOVED}:1.0");
    assert_eq!(code(&node, &[&image]), "not-signed");
    // The server was restored from an old backup.
    server.publish("removed-tag/1-before");
    assert_eq!(code(&node, &[&image]), "not-signed");

    let asked = trust(&node, &["reset", REMOVED]);
    assert_eq!((asked.code, asked.out.as_str()), (2, ""));
    assert!(asked.err.contains("--yes"), "{}", asked.err);
    assert_eq!(code(&node, &[&image]), "not-signed", "nothing was forgotten");
    assert_eq!(trust(&node, &["reset", "--yes", JENKINS]).code, 1, "nothing is kept of it");
    assert_eq!(trust(&node, &["reset", "--yes", &image]).code, 2, "a tag is no repository");

    let reset = trust(&node, &["reset", "--yes", REMOVED]);
    assert_eq!(reset.code, 0, "{reset:?}");
    for part in ["the root of trust, sha256:", "timestamp 5", "on first contact"] {
        assert!(reset.out.contains(part), "{part}: {}", reset.out);
    }
    let log = fs::read_to_string(node.path("state/resets.log")).unwrap();
    let line: Value = serde_json::from_str(log.trim_end()).unwrap();
    assert_eq!(line["repository"], REMOVED);
    assert_eq!(line["versions"]["timestamp"], 5);
    assert!(line["time"].is_string() && line["uid"].is_u64(), "{line}");
    assert_eq!(trust(&node, &["list"]).out, "no trust data is kept yet\n");
    assert_eq!(trust(&node, &["reset", "--yes", REMOVED]).code, 1, "it is forgotten already");
    assert_eq!(code(&node, &[&image]), "signed");
    assert_eq!(trust(&node, &["show", "--json", REMOVED]).report()["state"], "good");
}

/// What becomes of a file's bytes.
type Damage = fn(&[u8]) -> Vec<u8>;

/// What can become of a file.
const DAMAGES: [(&str, Damage); 6] = [
    ("empty", |_| Vec::new()),
    ("cut short", |whole| whole[..whole.len() / 2].to_vec()),
    ("zeros", |whole| vec![0; whole.len()]),
    ("a flipped bit", |whole| {
        let mut flipped = whole.to_vec();
        flipped[whole.len() / 2] ^= 4;
        flipped
    }),
    ("garbage", |_| b"\xff{]garbage".to_vec()),
    ("too much", |whole| [whole, b"{}"].concat()),
];

#[test]
fn no_damage_of_one_file_is_more_than_a_download() {
    let server = StaticServer::new(&["removed-tag/2-removed", "jenkins"]);
    let scene = node(&server);
    let image = format!("{REMOVED}:2.0");
    assert_eq!(code(&scene, &[&image]), "signed");
    assert_eq!(code(&scene, &[&format!("{JENKINS}:1.0")]), "signed");
    let state = scene.path("state");
    let whole: Vec<_> =
        files(&state).into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    assert!(whole.len() > 14, "{whole:?}");
    for (path, bytes) in &whole {
        let name = path.strip_prefix(&state).unwrap().display().to_string();
        let foreign = whole.iter().find(|(other, _)| {
            other != path
                && other.file_name() == path.file_name()
                && other.to_string_lossy().contains("jenkins")
                    != path.to_string_lossy().contains("jenkins")
        });
        let mut damages: Vec<_> =
            DAMAGES.iter().map(|(what, damage)| (*what, Some(damage(bytes)))).collect();
        damages.push(("gone", None));
        damages.extend(foreign.map(|(_, other)| ("another repository's", Some(other.clone()))));
        for (what, damage) in damages {
            match damage {
                Some(damage) => fs::write(path, damage).unwrap(),
                None => fs::remove_file(path).unwrap(),
            }
            let case = format!("{name}: {what}");
            server.publish("removed-tag/1-before");
            let rolled_back = scene.check(&["--json", &image]).report();
            let refused = rolled_back["code"] == "trust-data-rollback"
                || rolled_back["notes"].to_string().contains("went back to version 4");
            assert!(refused, "{case}: {rolled_back}");
            server.publish("removed-tag/2-removed");
            assert_eq!(code(&scene, &[&image]), "signed", "{case}");
            assert_eq!(code(&scene, &[&format!("{JENKINS}:1.0")]), "signed", "{case}");
            assert_eq!(code(&scene, &["--offline", &image]), "signed", "{case}: not mended");
            for gun in [REMOVED, JENKINS] {
                assert_eq!(seen(&copies(&scene, gun)).len(), 2, "{case}: not mended");
                let shown = trust(&scene, &["show", "--json", gun]).report();
                assert_eq!(shown["state"], "good", "{case}: {shown}");
                assert_eq!(shown["damaged_copies"], json!([]), "{case}: {shown}");
            }
        }
    }
}

#[test]
fn where_both_copies_are_lost_its_images_are_refused_until_it_is_reset() {
    let server = StaticServer::new(&["jenkins"]);
    let node = node(&server);
    let image = format!("{JENKINS}:1.0");
    assert_eq!(code(&node, &[&image]), "signed");
    for (place, (_, damage)) in copies(&node, JENKINS).iter().zip(&DAMAGES) {
        fs::write(place, damage(&fs::read(place).unwrap())).unwrap();
    }
    let report = node.check(&["--json", &image]).report();
    assert_eq!(report["code"], "trust-data-unavailable", "{report}");
    let message = report["message"].as_str().unwrap();
    for place in copies(&node, JENKINS) {
        assert!(message.contains(place.to_str().unwrap()), "{message}");
    }
    assert!(message.contains(&format!("countersign trust reset {JENKINS}")), "{message}");
    let listed = trust(&node, &["list", "--json"]).report();
    assert_eq!(listed["state"], "damaged", "{listed}");
    assert_eq!(trust(&node, &["show", JENKINS]).code, 0);

    let reset = trust(&node, &["reset", "--yes", JENKINS]);
    assert_eq!(reset.code, 0, "{reset:?}");
    assert!(reset.out.contains("a record that is damaged"), "{}", reset.out);
    assert_eq!(code(&node, &[&image]), "signed");
}

#[test]
fn a_cache_from_another_node_is_no_memory() {
    let server = StaticServer::new(&["removed-tag/2-removed"]);
    let (ours, theirs) = (node(&server), node(&server));
    let image = format!("{REMOVED}:2.0");
    assert_eq!(code(&theirs, &[&image]), "signed");
    let copy = |from: &str, to: &Path| {
        fs::create_dir_all(to).unwrap();
        let mut cp = std::process::Command::new("cp");
        let from = theirs.path("state").join(from);
        assert!(cp.arg("-r").arg(from).arg(to).status().unwrap().success());
    };
    // The files alone, where nothing was known: they serve nobody, and are fetched again.
    copy("trust", &ours.path("state"));
    assert_eq!(code(&ours, &["--offline", &image]), "trust-data-unavailable");
    assert_eq!(code(&ours, &[&image]), "signed");
    // Over ours, from a node that has seen less: the other copy of ours counts.
    server.publish("removed-tag/1-before");
    let elder = node(&server);
    assert_eq!(code(&elder, &[&image]), "signed");
    let older = copies(&elder, REMOVED);
    let [our_apart, our_among] = copies(&ours, REMOVED);
    fs::copy(&older[1], &our_among).unwrap();
    let notes = ours.check(&["--json", &image]).report()["notes"].to_string();
    assert!(notes.contains("went back to version 4; version 5 was seen"), "{notes}");
    // Over both: what was seen here is gone, and nobody guesses it.
    for (from, to) in older.iter().zip([&our_apart, &our_among]) {
        fs::copy(from, to).unwrap();
    }
    let message = ours.check(&["--json", &image]).report()["message"].to_string();
    assert!(message.contains("written by another node"), "{message}");
    // A whole state directory is a node's memory, wherever it is.
    fs::remove_dir_all(ours.path("state")).unwrap();
    copy("", ours.path("state").parent().unwrap());
    let notes = ours.check(&["--json", &image]).report()["notes"].to_string();
    assert!(notes.contains("went back to version 4; version 5 was seen"), "{notes}");
}

/// What was left aside by processes that were killed.
fn aside(node: &Node) -> Vec<PathBuf> {
    let is_aside = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with(".tmp");
    files(&node.path("state")).into_iter().filter(is_aside).collect()
}

/// A repository of which each publication is one version further.
struct Moving {
    repo: Repo,
    version: u64,
}

impl Moving {
    fn new() -> Self {
        Self { repo: Repo::signed_by_jenkins(), version: 1 }
    }

    fn publish(&mut self, server: &StaticServer) {
        server.publish_built(GUN, &self.repo.publish());
        self.repo.republish();
        self.version += 1;
    }
}

#[test]
fn two_processes_never_undo_each_other() {
    let server = StaticServer::new(&[]);
    let mut moving = Moving::new();
    moving.publish(&server);
    let node = node(&server);
    let image = format!("{GUN}:1.0");
    let record = copies(&node, GUN);
    node.check(&[&image]);
    for _ in 0..12 {
        moving.publish(&server);
        let checks: Vec<_> = (0..4)
            .map(|_| node.command("check").arg(&image).stdout(Stdio::null()).spawn().unwrap())
            .collect();
        let mut highest = 0;
        // While they write, and after: what stands there only grows.
        let mut look = || {
            for copy in seen(&record) {
                let found = copy["timestamp"];
                assert!(found + 1 >= highest, "{found} after {highest}");
                highest = highest.max(found);
            }
        };
        for mut check in checks {
            while check.try_wait().unwrap().is_none() {
                look();
                thread::sleep(Duration::from_millis(1));
            }
        }
        for copy in seen(&record) {
            assert_eq!(copy["timestamp"], moving.version - 1, "both copies, whoever was last");
        }
    }
}

#[test]
fn a_kill_at_any_moment_loses_nothing() {
    const KILLS: u32 = 120;
    let server = StaticServer::new(&[]);
    let mut moving = Moving::new();
    moving.publish(&server);
    let node = node(&server);
    let image = format!("{GUN}:1.0");
    assert!(node.check(&["--json", &image]).report()["digest"].is_string());
    let record = copies(&node, GUN);
    let floor =
        |record: &[PathBuf]| seen(record).iter().map(|copy| copy["timestamp"]).max().unwrap();
    let (mut highest, mut moved, mut temporary) = (floor(&record), 0, 0);
    let mut chance = 0x2545_F491_4F6C_DD1D_u64;
    for kill in 0..KILLS {
        moving.publish(&server);
        let mut check = node.command("check").arg(&image).stdout(Stdio::null()).spawn().unwrap();
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        // Most of a check's life; what it writes comes at its end.
        let mut left = chance % 120;
        while left > 0 && check.try_wait().unwrap().is_none() {
            thread::sleep(Duration::from_millis(1));
            left -= 1;
            // Half of them in the middle of writing.
            if chance.is_multiple_of(2) && floor(&record) > highest {
                break;
            }
        }
        let _ = check.kill();
        check.wait().unwrap();
        temporary = temporary.max(aside(&node).len());
        let now = floor(&record);
        assert!(now >= highest, "kill {kill}: {now} after {highest}");
        moved += u32::from(now > highest);
        highest = now;
        // It begins again from what is there, and would not go back.
        if kill.is_multiple_of(10) {
            let report = node.check(&["--json", &image]).report();
            assert_eq!(report["code"], "signature-missing", "kill {kill}: {report}");
            highest = floor(&record);
            assert_eq!(highest, moving.version - 1);
        }
    }
    println!(
        "{KILLS} kills, {moved} after the record had moved, {temporary} files left aside at most"
    );
    node.check(&[&image]);
    let left = aside(&node);
    assert!(left.is_empty(), "swept with the next update: {left:?}");
    // What an old server says is refused.
    let before = floor(&record);
    server.publish_built(GUN, &Repo::signed_by_jenkins().publish());
    let told = node.check(&["--json", &image]).report().to_string();
    assert!(told.contains("went back to version 1"), "{told}");
    assert_eq!(floor(&record), before);
}

#[test]
fn what_an_earlier_version_kept_binds() {
    let server = StaticServer::new(&["removed-tag/2-removed"]);
    let node = node(&server);
    let image = format!("{REMOVED}:2.0");
    assert_eq!(code(&node, &[&image]), "signed");
    // As it was: three files, and no number of the node.
    let [apart, among] = copies(&node, REMOVED);
    let folder = among.parent().unwrap().to_owned();
    let versions = json!(seen(std::slice::from_ref(&among))[0]);
    fs::write(folder.join("versions.json"), versions.to_string()).unwrap();
    fs::write(folder.join("examined.json"), "{}").unwrap();
    for gone in [&apart, &among] {
        fs::remove_file(gone).unwrap();
    }
    fs::remove_file(node.path("state/node")).unwrap();
    fs::remove_dir_all(node.path("state/record")).unwrap();

    server.publish("removed-tag/1-before");
    let notes = node.check(&["--json", &image]).report()["notes"].to_string();
    assert!(notes.contains("went back to version 4; version 5 was seen"), "{notes}");
    server.publish("removed-tag/2-removed");
    assert_eq!(code(&node, &[&image]), "signed");
    assert_eq!(seen(&copies(&node, REMOVED)).len(), 2);
    assert!(!folder.join("versions.json").exists() && !folder.join("examined.json").exists());
}

#[test]
fn a_plugin_that_runs_takes_note_of_a_reset() {
    let server = StaticServer::new(&["removed-tag/2-removed"]);
    let node = node(&server);
    let plugin = node.serve();
    let pull = format!("/v1.41/images/create?fromImage={REMOVED}&tag=1.0");
    let question = json!({
        "RequestMethod": "POST", "RequestUri": pull, "RequestHeaders": { "Content-Length": "0" },
    });
    let ask =
        || node.connect().call("/AuthZPlugin.AuthZReq", question.to_string().as_bytes()).verdict();
    assert!(ask().unwrap_err().contains("does not exist"));
    server.publish("removed-tag/1-before");
    assert!(ask().is_err(), "the server went back");
    assert_eq!(trust(&node, &["reset", "--yes", REMOVED]).code, 0);
    // Two times: what is in memory neither decides nor comes back.
    for _ in 0..2 {
        assert_eq!(ask(), Ok(()), "{}", plugin.log());
        assert_eq!(seen(&copies(&node, REMOVED))[0]["timestamp"], 4);
    }
    server.set(Mood::Status(500));
    assert_eq!(ask(), Ok(()), "{}", plugin.log());
}
