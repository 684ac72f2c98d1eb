//! Rolling a policy out, and getting out again: audit, rules, exceptions, reload, broken glass.

use std::fs;
use std::time::{Duration, Instant};

use crate::node::{Engine, Node};
use crate::outcome::no_trust_data;
use crate::policy::Policy;
use crate::stage::Stage;

crate::stories![
    from_audit_to_enforcement,
    a_strict_name_takes_no_lax_image,
    a_rule_audits_its_own_alone,
    an_exception_lets_pass_until_it_ends,
    the_glass_is_broken_and_mended,
    a_policy_is_replaced_under_load,
    what_a_policy_names_is_read_anew,
];

/// A tag that nobody signed, in a repository of that name.
fn unsigned(stage: &Stage, name: &str) -> String {
    let image = format!("{}:1", stage.repository(name));
    stage.push_unsigned(&image, &format!("unsigned {name}"));
    image
}

/// Nothing breaks that an unguarded engine does, and all that would is told.
fn from_audit_to_enforcement(stage: &Stage) {
    let (app, policy) = stage.signed_app();
    let image = unsigned(stage, "plain");
    let engine = Engine::unguarded(stage);
    engine.docker(format!("run --name old {image}")).expect_ok();
    let node = Node::guarding(stage, engine, &policy.clone().mode("audit"));

    node.docker(format!("pull {image}")).expect_ok();
    node.docker(format!("run --rm {image}")).expect_ok().and_says("unsigned");
    node.docker(format!("create --privileged --pid host {app}:1")).expect_ok();
    node.docker(format!("run --rm -v /etc:/h:ro {app}:1")).expect_ok().and_says("hello");
    node.docker("start -a old").expect_ok().and_says("unsigned");
    node.docker(format!("tag {image} {app}:2")).expect_ok();
    node.docker(format!("rmi {app}:2")).expect_ok();
    node.docker("commit old mine:1").expect_ok();
    node.docker("run --rm mine:1").expect_ok().and_says("unsigned");
    node.docker("volume create --opt type=none --opt o=bind --opt device=/etc etc").expect_ok();
    for (would, uri) in [
        ("no-trust-data", "/images/create"),
        ("no-trust-data", "/containers/create"),
        ("host-access", "/containers/create"),
        ("no-trust-data", "/start"),
        ("not-permitted", "/commit"),
        ("host-access", "/volumes/create"),
    ] {
        let parts = ["WARN", "code=\"audit\"", &format!("would=\"{would}\""), uri];
        assert!(!node.plugin.logged(&parts).is_empty(), "{would} {uri}");
    }
    node.docker(format!("run --rm {app}:1")).expect_ok().and_says("hello");
    assert!(!node.plugin.logged(&["code=\"signed\"", "policy=1-"]).is_empty());

    node.plugin.reload(&policy);
    node.docker(format!("run --rm {image}")).expect_denied(&no_trust_data(&image));
    node.docker("start -a old").expect_failure().and_says(no_trust_data(&image));
    node.docker("commit old mine:2").expect_failure().and_says("is not allowed here");
    node.docker(format!("run --rm {app}:1")).expect_ok().and_says("hello");
}

/// The same digest, signed for one repository and asked for as another.
fn a_strict_name_takes_no_lax_image(stage: &Stage) {
    let (lax, strict) = (stage.repository("dev/app"), stage.repository("prod/app"));
    stage.admit(&lax, &["jenkins"]);
    stage.admit(&strict, &["jenkins", "moby"]);
    stage.push_signed(&format!("{lax}:1"), "hello", "jenkins");
    stage.push_signed(&format!("{strict}:1"), "strict", "jenkins");
    stage.push_signed(&format!("{strict}:2"), "both", "jenkins");
    stage.user("moby").docker(format!("trust sign {strict}:2")).expect_ok();
    let base = strict.trim_end_matches("/app");
    let rule = format!("[[rules]]\nrepository = \"{base}/**\"\nrequire_signature_from = [\"dev\"]");
    let lab = stage.lab();
    let policy = Policy::requiring(lab, &["CI"])
        .team("CI", &["jenkins"])
        .team("dev", &["moby"])
        .user(lab, "jenkins")
        .user(lab, "moby");
    let node = Node::obeying(stage, &policy.clone().with(&rule));
    let short = "image did not meet required signing policy";
    let wants_dev = "by a member of team dev (moby)";

    node.docker(format!("run --rm {lax}:1")).expect_ok().and_says("hello");
    node.docker(format!("pull {strict}:1")).expect_denied(short).and_says(wants_dev);
    node.docker(format!("tag {lax}:1 {strict}:1")).expect_failure().and_says(wants_dev);
    node.docker(format!("run --rm {strict}:2")).expect_ok().and_says("both");
    assert!(!node.plugin.logged(&["code=\"signed\"", &format!("rule=\"{base}/**\"")]).is_empty());
    // It got that name before the rule was there.
    node.plugin.reload(&policy);
    node.docker(format!("tag {lax}:1 {strict}:1")).expect_ok();
    node.docker(format!("create --name early {strict}:1")).expect_ok();
    node.plugin.reload(&policy.with(&rule));
    let as_strict = format!("since it is to run as {strict}:1");
    node.docker(format!("run --rm {strict}:1")).expect_denied(short).and_says(&as_strict);
    node.docker("start early").expect_failure().and_says(&as_strict);
    node.docker(format!("run --rm {lax}:1")).expect_ok().and_says("hello");
}

