//! Ordinary clients: whatever they do with signed images, they do not notice the plugin. Each
//! table of command lines is run on an engine with it and on one without, and what they say is
//! compared. With images that are not signed they get the known sentences, and show them.

mod twins;

use twins::{Release, Twins};

use crate::policy::Policy;
use crate::stage::Stage;

crate::stories![
    the_docker_cli,
    the_docker_cli_of_28,
];

/// A repository with two signed tags, `:1` and `:2`, and a policy under which they run.
fn signed(stage: &Stage) -> (String, Policy) {
    let (app, policy) = stage.signed_app();
    stage.push_signed(&format!("{app}:2"), "hello again", "jenkins");
    (app, policy)
}

/// The CLI of each release, on an engine of the same one.
fn docker_flow(stage: &Stage, release: &Release) {
    let (app, policy) = signed(stage);
    let digest = stage.digest(&format!("{app}:1"));
    Twins::new(stage, &policy, release)
        .knowing("REPO", app)
        .knowing("DIGEST", digest)
        .behave_the_same(include_str!("docker.flow"));
}

fn the_docker_cli(stage: &Stage) {
    docker_flow(stage, &Release::installed());
}

fn the_docker_cli_of_28(stage: &Stage) {
    docker_flow(stage, &Release::fetched(stage, "28.5"));
}
