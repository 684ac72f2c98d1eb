//! Images of several platforms, of which the index is signed: an engine holds one platform's
//! image of it, and need not know by which index it came.

use crate::node::{Engine, Make, Node};
use crate::outcome::{NOT_MET, no_trust_data};
use crate::policy::Policy;
use crate::stage::{Index, Stage};

crate::stories![
    every_platform_of_a_signed_index_runs,
    a_platform_that_was_pulled_second_runs,
    every_platform_of_a_signed_index_runs_from_the_containerd_store,
];

/// Two platforms of `app:1`, whose index jenkins signed, of `app:2`, whose index moby signed,
/// and an image in no index.
struct Scene {
    app: String,
    policy: Policy,
    index: Index,
    amd64: String,
    arm64: String,
    by_moby: String,
    loose: String,
}

fn scene(stage: &Stage) -> Scene {
    let app = stage.repository("app");
    stage.admit(&app, &["jenkins", "moby"]);
    let push = |tag: &str, architecture: &str| {
        let text = format!("{tag} on {architecture}");
        stage.push_for(&format!("{app}:{tag}-{architecture}"), architecture, &text)
    };
    let (amd64, arm64) = (push("1", "amd64"), push("1", "arm64"));
    let (other, by_moby) = (push("2", "amd64"), push("2", "arm64"));
    let loose = push("3", "arm64");
    let index = stage.push_index(&format!("{app}:1"), &[("amd64", &amd64), ("arm64", &arm64)]);
    index.sign(stage, "jenkins");
    let second = stage.push_index(&format!("{app}:2"), &[("amd64", &other), ("arm64", &by_moby)]);
    second.sign(stage, "moby");
    let lab = stage.lab();
    let policy = Policy::requiring(lab, &["CI"])
        .team("CI", &["jenkins"])
        .user(lab, "jenkins")
        .user(lab, "moby");
    Scene { app, policy, index, amd64, arm64, by_moby, loose }
}

/// By the index's tag and digest, and by each manifest's own; and nothing that is in none.
fn pull_and_run(node: &Node<'_>, scene: &Scene) {
    let Scene { app, index, amd64, arm64, by_moby, loose, .. } = scene;
    node.docker(format!("run --rm {app}:1")).expect_ok().and_says("1 on amd64");
    let by_index = format!("{app}@{}", index.digest());
    node.docker(format!("run --rm {by_index}")).expect_ok().and_says("1 on amd64");
    for (digest, text) in [(amd64, "1 on amd64"), (arm64, "1 on arm64")] {
        node.docker(format!("pull {app}@{digest}")).expect_ok();
        node.docker(format!("run --rm {app}@{digest}")).expect_ok().and_says(text);
        node.docker(format!("run --rm {app}:1@{digest}")).expect_ok().and_says(text);
    }
    // What was looked into is remembered.
    node.plugin.check(format!("--offline {app}@{arm64}")).expect_code(0);

    for command in ["pull", "run --rm"] {
        node.docker(format!("{command} {app}@{by_moby}"))
            .expect_denied(NOT_MET)
            .and_says(format!("a signature on {app}:2 by a member of team CI (jenkins)"))
            .and_says("moby in targets/moby");
        let image = format!("{app}@{loose}");
        node.docker(format!("{command} {image}"))
            .expect_denied(&no_trust_data(&image))
            .and_says(format!("`docker trust sign {app}:TAG`"));
    }
    node.docker(format!("run --rm {app}:1@{loose}"))
        .expect_denied(NOT_MET)
        .and_says(format!("{app}:1 has the manifest digest {}", index.digest()))
        .and_says(format!("what is asked for has the manifest digest {loose}"));
}

fn every_platform_of_a_signed_index_runs(stage: &Stage) {
    let scene = scene(stage);
    let node = Node::obeying(stage, &scene.policy);
    pull_and_run(&node, &scene);
    node.docker(format!("tag {}@{} mine:1", scene.app, scene.arm64)).expect_ok();
    node.docker("run --rm mine:1").expect_ok().and_says("1 on arm64");
}

/// Then the index's digest stays with the image that was pulled first: the second has its
/// tag, its ID, and no digest at all.
fn a_platform_that_was_pulled_second_runs(stage: &Stage) {
    let scene = scene(stage);
    let node = Node::obeying(stage, &scene.policy);
    let app = &scene.app;
    node.docker(format!("pull {app}:1")).expect_ok();
    node.docker(format!("pull --platform linux/arm64 {app}:1")).expect_ok();
    let digests = format!("image inspect --format {{{{.RepoDigests|json}}}} {app}:1");
    assert_eq!(node.docker(digests).expect_ok().text(), "[]");
    node.docker(format!("run --rm --platform linux/arm64 {app}:1"))
        .expect_ok()
        .and_says("1 on arm64");
    node.docker(format!("create --name kept {app}:1")).expect_ok();
    node.docker("start --attach kept").expect_ok().and_says("1 on arm64");
    // The first lost its tag, and is known by the index's digest.
    let by_index = format!("{app}@{}", scene.index.digest());
    node.docker(format!("run --rm {by_index}")).expect_ok().and_says("1 on amd64");
}

fn every_platform_of_a_signed_index_runs_from_the_containerd_store(stage: &Stage) {
    let scene = scene(stage);
    let make = Make::fetched("26.1").with_containerd_store();
    let node = Node::beginning(stage, Engine::made(stage, make), &scene.policy);
    pull_and_run(&node, &scene);
}