fn a_rule_audits_its_own_alone(stage: &Stage) {
    let (app, policy) = stage.signed_app();
    let (tried, other) = (unsigned(stage, "dev/tried"), unsigned(stage, "other"));
    let base = tried.trim_end_matches("/tried:1");
    let rule = format!("[[rules]]\nrepository = \"{base}/**\"\nmode = \"audit\"");
    let engine = Engine::unguarded(stage);
    engine.docker(format!("pull {other}")).expect_ok();
    let node = Node::guarding(stage, engine, &policy.with(&rule));

    node.docker(format!("run --rm {tried}")).expect_ok().and_says("unsigned");
    assert!(!node.plugin.logged(&["code=\"audit\"", &format!("rule=\"{base}/**\"")]).is_empty());
    node.docker(format!("run --rm {other}")).expect_denied(&no_trust_data(&other));
    // Its names are no way around.
    node.docker(format!("tag {other} {base}/x:1")).expect_failure();
    node.docker(format!("run --rm {app}:1")).expect_ok().and_says("hello");
    node.docker("volume create --opt type=none --opt o=bind --opt device=/etc etc")
        .expect_failure()
        .and_says("may not reach the host");
}

fn an_exception_lets_pass_until_it_ends(stage: &Stage) {
    let (app, policy) = stage.signed_app();
    let (legacy, other) = (unsigned(stage, "legacy"), unsigned(stage, "other"));
    let named = unsigned(stage, "old/app");
    let digest = stage.digest(&legacy);
    let entry = |of: &str, until: &str| {
        format!(
            "[[exceptions]]\n{of}\nowner = \"alice\"\nreason = \"migration\"\nuntil = \"{until}\""
        )
    };
    let by_digest = format!("digest = \"{digest}\"");
    let by_name = format!("repository = \"{}/*\"", named.trim_end_matches("/app:1"));
    let in_force = policy
        .clone()
        .with(&entry(&by_digest, "2999-12-31"))
        .with(&entry(&by_name, "2999-12-31T00:00:00Z"));
    let node = Node::obeying(stage, &in_force);

    node.docker(format!("run --rm {legacy}")).expect_ok().and_says("unsigned");
    node.docker(format!("tag {legacy} mine:1")).expect_ok();
    node.docker("run --rm mine:1").expect_ok().and_says("unsigned");
    node.docker(format!("run --rm {named}")).expect_ok().and_says("unsigned");
    node.docker(format!("run --rm {other}")).expect_denied(&no_trust_data(&other));
    node.docker(format!("run --rm --privileged {legacy}"))
        .expect_failure()
        .and_says("set allow_host_access = true in the [[exceptions]] entry of alice");
    let told = ["code=\"exception\"", "would=\"no-trust-data\"", "the exception of alice for"];
    assert!(!node.plugin.logged(&told).is_empty());
    node.docker(format!("create --name late {legacy}")).expect_ok();

    let ended = policy
        .with(&entry(&by_digest, "2020-01-31"))
        .with(&entry(&by_name, "2020-02-01T00:00:00Z"));
    node.plugin.reload(&ended);
    let of_digest = format!("the exception of alice for {digest} ended on 2020-01-31 (migration)");
    node.docker(format!("run --rm {legacy}"))
        .expect_denied(&no_trust_data(&legacy))
        .and_says(&of_digest);
    node.docker("start late").expect_failure().and_says(&of_digest);
    node.docker(format!("run --rm {named}"))
        .expect_denied(&no_trust_data(&named))
        .and_says("ended on 2020-02-01T00:00:00Z (migration)");
    node.docker(format!("run --rm {app}:1")).expect_ok().and_says("hello");
}

