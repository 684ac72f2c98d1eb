//! How fresh trust data is, from the trust server over the disk to the verdict: what serves
//! without the network, and what is asked all the same.

use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use countersign::gate::{Decision, Gate, Settings, SharedGate, keep_fresh};
use countersign::image::Repository;
use countersign::policy::Policy;
use countersign::source;
use countersign::trust::notary::{Grace, History, Update};
use jiff::SignedDuration;
use serde_json::json;

use crate::builder::key::person;
use crate::builder::{A, GUN, Repo, Server};
use crate::node::Node;
use crate::repositories::{Recorded, first_use, recorded};
use crate::static_server::{Mood, StaticServer};

const FEED: &str = "/v2/_trust/changefeed?change_id=-1&records=32";
const LONGER_FEED: &str = "/v2/_trust/changefeed?change_id=-1&records=1024";

/// The trust data of a repository that releases these tags, with files of this version.
fn edition(version: u64, tags: &[&str]) -> Repo {
    let mut repo = Repo::signed_by_jenkins();
    repo.at("timestamp").signed["expires"] = json!("2036-01-01T00:00:00Z");
    for role in ["targets/releases", "targets/jenkins"] {
        repo.at(role).signed["targets"] = json!({});
        for tag in tags {
            repo.at(role).tag(tag, A);
        }
    }
    for role in ["targets", "targets/releases", "targets/jenkins", "snapshot", "timestamp"] {
        repo.at(role).version(version);
    }
    repo
}

/// A trust server that has `1.0`, and a node whose policy asks it.
struct World {
    server: StaticServer,
    node: Node,
}

impl World {
    /// With these lines in `[trust_configuration]`.
    fn new(lines: &str) -> Self {
        let server = StaticServer::new(&[]);
        server.publish_built(GUN, &edition(1, &["1.0"]).publish());
        let world = Self { node: Node::new(""), server };
        world.configure(lines);
        fs::write(world.node.path("ca.pem"), &world.server.ca).unwrap();
        world
    }

    fn configure(&self, lines: &str) {
        let key = BASE64.encode(&person("jenkins").bare().public);
        self.node.configure(&format!(
            "[trust_configuration]\nrequire_content_trust = true\n{lines}\n\
             [[registries]]\nhost_address = \"registry.example\"\nca_file = \"ca.pem\"\n\
             trust_server = \"https://{}\"\n\
             [users.jenkins]\ncertificates = [\"-----BEGIN PUBLIC KEY-----\\n{key}\\n\
             -----END PUBLIC KEY-----\\n\"]\n",
            self.server.host(),
        ));
    }

    fn publish(&self, edition: &Server) {
        self.server.publish_built(GUN, edition);
    }

    /// A start of the program.
    fn gate(&self) -> Arc<Gate> {
        let text = fs::read_to_string(self.node.path("countersign.toml")).unwrap();
        let read =
            |file: &std::path::Path| fs::read_to_string(self.node.path(file.to_str().unwrap()));
        let policy = Policy::from_toml(&text, &read).unwrap();
        let state_dir = self.node.path("state");
        Arc::new(Gate::new(Settings { policy, engine: None, state_dir, offline: false }).unwrap())
    }

    fn timestamp(&self) -> PathBuf {
        self.node.path(&format!("state/trust/{GUN}/_trust/timestamp.json"))
    }

    /// Dates the last confirmation.
    fn confirmed(&self, at: SystemTime) {
        File::open(self.timestamp()).unwrap().set_modified(at).unwrap();
    }

    /// How often the timestamp was asked for since this was last called, and nothing else.
    #[track_caller]
    fn asked(&self) -> usize {
        let requests = self.server.requests();
        let timestamp = format!("{GUN}/timestamp.json");
        assert!(requests.iter().all(|file| *file == timestamp), "{requests:?}");
        requests.len()
    }
}

async fn check(gate: &Gate, tag: &str) -> Decision {
    gate.check(format!("{GUN}:{tag}").parse().unwrap()).await
}

async fn code(gate: &Gate, tag: &str) -> &'static str {
    check(gate, tag).await.verdict.code()
}

/// Waits until something is so.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..3000 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{what}: not so in a minute");
}

