//! `countersign explain`: how a verdict comes about.

use serde_json::Value;

use crate::node::{Engine, Files};
use crate::policy::Policy;
use crate::stage::Stage;

crate::stories![
    an_image_from_its_name_to_the_people,
    an_image_without_an_engine,
    a_container_and_a_service,
    rules_exceptions_and_ages,
];

/// Jenkins of CI signed; security has alice.
fn half_signed(stage: &Stage) -> (String, Policy) {
    let lab = stage.lab();
    let app = stage.repository("app");
    stage.admit(&app, &["jenkins", "alice", "moby"]);
    stage.push_signed(&format!("{app}:1"), "hello", "jenkins");
    let policy = Policy::requiring(lab, &["CI", "security"])
        .team("CI", &["jenkins"])
        .team("security", &["alice"])
        .user(lab, "jenkins")
        .user(lab, "alice");
    (app, policy)
}

fn an_image_from_its_name_to_the_people(stage: &Stage) {
    let (app, policy) = half_signed(stage);
    let engine = Engine::unguarded(stage);
    let files = Files::new(stage, &policy.to_string(), &engine);
    let image = format!("{app}:1");
    engine.docker(format!("pull {image}")).expect_ok();
    let digest = stage.digest(&image);

    files
        .ask(stage, "explain", &image)
        .expect_code(1)
        .and_says(format!("known by {digest}"))
        .and_says(format!("repository {app}"))
        .and_says("trust data, under the root key")
        .and_says(format!("tag 1 is this image, {digest}"))
        .and_says("signed in targets/jenkins")
        .and_says("of jenkins, in CI")
        .and_says("CI: jenkins")
        .and_says("security: none of alice")
        .and_says("denied (signature-missing): image did not meet required signing policy")
        .and_says("missing: a signature");

    let told: Value =
        serde_json::from_str(files.ask(stage, "explain", &format!("--json {image}")).stdout())
            .unwrap();
    assert_eq!(told["code"], "signature-missing");
    let repository = &told["repositories"][0];
    assert_eq!(repository["repository"], app.as_str());
    let roles: Vec<_> = repository["roles"].as_array().unwrap().iter().collect();
    assert!(roles.iter().all(|role| role["version"].as_u64() >= Some(1)), "{told}");
    assert!(roles.iter().any(|role| role["role"] == "targets/jenkins"), "{told}");
    let tag = &repository["tags"][0];
    assert_eq!((&tag["tag"], &tag["released"]), (&"1".into(), &digest.as_str().into()));
    assert_eq!(tag["is_the_image"], true);
    let counted = |signature: &&Value| signature["objection"].is_null();
    let signatures = tag["signatures"].as_array().unwrap();
    let counts: Vec<_> = signatures.iter().filter(counted).map(|one| &one["user"]).collect();
    assert_eq!(counts, ["jenkins"], "{told}");

    // Another one signs, and someone whom nobody knows.
    stage.user("moby").docker(format!("trust sign {image}")).expect_ok();
    stage.user("alice").docker(format!("trust sign {image}")).expect_ok();
    files
        .ask(stage, "explain", &image)
        .expect_ok()
        .and_says("which nobody in the policy holds")
        .and_says("does not count: everyone re-signs that role as a whole")
        .and_says("security: alice")
        .and_says(format!("allowed: signed as {image}"));

    // What stands under the name is another image.
    stage.build(&format!("{app}:2"), "other");
    stage.user("admin").docker(format!("push {app}:2")).expect_ok();
    engine.docker(format!("pull {app}:2")).expect_ok();
    engine.docker(format!("tag {app}:2 {image}")).expect_ok();
    files
        .ask(stage, "explain", &image)
        .expect_code(1)
        .and_says("tag 1 is another image")
        .and_says("denied (other-image)");
}

