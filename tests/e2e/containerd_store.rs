//! An engine that keeps its images in containerd: there an image's ID is the digest of its
//! manifest, and what `RepoDigests` says comes from names.

use crate::node::Node;
use crate::outcome::NOT_MET;
use crate::policy::Policy;
use crate::stage::Stage;

crate::stories![runs_what_is_signed_and_nothing_else];

fn runs_what_is_signed_and_nothing_else(stage: &Stage) {
    let app = stage.repository("app");
    stage.admit(&app, &["jenkins", "moby"]);
    stage.push_signed(&format!("{app}:ci"), "signed by CI", "jenkins");
    stage.push_signed(&format!("{app}:moby"), "by moby", "moby");

    let lab = stage.lab();
    let policy = Policy::requiring(lab, &["CI"])
        .team("CI", &["jenkins"])
        .user(lab, "jenkins")
        .user(lab, "moby");
    let node = Node::obeying(stage, &policy);
    node.docker("info").expect_ok().and_says("io.containerd.snapshotter.v1");

    let ci = format!("{app}:ci");
    node.docker(format!("run --rm {ci}")).expect_ok().and_says("signed by CI");
    node.docker(format!("pull {app}:moby")).expect_denied(NOT_MET).and_says("moby");
    let id = node.docker(format!("images --quiet --no-trunc {ci}")).expect_ok();
    let id = id.text().trim().to_owned();
    node.docker(format!("run --rm {id}")).expect_ok().and_says("signed by CI");
    node.docker(format!("tag {ci} other:name")).expect_ok();
    node.docker("run --rm other:name").expect_ok().and_says("signed by CI");
}