#[tokio::test]
async fn what_was_confirmed_lately_serves_without_the_network() {
    let world = World::new("");
    let gate = world.gate();
    assert_eq!(code(&gate, "1.0").await, "signed");
    world.server.requests();
    world.server.set(Mood::Hang);
    for gate in [gate, world.gate()] {
        let decision = check(&gate, "1.0").await;
        assert_eq!((decision.verdict.code(), decision.notes.len()), ("signed", 0));
        assert_eq!(world.asked(), 0);
    }
    world.server.set(Mood::Serve);
    let (now, hour) = (SystemTime::from(source::now()), Duration::from_secs(3600));
    for (date, asked) in [(now - hour, 1), (now, 0), (now + hour, 1), (now, 0)] {
        world.confirmed(date);
        assert_eq!(code(&world.gate(), "1.0").await, "signed");
        assert_eq!(world.asked(), asked, "{date:?}");
    }
    // That it was asked is a new confirmation.
    world.confirmed(now - hour);
    assert_eq!(code(&world.gate(), "1.0").await, "signed");
    assert_eq!(code(&world.gate(), "1.0").await, "signed");
    assert_eq!(world.asked(), 1);
}

#[tokio::test]
async fn nothing_is_refused_by_old_data() {
    let world = World::new("");
    let gate = world.gate();
    assert_eq!(code(&gate, "1.0").await, "signed");
    world.server.requests();
    assert_eq!(code(&gate, "2.0").await, "not-signed");
    assert_eq!(world.asked(), 1);
    world.publish(&edition(2, &["1.0", "2.0"]).publish());
    assert_eq!(code(&gate, "2.0").await, "signed");
    world.server.requests();
    // What is signed needs nobody, also where it is gone by now: that is seen in time.
    world.publish(&edition(3, &["2.0"]).publish());
    assert_eq!(code(&gate, "1.0").await, "signed");
    assert_eq!(world.asked(), 0);
    // Somebody else's question tells of it at once.
    assert_eq!(code(&gate, "3.0").await, "not-signed");
    assert_eq!(code(&gate, "1.0").await, "not-signed");
}

#[tokio::test]
async fn a_revocation_is_seen_when_what_is_kept_is_too_old() {
    let world = World::new("max_staleness = \"1s\"");
    let gate = world.gate();
    assert_eq!(code(&gate, "1.0").await, "signed");
    world.publish(&edition(2, &[]).publish());
    until("the revocation", async || code(&gate, "1.0").await == "not-signed").await;
}

#[tokio::test]
async fn a_silent_server_is_waited_for_briefly_where_something_serves() {
    let world = World::new("");
    assert_eq!(code(&world.gate(), "1.0").await, "signed");
    world.confirmed(SystemTime::from(source::now()) - Duration::from_secs(3600));
    world.server.set(Mood::Hang);
    let gate = world.gate();
    let decision = check(&gate, "1.0").await;
    assert_eq!(decision.verdict.code(), "signed");
    assert!(decision.notes[0].contains("has not answered yet; decided by"), "{decision:?}");
    // The question goes on by itself, and its answer counts from then on.
    world.server.set(Mood::Serve);
    until("an answer", async || check(&gate, "1.0").await.notes.is_empty()).await;
}

#[tokio::test]
async fn who_needs_no_answer_does_not_wait_for_one() {
    let world = World::new("");
    let gate = world.gate();
    assert_eq!(code(&gate, "1.0").await, "signed");
    world.server.requests();
    world.server.set(Mood::Hang);
    let waiting = tokio::spawn({
        let gate = Arc::clone(&gate);
        async move { code(&gate, "2.0").await }
    });
    until("the question", async || !world.server.requests().is_empty()).await;
    let decision = check(&gate, "1.0").await;
    assert_eq!((decision.verdict.code(), decision.notes.len()), ("signed", 0));
    assert!(!waiting.is_finished());
    assert_eq!(waiting.await.unwrap(), "not-signed");
}

#[test]
fn check_asks_where_it_is_told_to() {
    let world = World::new("");
    let name = format!("{GUN}:1.0");
    for (more, asked) in [(&[][..], 6), (&[], 0), (&["--refresh"], 1), (&["--offline"], 0)] {
        let report = world.node.check(&[&["--json", &name], more].concat()).report();
        assert_eq!(report["code"], "signed", "{more:?}");
        assert_eq!(world.server.requests().len(), asked, "{more:?}");
    }
    let checked = world.node.check(&["--refresh", "--offline", &name]);
    assert_eq!(checked.code, 2, "{checked:?}");
}

