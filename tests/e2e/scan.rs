//! `countersign scan` on an engine that nobody guards yet.

use crate::node::{Engine, Files, Node};
use crate::stage::Stage;

crate::stories![
    tells_before_the_switch_what_would_be_refused,
    what_it_tells_is_what_comes,
    an_engine_that_is_not_there_is_no_clean_one,
];

fn tells_before_the_switch_what_would_be_refused(stage: &Stage) {
    let (app, policy) = stage.signed_app();
    let engine = Engine::unguarded(stage);
    let files = Files::new(stage, &policy.to_string(), &engine);
    files.ask(stage, "scan", "").expect_ok().and_says("holds nothing that could be refused");

    engine.docker(format!("run --detach --name good {app}:1 sleep 1000")).expect_ok();
    files
        .ask(stage, "scan", "")
        .expect_ok()
        .and_says("Nothing would be refused: 0 of 1 images, 0 of 1 containers, 0 of 0 services.");
    files.ask(stage, "scan", "--all").expect_ok().and_says(format!("allowed {app}:1"));

    stage.push_unsigned(&format!("{app}:bad"), "unsigned");
    engine.docker(format!("pull {app}:bad")).expect_ok();
    engine.docker(format!("run --detach --name bad {app}:bad sleep 1000")).expect_ok();
    engine.docker(format!("create --name reaching --privileged {app}:1 sleep 1")).expect_ok();
    engine.docker(format!("tag {app}:bad other.example/app:9")).expect_ok();
    engine.docker("swarm init --advertise-addr 127.0.0.1 --listen-addr 127.0.0.1:2377").expect_ok();
    let service = "service create --detach --replicas 0 --name";
    engine.docker(format!("{service} loose --no-resolve-image {app}:1")).expect_ok();

    let found = files.ask(stage, "scan", "").expect_code(1);
    let found = found
        .and_says("Enforcement would refuse 2 of 3 images, 2 of 3 containers, 1 of 1 services.")
        .and_says(format!("denied  {app}:bad"))
        .and_says("denied  other.example/app:9")
        .and_says("denied  bad (running)")
        .and_says("denied  reaching")
        .and_says("may not reach the host")
        .and_says("denied  loose");
    assert!(!found.text().contains("good"), "what may run is not told unasked: {found}");

    let lines = files.ask(stage, "scan", "--json").expect_code(1);
    let entries: Vec<serde_json::Value> =
        lines.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<_> = entries
        .iter()
        .map(|entry| {
            let of = |name: &str| entry[name].as_str().unwrap().to_owned();
            (of("kind"), of("verdict"), of("code"), entry["runs"].as_bool())
        })
        .collect();
    let entry = |kind: &str, code: &str, runs| (kind.into(), "deny".into(), code.into(), runs);
    assert_eq!(
        told,
        [
            entry("image", "not-signed", None),
            entry("image", "not-signed", None),
            entry("container", "not-signed", Some(true)),
            entry("container", "host-access", Some(false)),
            entry("service", "service-needs-digest", None),
        ],
        "{lines}"
    );
}

fn what_it_tells_is_what_comes(stage: &Stage) {
    let (app, policy) = stage.signed_app();
    let engine = Engine::unguarded(stage);
    let files = Files::new(stage, &policy.to_string(), &engine);
    stage.push_unsigned(&format!("{app}:bad"), "unsigned");
    engine.docker(format!("create --name good {app}:1")).expect_ok();
    engine.docker(format!("create --name bad {app}:bad")).expect_ok();
    files.ask(stage, "scan", "").expect_code(1).and_says("denied  bad");

    let node = Node::guarding(stage, engine, &policy);
    node.docker("start --attach good").expect_ok().and_says("hello");
    node.docker("start bad").expect_failure().and_says("image or trust data does not exist for");
    // A guarded engine can be scanned as well, and says the same.
    node.plugin.files().ask(stage, "scan", "").expect_code(1).and_says("denied  bad");
}

fn an_engine_that_is_not_there_is_no_clean_one(stage: &Stage) {
    let (_, policy) = stage.signed_app();
    let engine = Engine::absent(stage);
    let files = Files::new(stage, &policy.to_string(), &engine);
    let outcome = files.ask(stage, "scan", "").expect_code(2);
    assert!(outcome.says("cannot be asked"), "{outcome}");
}