fn the_glass_is_broken_and_mended(stage: &Stage) {
    let (_, policy) = stage.signed_app();
    let image = unsigned(stage, "plain");
    let mut node = Node::obeying(stage, &policy);
    node.docker(format!("run --rm {image}")).expect_denied(&no_trust_data(&image));
    node.plugin.breakglass(&["--reason", "registry lost", "--for", "1h"]).expect_ok();
    node.plugin.await_log(&["BREAK-GLASS", "registry lost"], 1);
    node.docker(format!("create --privileged {image}")).expect_ok();
    node.docker(format!("run --rm -v /etc:/h:ro {image}")).expect_ok().and_says("unsigned");
    node.docker(format!("create --name late {image}")).expect_ok();
    assert!(!node.plugin.logged(&["WARN", "code=\"break-glass\"", "(registry lost)"]).is_empty());

    node.plugin.signal("TERM");
    node.plugin.await_end();
    node.plugin.start_again();
    node.docker(format!("run --rm {image}")).expect_ok().and_says("unsigned");
    node.plugin.breakglass(&["--status"]).expect_ok().and_says("registry lost");
    node.plugin.breakglass(&["--end"]).expect_ok();
    node.plugin.await_log(&["break-glass was ended"], 1);
    node.docker("start late").expect_failure().and_says(no_trust_data(&image));
    node.docker("rm late").expect_ok();
}

/// Calls are answered meanwhile, and a broken file changes nothing.
fn a_policy_is_replaced_under_load(stage: &Stage) {
    let (app, policy) = stage.signed_app();
    let node = Node::obeying(stage, &policy);
    node.docker(format!("pull {app}:1")).expect_ok();
    let loads: Vec<_> = (0..3)
        .map(|number| node.engine.in_background(&format!("run --name r{number} {app}:1")))
        .collect();
    for mode in ["audit", "enforce", "audit", "enforce"] {
        node.plugin.reload(&policy.clone().mode(mode));
    }
    for load in loads {
        load.outcome(stage).expect_ok().and_says("hello");
    }
    let image = unsigned(stage, "plain");
    fs::write(&node.plugin.files().policy, "[trust_configuration]\nmode = \"audit\"\n").unwrap();
    node.plugin.signal("HUP");
    node.plugin.await_log(&["ERROR", "the last stays", ":1:1: missing field"], 1);
    node.docker(format!("run --rm {image}")).expect_denied(&no_trust_data(&image));
    node.docker(format!("run --rm {app}:1")).expect_ok().and_says("hello");
}

/// The CA of the servers, and the certificate of a signer, in files of the same name.
fn what_a_policy_names_is_read_anew(stage: &Stage) {
    let (app, policy) = stage.signed_app();
    let lab = stage.lab();
    let (ca, certificate) = (stage.dir().join("ca.pem"), stage.dir().join("jenkins.pem"));
    let policy = policy.ca(ca.clone());
    fs::copy(lab.client_ca(), &ca).unwrap();
    let node = Node::obeying(stage, &policy);
    node.docker(format!("pull {app}:1")).expect_failure().and_says("could not be checked");
    fs::copy(lab.ca(), &ca).unwrap();
    node.plugin.reload(&policy);
    let began = Instant::now();
    node.docker(format!("run --rm {app}:1")).expect_ok().and_says("hello");
    assert!(began.elapsed() < Duration::from_secs(60));

    fs::copy(lab.certificate("moby"), &certificate).unwrap();
    let policy = Policy::requiring(lab, &["CI"])
        .team("CI", &["jenkins"])
        .user_known_by("jenkins", certificate.clone());
    node.plugin.reload(&policy);
    node.docker(format!("run --rm {app}:1"))
        .expect_denied("image did not meet required signing policy");
    fs::copy(lab.certificate("jenkins"), &certificate).unwrap();
    node.plugin.reload(&policy);
    node.docker(format!("run --rm {app}:1")).expect_ok().and_says("hello");
}