#[tokio::test]
async fn what_the_policy_lists_is_there_before_anybody_asks() {
    let world = World::new(&format!("prefetch = [{GUN:?}]"));
    let keeping = tokio::spawn(keep_fresh(SharedGate::new(world.gate())));
    until("the trust data", async || world.timestamp().exists()).await;
    keeping.abort();
    world.server.close();
    let decision = check(&world.gate(), "1.0").await;
    assert_eq!((decision.verdict.code(), decision.notes.len()), ("signed", 0));
}

#[tokio::test]
async fn upkeep_sees_a_revocation_before_a_decision_does() {
    let world = World::new("max_staleness = \"2s\"");
    let gate = world.gate();
    assert_eq!(code(&gate, "1.0").await, "signed");
    let keeping = tokio::spawn(keep_fresh(SharedGate::new(Arc::clone(&gate))));
    let known = fs::read(world.timestamp()).unwrap();
    world.publish(&edition(2, &[]).publish());
    until("the new timestamp", async || fs::read(world.timestamp()).unwrap() != known).await;
    world.server.close();
    until("the revocation", async || code(&gate, "1.0").await == "not-signed").await;
    keeping.abort();
}

#[tokio::test]
async fn a_changefeed_stands_for_many_questions() {
    let record = |id: u32, gun: &str| {
        json!({"ID": id.to_string(), "CreatedAt": "2026-11-27T07:19:44Z", "GUN": gun,
            "Version": 1, "SHA256": "00", "Category": "update"})
    };
    let world = World::new("max_staleness = \"1s\"");
    let feed = |records: &[serde_json::Value]| {
        let text = json!({"count": records.len(), "records": records}).to_string();
        for path in [FEED, LONGER_FEED] {
            world.server.serve(path, text.clone().into_bytes());
        }
    };
    let first = record(1, GUN);
    feed(std::slice::from_ref(&first));
    let gate = world.gate();
    assert_eq!(code(&gate, "1.0").await, "signed");
    world.server.requests();
    let keeping = tokio::spawn(keep_fresh(SharedGate::new(Arc::clone(&gate))));
    let (mut polls, mut questions) = (0, 0);
    let mut count = |world: &World| {
        for request in world.server.requests() {
            *(if request == "changefeed" { &mut polls } else { &mut questions }) += 1;
        }
        (polls, questions)
    };
    until("polls", async || count(&world).0 >= 6).await;
    // One when it began, and one at most by which that was taken in.
    assert!(count(&world).1 <= 2, "{:?}", count(&world));
    let decision = check(&gate, "1.0").await;
    assert_eq!((decision.verdict.code(), decision.notes.len()), ("signed", 0));

    // A change is fetched; one of another repository causes nothing.
    let known = fs::read(world.timestamp()).unwrap();
    world.publish(&edition(2, &["1.0", "2.0"]).publish());
    feed(&[first, record(2, "registry.example/other"), record(3, GUN)]);
    until("the change", async || fs::read(world.timestamp()).unwrap() != known).await;
    // A server that began its feed anew is not believed to have had no changes.
    let before = count(&world).1;
    feed(&[record(1, "registry.example/new")]);
    until("questions", async || count(&world).1 >= before + 3).await;
    keeping.abort();
}

#[tokio::test]
async fn a_server_in_trouble_gets_one_question_at_a_time() {
    let names: Vec<_> = (0..40).map(|number| format!("registry.example/app{number}")).collect();
    let world = World::new(&format!("max_staleness = \"1s\"\nprefetch = {names:?}"));
    world.server.set(Mood::Status(503));
    let keeping = tokio::spawn(keep_fresh(SharedGate::new(world.gate())));
    let mut asked = 0;
    until("a question", async || {
        asked += world.server.requests().len();
        asked > 0
    })
    .await;
    // Four at the first, then one after 1, 2, 4 s, a quarter more or less.
    tokio::time::sleep(Duration::from_secs(4)).await;
    asked += world.server.requests().len();
    assert!(asked <= 8, "{asked}");
    keeping.abort();
}

/// A world whose timestamp has run out since a gate decided by it, and how long that serves.
async fn run_out(lines: &str) -> World {
    for seconds in [3, 10, 30, 90] {
        let world = World::new(lines);
        let end = source::now() + SignedDuration::from_secs(seconds);
        let mut repo = edition(2, &["1.0"]);
        repo.at("timestamp").signed["expires"] = json!(end.to_string());
        world.publish(&repo.publish());
        // A slow machine needs longer.
        if code(&world.gate(), "1.0").await == "signed" {
            tokio::time::sleep(Duration::from_secs(seconds.unsigned_abs() + 1)).await;
            return world;
        }
    }
    panic!("no time is long enough");
}

