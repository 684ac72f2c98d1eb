//! One cluster whose policy wants a signature by the team CI, and jenkins is CI: repositories
//! made with the notary CLI, images signed by pushing them with content trust.

use std::process::Command;

use crate::node::{Engine, Node};
use crate::outcome::{NOT_MET, no_trust_data};
use crate::policy::Policy;
use crate::stage::Stage;

crate::stories![
    what_ci_signed_runs,
    what_only_moby_signed_is_refused,
    what_an_unknown_key_signed_is_refused,
    what_nobody_signed_is_refused,
    a_signed_tag_that_was_overwritten_is_refused,
    a_tag_signed_anew_is_pulled_anew,
    every_tag_at_once_is_refused,
    an_unsigned_image_under_a_signed_name_is_refused,
    a_registry_that_is_not_registered_is_refused,
    an_image_released_by_moby_stays_refused_after_ci_signs_the_release_role_anew,
    an_earlier_release_list_in_the_place_of_cis_own_role_counts_for_nothing,
    a_signed_image_runs_under_any_local_name_and_by_its_id,
    a_digest_runs_where_a_signed_tag_names_it,
    content_trust_in_the_client_goes_along_with_it,
    containers_from_before_the_plugin_start_only_when_signed,
    services_run_signed_digests_only,
];

/// CI is jenkins; moby is known, and in no team.
fn policy(stage: &Stage) -> Policy {
    let lab = stage.lab();
    Policy::requiring(lab, &["CI"]).team("CI", &["jenkins"]).user(lab, "jenkins").user(lab, "moby")
}

