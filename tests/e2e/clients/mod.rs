//! Ordinary clients: whatever they do with signed images, they do not notice the plugin. Each
//! table of command lines is run on an engine with it and on one without, and what they say is
//! compared. With images that are not signed they get the known sentences, and show them.

mod refusals;
mod twins;

use twins::Twins;

use crate::node::Make;
use crate::policy::Policy;
use crate::stage::Stage;

crate::stories![
    the_docker_cli,
    the_docker_cli_of_28,
    docker_compose,
    the_python_sdk,
    skopeo_and_curl,
    curl_with_28,
    stacks,
    stacks_of_28,
    what_the_operator_opened,
    what_the_operator_opened_of_28,
    refusals_are_shown_whole,
];

const OPENED: &str = "[api]\nbuild = true\ncommit = true\nload = true\nimport = true\n\
                      archive_upload = true";

/// A repository with two signed tags, `:1` and `:2`, and a policy under which they run.
fn signed(stage: &Stage) -> (String, Policy) {
    let (app, policy) = stage.signed_app();
    stage.push_signed(&format!("{app}:2"), "hello again", "jenkins");
    (app, policy)
}

/// Twins that know these images.
fn twins(stage: &Stage, make: Make) -> Twins<'_> {
    let (app, policy) = signed(stage);
    let digest = stage.digest(&format!("{app}:1"));
    Twins::new(stage, &policy, make).knowing("REPO", app).knowing("DIGEST", digest)
}

/// A newer engine, and its CLI.
const NEW: Make = Make::fetched("28.5");

fn the_docker_cli(stage: &Stage) {
    twins(stage, Make::INSTALLED).behave_the_same(include_str!("docker.flow"));
}

fn the_docker_cli_of_28(stage: &Stage) {
    twins(stage, NEW).behave_the_same(include_str!("docker.flow"));
}

fn docker_compose(stage: &Stage) {
    twins(stage, Make::INSTALLED)
        .file("docker-compose.yml", include_str!("compose.yml"))
        .behave_the_same(include_str!("compose.flow"));
}

fn the_python_sdk(stage: &Stage) {
    twins(stage, Make::INSTALLED)
        .file("program.py", include_str!("python.py"))
        .behave_the_same("/usr/bin/python3 program.py");
}

fn skopeo_and_curl(stage: &Stage) {
    let twins = twins(stage, Make::INSTALLED);
    twins.behave_the_same(include_str!("skopeo.flow"));
    twins.behave_the_same(include_str!("curl.flow"));
}

fn curl_with_28(stage: &Stage) {
    let twins = twins(stage, NEW.with_containerd_store());
    twins.behave_the_same(include_str!("curl.flow"));
}

fn stack(stage: &Stage, make: Make) {
    let (app, policy) = signed(stage);
    refusals::managers(stage, &policy, make)
        .knowing("REPO", app)
        .file("stack.yml", include_str!("stack.yml"))
        .behave_the_same(include_str!("stack.flow"));
}

fn stacks(stage: &Stage) {
    stack(stage, Make::INSTALLED);
}

fn stacks_of_28(stage: &Stage) {
    stack(stage, NEW);
}

fn opened(stage: &Stage, make: Make) -> Twins<'_> {
    let (app, policy) = signed(stage);
    let twins = Twins::new(stage, &policy.with(OPENED), make).knowing("REPO", app);
    twins.behave_the_same(include_str!("opened.flow"));
    for image in ["imported:1", "committed:1", "built:1"] {
        let run = twins.on_the_guarded(&format!("docker run --rm {image} true"));
        run.expect_failure().and_says("authorization denied by plugin");
    }
    twins
}

fn what_the_operator_opened(stage: &Stage) {
    let twins = opened(stage, Make::INSTALLED);
    twins.behave_the_same(include_str!("skopeo_in.flow"));
}

fn what_the_operator_opened_of_28(stage: &Stage) {
    opened(stage, NEW.with_containerd_store());
}

fn refusals_are_shown_whole(stage: &Stage) {
    refusals::are_shown_whole(stage, Make::INSTALLED);
}