fn an_image_without_an_engine(stage: &Stage) {
    let (app, policy) = half_signed(stage);
    let engine = Engine::absent(stage);
    let files = Files::new(stage, &policy.to_string(), &engine);
    files
        .ask(stage, "explain", &format!("--no-engine {app}:1"))
        .expect_code(1)
        .and_says("tag 1 is released as sha256:")
        .and_says("security: none of alice");
    files
        .ask(stage, "explain", "--no-engine other.example/app:1")
        .expect_code(1)
        .and_says("its registry is not registered")
        .and_says("denied (unregistered-registry)");
    // With an engine that is not there, nothing is known of what it holds.
    files
        .ask(stage, "explain", &format!("{app}:1"))
        .expect_code(1)
        .and_says("denied (engine-unavailable)");
    files.ask(stage, "explain", "No:Name:1").expect_code(2).and_says("is no image");
    files.ask(stage, "explain", "").expect_code(2).and_says("--container");
}

fn a_container_and_a_service(stage: &Stage) {
    let (app, policy) = stage.signed_app();
    let engine = Engine::unguarded(stage);
    let files = Files::new(stage, &policy.to_string(), &engine);
    engine.docker(format!("create --name web {app}:1")).expect_ok();
    files
        .ask(stage, "explain", "--container web")
        .expect_ok()
        .and_says("container web")
        .and_says("tag 1 is this image")
        .and_says("allowed: signed as");
    files.ask(stage, "explain", "--container none").expect_code(1).and_says("nothing-there");

    engine.docker("swarm init --advertise-addr 127.0.0.1 --listen-addr 127.0.0.1:2377").expect_ok();
    let service = "service create --detach --replicas 0 --name";
    engine.docker(format!("{service} fixed {app}:1")).expect_ok();
    engine.docker(format!("{service} loose --no-resolve-image {app}:1")).expect_ok();
    files.ask(stage, "explain", "--service fixed").expect_ok().and_says("tag 1 is this image");
    files
        .ask(stage, "explain", "--service loose")
        .expect_code(1)
        .and_says("denied (service-needs-digest)");
    files.ask(stage, "explain", "--service none").expect_code(1).and_says("no such service");
}

/// A strict rule for one repository, and an exception for another.
fn rules_exceptions_and_ages(stage: &Stage) {
    let (app, policy) = half_signed(stage);
    let legacy = stage.repository("legacy");
    stage.push_unsigned(&format!("{legacy}:1"), "legacy");
    let policy = policy
        .with(&format!(
            "[[rules]]\nrepository = \"{app}\"\nrequire_signature_from = [\"CI\"]\nmode = \"audit\""
        ))
        .with(&format!(
            "[[exceptions]]\nrepository = \"{legacy}\"\nowner = \"alice\"\n\
             reason = \"moves in spring\"\nuntil = 2099-12-31"
        ));
    let engine = Engine::unguarded(stage);
    let files = Files::new(stage, &policy.to_string(), &engine);
    engine.docker(format!("pull {app}:1")).expect_ok();
    engine.docker(format!("pull {legacy}:1")).expect_ok();
    files
        .ask(stage, "explain", &format!("{app}:1"))
        .expect_ok()
        .and_says("confirmed by its trust server 0 minutes ago")
        .and_says(format!("demanded by the rule for {app}: a signature by a member of each of"))
        .and_says(format!("mode: audit, by the rule for {app}"))
        .and_says("allowed: signed as")
        .and_never_says("security");
    files
        .ask(stage, "explain", &format!("{legacy}:1"))
        .expect_ok()
        .and_says(format!("allowed: the exception of alice for {legacy} lets it pass"))
        .and_says("else denied (no-trust-data)")
        .and_says("demanded by the policy for all");

    // The same image under a name for which more is demanded.
    let strict = format!("{}/strict:1", app.rsplit_once('/').unwrap().0);
    engine.docker(format!("tag {app}:1 {strict}")).expect_ok();
    let told = files.ask(stage, "explain", &format!("--json {strict}")).expect_code(1);
    let told: Value = serde_json::from_str(told.stdout()).unwrap();
    assert_eq!(told["code"], "signature-missing", "{told}");
    let all = told["repositories"].as_array().unwrap();
    let own = all.iter().find(|one| one["repository"] == app.as_str()).unwrap();
    assert_eq!(own["demand"]["rule"], app.as_str());
    let security = own["teams"].as_array().unwrap().iter().find(|one| one["team"] == "security");
    assert_eq!(security.unwrap()["asked"], strict.as_str(), "{told}");
}