/// The first document, step by step: the administrator makes the trust repository and lets
/// these people sign, each in a role named after them.
#[track_caller]
fn delegate(stage: &Stage, repository: &str, signers: &[&'static str]) {
    let admin = stage.user("admin");
    admin.notary(format!("init {repository}")).expect_ok();
    admin.notary(format!("key rotate {repository} snapshot -r")).expect_ok();
    admin.notary(format!("publish {repository}")).expect_ok();
    for name in signers {
        let signer = stage.user(name);
        let add = format!("delegation add -p {repository}");
        let key = format!("--all-paths {}", signer.certificate());
        admin.notary(format!("{add} targets/releases {key}")).expect_ok();
        admin.notary(format!("{add} targets/{name} {key}")).expect_ok();
        signer.notary(format!("key import {}", signer.key())).expect_ok();
    }
}

/// Makes an image and signs it by pushing it.
#[track_caller]
fn push_with_trust(stage: &Stage, image: &str, text: &str, signer: &'static str) {
    stage.build(image, text);
    stage.user(signer).docker_with_trust(format!("push {image}")).expect_ok();
}

fn what_ci_signed_runs(stage: &Stage) {
    let app = stage.repository("app");
    delegate(stage, &app, &["jenkins"]);
    push_with_trust(stage, &format!("{app}:1"), "signed by CI", "jenkins");

    let node = Node::obeying(stage, &policy(stage));
    node.docker(format!("pull {app}:1")).expect_ok();
    node.docker(format!("run --rm {app}:1")).expect_ok().and_says("signed by CI");

    // Not pulled before: the client is told that it is missing, pulls, and runs it.
    node.docker(format!("rmi {app}:1")).expect_ok();
    node.docker(format!("run --rm {app}:1")).expect_ok().and_says("signed by CI");
}

fn what_only_moby_signed_is_refused(stage: &Stage) {
    let app = stage.repository("app");
    delegate(stage, &app, &["jenkins", "moby"]);
    push_with_trust(stage, &format!("{app}:1"), "by moby", "moby");

    let node = Node::obeying(stage, &policy(stage));
    for command in ["pull", "run --rm", "create"] {
        node.docker(format!("{command} {app}:1"))
            .expect_denied(NOT_MET)
            .and_says("team CI (jenkins)")
            .and_says("moby in targets/moby")
            .and_says(format!("docker trust sign {app}:1"));
    }
}

fn what_an_unknown_key_signed_is_refused(stage: &Stage) {
    let app = stage.repository("app");
    delegate(stage, &app, &["mallory"]);
    push_with_trust(stage, &format!("{app}:1"), "by mallory", "mallory");
    let delegations = stage.user("admin").notary(format!("delegation list {app}")).expect_ok();
    let key_id = delegations
        .text()
        .split_whitespace()
        .find(|word| word.len() == 64)
        .expect("the list shows key ids");

    let node = Node::obeying(stage, &policy(stage));
    node.docker(format!("pull {app}:1"))
        .expect_denied(NOT_MET)
        .and_says(format!("key {key_id} in targets/mallory"));
}

fn what_nobody_signed_is_refused(stage: &Stage) {
    let (bare, app) = (stage.repository("bare"), stage.repository("app"));
    stage.push_unsigned(&format!("{bare}:1"), "no trust data at all");
    delegate(stage, &app, &["jenkins"]);
    push_with_trust(stage, &format!("{app}:1"), "signed by CI", "jenkins");
    stage.push_unsigned(&format!("{app}:2"), "a tag that nobody signed");

    let node = Node::obeying(stage, &policy(stage));
    for image in [format!("{bare}:1"), format!("{app}:2")] {
        for command in ["pull", "run --rm"] {
            node.docker(format!("{command} {image}")).expect_denied(&no_trust_data(&image));
        }
    }
}

fn a_signed_tag_that_was_overwritten_is_refused(stage: &Stage) {
    let app = stage.repository("app");
    delegate(stage, &app, &["jenkins"]);
    push_with_trust(stage, &format!("{app}:1"), "signed by CI", "jenkins");
    let signed = stage.digest(&format!("{app}:1"));
    stage.push_unsigned(&format!("{app}:1"), "put in its place");
    let found = stage.digest(&format!("{app}:1"));

    let node = Node::obeying(stage, &policy(stage));
    for command in ["pull", "run --rm"] {
        node.docker(format!("{command} {app}:1"))
            .expect_denied(NOT_MET)
            .and_says(&signed)
            .and_says(&found);
    }
    // The remedy it names works.
    node.docker(format!("run --rm {app}@{signed}")).expect_ok().and_says("signed by CI");
}

fn a_tag_signed_anew_is_pulled_anew(stage: &Stage) {
    let app = stage.repository("app");
    delegate(stage, &app, &["jenkins"]);
    push_with_trust(stage, &format!("{app}:1"), "the first", "jenkins");
    let node = Node::obeying(stage, &policy(stage).asking_always());
    node.docker(format!("run --rm {app}:1")).expect_ok().and_says("the first");
    node.docker(format!("create --name made-before {app}:1")).expect_ok();

    push_with_trust(stage, &format!("{app}:1"), "the second", "jenkins");
    let second = stage.digest(&format!("{app}:1"));
    node.docker(format!("run --rm {app}:1"))
        .expect_denied(NOT_MET)
        .and_says(&second)
        .and_says("on this engine")
        .and_says(format!("docker pull {app}:1"));
    node.docker("start made-before").expect_failure().and_says("authorization denied by plugin");
    node.docker(format!("pull {app}:1")).expect_ok();
    node.docker(format!("run --rm {app}:1")).expect_ok().and_says("the second");
}

fn every_tag_at_once_is_refused(stage: &Stage) {
    let app = stage.repository("app");
    delegate(stage, &app, &["jenkins"]);
    push_with_trust(stage, &format!("{app}:1"), "signed by CI", "jenkins");
    stage.push_unsigned(&format!("{app}:2"), "not signed");

    let node = Node::obeying(stage, &policy(stage));
    let pull = node.docker(format!("pull --all-tags {app}"));
    pull.expect_failure().and_says("authorization denied by plugin");
    assert_eq!(node.docker("images --quiet").expect_ok().text(), "");
}

fn an_unsigned_image_under_a_signed_name_is_refused(stage: &Stage) {
    let (app, evil) = (stage.repository("app"), stage.repository("evil"));
    delegate(stage, &app, &["jenkins"]);
    push_with_trust(stage, &format!("{app}:1"), "signed by CI", "jenkins");
    stage.push_unsigned(&format!("{evil}:1"), "not signed");

    // Tagged and loaded while nobody guarded the engine.
    let engine = Engine::unguarded(stage);
    engine.docker(format!("pull {evil}:1")).expect_ok();
    engine.docker(format!("tag {evil}:1 {app}:1")).expect_ok();
    stage.script(&["image", "--engine", engine.name(), &format!("{app}:2"), "never pushed"]);

    let node = Node::guarding(stage, engine, &policy(stage));
    node.docker(format!("run --rm {app}:1")).expect_denied(NOT_MET).and_says("on this engine");
    node.docker(format!("run --rm {app}:2")).expect_denied(&no_trust_data(&format!("{app}:2")));
    // A trusted name goes to no image that is not signed; any other name may.
    let refused = node.docker(format!("tag {evil}:1 {app}:3"));
    refused.expect_denied(&no_trust_data(&format!("{evil}:1")));
    node.docker(format!("image inspect {app}:3")).expect_failure();
    node.docker(format!("tag {evil}:1 mine:1")).expect_ok();
    node.docker("run --rm mine:1").expect_failure();
    // Pulling puts the name back where it belongs.
    node.docker(format!("pull {app}:1")).expect_ok();
    node.docker(format!("run --rm {app}:1")).expect_ok().and_says("signed by CI");
    node.docker(format!("tag {app}:1 {app}:3")).expect_ok();
    node.docker(format!("run --rm {app}:3")).expect_ok().and_says("signed by CI");
}

fn a_registry_that_is_not_registered_is_refused(stage: &Stage) {
    let node = Node::obeying(stage, &policy(stage));
    for (image, host) in [
        ("busybox", "docker.io"),
        ("quay.example/team/app:1", "quay.example"),
        ("localhost:1/app", "localhost:1"),
    ] {
        let sentence = format!("{host} must be a registered trusted registry");
        for command in ["pull", "run --rm"] {
            node.docker(format!("{command} {image}")).expect_denied(&sentence);
        }
    }
}

/// Everybody signs targets/releases as a whole, so a signature on it says nothing about who
/// stands for one of its images.
fn an_image_released_by_moby_stays_refused_after_ci_signs_the_release_role_anew(stage: &Stage) {
    let app = stage.repository("app");
    delegate(stage, &app, &["jenkins", "moby"]);
    push_with_trust(stage, &format!("{app}:moby"), "by moby", "moby");
    push_with_trust(stage, &format!("{app}:ci"), "by CI", "jenkins");
    let released = stage.user("admin").notary(format!("list {app} -r targets/releases"));
    released.expect_ok().and_says("moby").and_says("ci");

    let node = Node::obeying(stage, &policy(stage));
    node.docker(format!("run --rm {app}:ci")).expect_ok().and_says("by CI");
    node.docker(format!("run --rm {app}:moby")).expect_denied(NOT_MET).and_says("targets/moby");
}

/// Whoever may push can upload an earlier targets/releases, which CI signed with everybody's
/// tags in it, as CI's own role: the trust server checks signatures, and the file does not
/// say which role it was signed for.
fn an_earlier_release_list_in_the_place_of_cis_own_role_counts_for_nothing(stage: &Stage) {
    let app = stage.repository("app");
    delegate(stage, &app, &["jenkins", "moby"]);
    push_with_trust(stage, &format!("{app}:evil"), "by moby", "moby");
    push_with_trust(stage, &format!("{app}:ci"), "by CI", "jenkins");
    let lab = stage.lab();
    let files = format!("{}/v2/{app}/_trust/tuf/", lab.trust_server());
    let list = stage.dir().join("list.json");
    let curl = |arguments: &[&str]| {
        let mut program = Command::new("curl");
        program.args(["-sSf", "--cacert"]).arg(lab.ca()).args(arguments);
        stage.run(&format!("curl {}", arguments.join(" ")), &mut program).expect_ok();
    };
    let list = list.to_str().unwrap();
    curl(&["-o", list, &format!("{files}targets/releases.json")]);
    curl(&["-F", &format!("files=@{list};filename=targets/jenkins"), &files]);
    // The list goes on, so that the two are no longer the same file.
    push_with_trust(stage, &format!("{app}:other"), "by moby too", "moby");
    let forged = stage.user("admin").notary(format!("list {app} -r targets/jenkins"));
    forged.expect_ok().and_says("evil");

    let node = Node::obeying(stage, &policy(stage));
    node.docker(format!("run --rm {app}:evil"))
        .expect_denied(NOT_MET)
        .and_says("in targets/jenkins (key ")
        .and_says("which does not count: its file was signed as targets/releases");
}

fn a_signed_image_runs_under_any_local_name_and_by_its_id(stage: &Stage) {
    let app = stage.repository("app");
    delegate(stage, &app, &["jenkins", "moby"]);
    push_with_trust(stage, &format!("{app}:1"), "signed by CI", "jenkins");
    push_with_trust(stage, &format!("{app}:2"), "by moby", "moby");
    let engine = Engine::unguarded(stage);
    for tag in [1, 2] {
        engine.docker(format!("pull {app}:{tag}")).expect_ok();
        engine.docker(format!("tag {app}:{tag} mine:{tag}")).expect_ok();
    }

    let node = Node::guarding(stage, engine, &policy(stage));
    let id = |image: &str| {
        let inspect = format!("image inspect --format {{{{.Id}}}} {image}");
        node.docker(inspect).expect_ok().text().trim_start_matches("sha256:").to_owned()
    };
    let (signed, other) = (id("mine:1"), id("mine:2"));
    for name in ["mine:1", &signed, &signed[..12]] {
        node.docker(format!("run --rm {name}")).expect_ok().and_says("signed by CI");
    }
    for name in ["mine:2", &other, &other[..12]] {
        node.docker(format!("run --rm {name}")).expect_denied(NOT_MET).and_says("targets/moby");
    }
}

fn a_digest_runs_where_a_signed_tag_names_it(stage: &Stage) {
    let app = stage.repository("app");
    delegate(stage, &app, &["jenkins"]);
    push_with_trust(stage, &format!("{app}:1"), "signed by CI", "jenkins");
    stage.push_unsigned(&format!("{app}:2"), "not signed");
    let (signed, other) = (stage.digest(&format!("{app}:1")), stage.digest(&format!("{app}:2")));

    let node = Node::obeying(stage, &policy(stage));
    node.docker(format!("pull {app}@{signed}")).expect_ok();
    node.docker(format!("run --rm {app}@{signed}")).expect_ok().and_says("signed by CI");
    node.docker(format!("run --rm {app}:1@{signed}")).expect_ok();
    let unsigned = format!("{app}@{other}");
    for command in ["pull", "run --rm"] {
        node.docker(format!("{command} {unsigned}")).expect_denied(&no_trust_data(&unsigned));
    }
}

fn content_trust_in_the_client_goes_along_with_it(stage: &Stage) {
    let app = stage.repository("app");
    delegate(stage, &app, &["jenkins"]);
    push_with_trust(stage, &format!("{app}:1"), "signed by CI", "jenkins");

    let node = Node::obeying(stage, &policy(stage));
    let alice = stage.user("alice");
    for command in ["pull", "run --rm"] {
        alice.docker_with_trust_on(node.engine.name(), format!("{command} {app}:1")).expect_ok();
    }
}

fn containers_from_before_the_plugin_start_only_when_signed(stage: &Stage) {
    let (app, bare) = (stage.repository("app"), stage.repository("bare"));
    delegate(stage, &app, &["jenkins"]);
    push_with_trust(stage, &format!("{app}:1"), "signed by CI", "jenkins");
    stage.push_unsigned(&format!("{bare}:1"), "not signed");
    let engine = Engine::unguarded(stage);
    engine.docker(format!("create --name signed {app}:1 sleep 1000")).expect_ok();
    engine.docker(format!("create --name unsigned {bare}:1 sleep 1000")).expect_ok();

    let node = Node::guarding(stage, engine, &policy(stage));
    for command in ["start", "restart"] {
        node.docker(format!("{command} signed")).expect_ok();
        node.docker(format!("{command} unsigned"))
            .expect_denied(&no_trust_data(&format!("{bare}:1")));
    }
}

fn services_run_signed_digests_only(stage: &Stage) {
    let app = stage.repository("app");
    delegate(stage, &app, &["jenkins", "moby"]);
    push_with_trust(stage, &format!("{app}:1"), "signed by CI", "jenkins");
    push_with_trust(stage, &format!("{app}:2"), "signed by CI, too", "jenkins");
    push_with_trust(stage, &format!("{app}:moby"), "by moby", "moby");
    let engine = Engine::unguarded(stage);
    engine.docker("swarm init --advertise-addr 127.0.0.1 --listen-addr 127.0.0.1:2377").expect_ok();

    let node = Node::guarding(stage, engine, &policy(stage));
    node.engine.await_answer("node ls", |nodes| nodes.text().contains("Leader"));
    let create = "service create --detach";
    node.docker(format!("{create} --name sleeper {app}:1 sleep 1000")).expect_ok();
    node.engine.await_answer("service ls", |services| services.text().contains("1/1"));
    node.docker(format!("{create} {app}:moby sleep 1000"))
        .expect_denied(NOT_MET)
        .and_says("targets/moby");
    // Nodes resolve a bare tag themselves, each on its own, and nobody asks the plugin then.
    let by_tag = node.docker(format!("{create} --no-resolve-image {app}:1 sleep 1000"));
    by_tag.expect_failure().and_says("authorization denied by plugin").and_says("digest");

    node.docker(format!("service update --detach --image {app}:moby sleeper"))
        .expect_denied(NOT_MET);
    node.docker(format!("service update --detach --image {app}:2 sleeper")).expect_ok();
    node.docker("service scale --detach sleeper=2").expect_ok();
    node.docker("service rollback --detach sleeper").expect_ok();
    node.docker("service rm sleeper").expect_ok();
}
