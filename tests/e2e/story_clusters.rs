//! Two clusters, one registry: each cluster's policy names its own people, and images are
//! signed with `docker trust`.

use crate::node::Node;
use crate::outcome::{NOT_MET, no_trust_data};
use crate::policy::Policy;
use crate::stage::Stage;

crate::stories![
    a_tag_runs_where_a_user_of_that_cluster_signed_it,
    a_revoked_tag_runs_no_more,
    what_a_removed_signer_signed_runs_no_more,
    every_required_team_must_have_signed,
];

/// Any user of the cluster will do: no team is named.
fn cluster_of(stage: &Stage, user: &str) -> Policy {
    Policy::requiring(stage.lab(), &[]).user(stage.lab(), user).asking_always()
}

fn a_tag_runs_where_a_user_of_that_cluster_signed_it(stage: &Stage) {
    let web = stage.repository("web");
    let (admin, jenkins, alice) = (stage.user("admin"), stage.user("jenkins"), stage.user("alice"));
    jenkins.docker(format!("trust key load --name jenkins {}", jenkins.key())).expect_ok();
    alice.docker(format!("trust key load --name alice {}", alice.key())).expect_ok();
    for (name, certificate) in [("jenkins", jenkins.certificate()), ("alice", alice.certificate())]
    {
        admin.docker(format!("trust signer add --key {certificate} {name} {web}")).expect_ok();
    }
    stage.build(&format!("{web}:1"), "the same image");
    alice.docker(format!("trust sign {web}:1")).expect_ok();

    let first = Node::obeying(stage, &cluster_of(stage, "jenkins"));
    let second = Node::obeying(stage, &cluster_of(stage, "alice"));
    second.docker(format!("run --rm {web}:1")).expect_ok().and_says("the same image");
    first
        .docker(format!("run --rm {web}:1"))
        .expect_denied(NOT_MET)
        .and_says("any user that the policy knows")
        .and_says("in targets/alice");

    jenkins.docker(format!("trust sign {web}:1")).expect_ok();
    for node in [&first, &second] {
        node.docker(format!("run --rm {web}:1")).expect_ok().and_says("the same image");
    }
}

fn a_revoked_tag_runs_no_more(stage: &Stage) {
    let web = stage.repository("web");
    stage.admit(&web, &["jenkins"]);
    stage.push_signed(&format!("{web}:1"), "kept", "jenkins");
    stage.push_signed(&format!("{web}:2"), "revoked", "jenkins");

    let node = Node::obeying(stage, &cluster_of(stage, "jenkins"));
    for tag in [1, 2] {
        node.docker(format!("run --rm {web}:{tag}")).expect_ok();
    }
    node.docker(format!("create --name made-before {web}:2")).expect_ok();

    stage.user("jenkins").docker(format!("trust revoke {web}:2")).expect_ok();
    let sentence = no_trust_data(&format!("{web}:2"));
    node.docker(format!("run --rm {web}:2")).expect_denied(&sentence);
    node.docker(format!("pull {web}:2")).expect_denied(&sentence);
    node.docker("start made-before").expect_denied(&sentence);
    node.docker(format!("run --rm {web}:1")).expect_ok().and_says("kept");
}

fn what_a_removed_signer_signed_runs_no_more(stage: &Stage) {
    let web = stage.repository("web");
    stage.admit(&web, &["jenkins", "alice"]);
    stage.push_signed(&format!("{web}:1"), "signed by both", "jenkins");
    stage.user("alice").docker(format!("trust sign {web}:1")).expect_ok();

    let first = Node::obeying(stage, &cluster_of(stage, "jenkins"));
    let second = Node::obeying(stage, &cluster_of(stage, "alice"));
    for node in [&first, &second] {
        node.docker(format!("run --rm {web}:1")).expect_ok();
    }
    stage.user("admin").docker(format!("trust signer remove --force alice {web}")).expect_ok();
    first.docker(format!("run --rm {web}:1")).expect_ok();
    second.docker(format!("run --rm {web}:1")).expect_denied(NOT_MET).and_says("targets/jenkins");
}

fn every_required_team_must_have_signed(stage: &Stage) {
    let (lab, web) = (stage.lab(), stage.repository("web"));
    stage.admit(&web, &["jenkins", "alice", "dave"]);
    stage.push_signed(&format!("{web}:1"), "an image", "jenkins");
    let policy = Policy::requiring(lab, &["CI", "security"])
        .team("CI", &["jenkins"])
        .team("security", &["alice", "dave"])
        .user(lab, "jenkins")
        .user(lab, "alice")
        .user(lab, "dave");

    let node = Node::obeying(stage, &policy);
    node.docker(format!("run --rm {web}:1"))
        .expect_denied(NOT_MET)
        .and_says("team security (alice, dave)")
        .and_says("jenkins (team CI) in targets/jenkins");
    stage.user("dave").docker(format!("trust sign {web}:1")).expect_ok();
    node.docker(format!("run --rm {web}:1")).expect_ok().and_says("an image");
}