#[tokio::test]
async fn grace_is_for_servers_that_cannot_be_asked() {
    let world = run_out("offline_grace = { timestamp = \"72h\" }").await;
    // One that serves what has run out can be.
    assert_eq!(code(&world.gate(), "1.0").await, "trust-data-expired");
    for mood in [Mood::Status(503), Mood::Hang] {
        world.server.set(mood);
        let gate = world.gate();
        let decision = check(&gate, "1.0").await;
        assert_eq!(decision.verdict.code(), "signed", "{mood:?}: {decision:?}");
        assert!(decision.notes.iter().any(|note| note.contains("has run out")), "{decision:?}");
        assert_eq!(gate.graces(), 1, "{mood:?}");
        // Each use is one.
        assert_eq!(code(&gate, "1.0").await, "signed");
        assert_eq!(gate.graces(), 2, "{mood:?}");
    }
    // As soon as it can be asked, its answer counts.
    let gate = world.gate();
    assert_eq!(code(&gate, "1.0").await, "signed");
    world.server.set(Mood::Serve);
    world.publish(&edition(3, &["1.0"]).publish());
    until("the end of grace", async || check(&gate, "1.0").await.notes.is_empty()).await;
    let rule = format!("[[rules]]\nrepository = {GUN:?}\noffline_grace = {{}}\n");
    let world = run_out(&format!("offline_grace = {{ timestamp = \"72h\" }}\n{rule}")).await;
    world.server.close();
    let verdict = check(&world.gate(), "1.0").await.verdict;
    assert_eq!(verdict.code(), "trust-data-unavailable");
    // Both are told: who is away, and what there was.
    let said = verdict.refused().unwrap().to_string();
    let both = "connection refused; what this node has of it does not serve: timestamp expired at";
    assert!(said.contains(both), "{said}");
}

#[test]
fn what_runs_out_is_told_ahead() {
    let world = World::new(&format!("prefetch = [{GUN:?}]"));
    let now = source::now();
    let soon = now + SignedDuration::from_hours(20 * 24);
    let mut repo = edition(2, &["1.0"]);
    for role in ["targets/jenkins", "timestamp"] {
        repo.at(role).signed["expires"] = json!(soon.to_string());
    }
    world.publish(&repo.publish());
    let told = |what: &str| {
        let log = fs::read_to_string(world.node.path("log")).unwrap_or_default();
        log.lines().filter(|line| line.contains("WARN") && line.contains(what)).count()
    };
    let day = soon.strftime("%Y-%m-%d").to_string();
    let ending = format!("targets/jenkins of {GUN} expires on {day}");
    // When it is new here, and when it is there at a start.
    for _ in 0..2 {
        let _ = fs::remove_file(world.node.path("log"));
        let plugin = world.node.serve();
        crate::node::until("the warning", || told(&ending) > 0);
        assert_eq!(told("signatures in it count no more"), 1);
        assert_eq!(told("timestamp of"), 0, "servers see to that");
        drop(plugin);
    }
}

#[test]
fn grace_is_for_timestamps_and_snapshots_alone() {
    let years = SignedDuration::from_hours(50 * 366 * 24);
    let grace = Grace { timestamp: years, snapshot: years };
    for (name, served) in [
        ("expired/timestamp", true),
        ("expired/snapshot", true),
        ("expired/root", false),
        ("expired/targets", false),
    ] {
        let repository = Recorded::open(name);
        let gun: &Repository = &repository.gun;
        let outcome = |grace| {
            let now = recorded();
            let mut update =
                Update::new(gun, &first_use(), &History::default(), now)?.of_kept_files(grace);
            while let Some(wanted) = update.wanted() {
                match repository.file(&wanted.file) {
                    Some(bytes) => update.offer(&bytes, now)?,
                    None => update.absent()?,
                }
            }
            Ok(update.finish().unwrap().0)
        };
        let fault = outcome(Grace::NONE).unwrap_err();
        assert_eq!(countersign::trust::notary::Fault::code(&fault), "trust-data-expired", "{name}");
        match outcome(grace) {
            Ok(data) => {
                assert!(served, "{name}");
                data.check_within(recorded(), grace).unwrap();
                assert!(data.check_current(recorded()).is_err(), "{name}: it is not in date");
            }
            Err(fault) => assert!(!served, "{name}: {fault}"),
        }
    }
}
