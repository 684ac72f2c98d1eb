//! How fresh trust data is, with the real Notary server: what serves without it, what is seen
//! at once, and what is seen in time.

use std::thread;
use std::time::{Duration, Instant};

use crate::node::Node;
use crate::outcome::no_trust_data;
use crate::policy::Policy;
use crate::relay::Relay;
use crate::stage::Stage;

/// What is told of each decision by what has run out.
const GRACE: &str = "has run out and serves for now";

crate::stories![
    a_warm_node_waits_for_no_trust_server,
    a_new_signature_counts_at_once,
    a_revocation_counts_before_a_decision_needs_the_network,
    what_the_policy_lists_is_there_before_it_is_asked_for,
    a_changefeed_stands_for_many_questions,
    weeks_without_the_trust_server,
];

/// A repository with one signed tag, `:1`, a wire to the trust server, and a policy.
fn signed(stage: &Stage) -> (String, Relay, Policy) {
    let (app, policy) = stage.signed_app();
    let relay = Relay::to(stage.lab().trust_port());
    let policy = policy.trust_server(relay.url());
    (app, relay, policy)
}

fn a_warm_node_waits_for_no_trust_server(stage: &Stage) {
    let (app, relay, policy) = signed(stage);
    let mut node = Node::obeying(stage, &policy);
    let run = format!("run --rm {app}:1");
    node.docker(&run).expect_ok();
    for cut in [Relay::hold, Relay::refuse] {
        cut(&relay);
        node.docker(&run).expect_ok().and_says("hello");
    }
    // Also by a plugin that has only the files of the one before it.
    node.plugin.signal("TERM");
    node.plugin.await_end();
    node.plugin.start_again();
    node.docker(&run).expect_ok().and_says("hello");
    for told in ["has not answered yet", "was away a moment ago"] {
        assert_eq!(node.plugin.logged(&[told]).len(), 0, "{told}");
    }
}

/// The plugin believes in a later day; the engine and the trust data are of today. Notary's
/// timestamps serve for 14 days.
fn weeks_without_the_trust_server(stage: &Stage) {
    let (app, relay, policy) = signed(stage);
    let lenient = policy.clone().trusting("offline_grace = { timestamp = \"72h\" }");
    let mut node = Node::obeying(stage, &policy);
    let run = format!("run --rm {app}:1");
    node.docker(&run).expect_ok();
    relay.refuse();
    for (days, policy, runs) in
        [(13, &policy, true), (15, &policy, false), (15, &lenient, true), (18, &lenient, false)]
    {
        node.plugin.signal("TERM");
        node.plugin.await_end();
        std::fs::write(&node.plugin.files().policy, policy.to_string()).unwrap();
        let [preload, day] = [format!("LD_PRELOAD={}", faketime()), format!("FAKETIME=+{days}d")];
        let clock = ["env", &preload, &day, "FAKETIME_DONT_FAKE_MONOTONIC=1"];
        node.plugin.start_again_as(&clock);
        let graces = node.plugin.logged(&[GRACE]).len();
        let said = node.docker(&run);
        if runs {
            said.expect_ok().and_says("hello");
        } else {
            said.expect_code(125)
                .and_says("could not be checked: trust server")
                .and_says("connection refused; what this node has of it does not serve: timestamp")
                .and_says("expired at");
        }
        // A create and a start, each told.
        let wanted = if runs && days > 14 { 2 } else { 0 };
        assert_eq!(node.plugin.logged(&[GRACE]).len() - graces, wanted, "after {days} days");
    }
}

/// Debian's libfaketime, by which a program believes in another day.
fn faketime() -> String {
    let all = std::fs::read_dir("/usr/lib").unwrap().flatten();
    let mut paths = all.map(|folder| folder.path().join("faketime/libfaketime.so.1"));
    let found = paths.find(|path| path.exists());
    found.expect("Debian package libfaketime").display().to_string()
}

fn a_new_signature_counts_at_once(stage: &Stage) {
    let (app, _relay, policy) = signed(stage);
    let node = Node::obeying(stage, &policy);
    node.docker(format!("run --rm {app}:1")).expect_ok();
    let second = format!("{app}:2");
    for command in ["pull", "run --rm"] {
        node.docker(format!("{command} {second}")).expect_denied(&no_trust_data(&second));
    }
    stage.push_signed(&second, "the second", "jenkins");
    node.docker(format!("run --rm {second}")).expect_ok().and_says("the second");
}

fn a_revocation_counts_before_a_decision_needs_the_network(stage: &Stage) {
    let (app, relay, policy) = signed(stage);
    let image = format!("{app}:1");
    let node = Node::obeying(stage, &policy.trusting("max_staleness = \"2s\""));
    node.docker(format!("run --rm {image}")).expect_ok();
    let refreshed = ["trust data refreshed", &*app];
    let before = node.plugin.logged(&refreshed).len();
    stage.user("jenkins").docker(format!("trust revoke {image}")).expect_ok();
    node.plugin.await_log(&refreshed, before + 1);
    relay.refuse();
    node.docker(format!("run --rm {image}")).expect_denied(&no_trust_data(&image));
}

fn what_the_policy_lists_is_there_before_it_is_asked_for(stage: &Stage) {
    let (app, relay, policy) = signed(stage);
    let node = Node::obeying(stage, &policy.trusting(&format!("prefetch = [{app:?}]")));
    node.plugin.await_log(&["trust data refreshed", &app], 1);
    relay.refuse();
    node.docker(format!("run --rm {app}:1")).expect_ok().and_says("hello");
}

fn a_changefeed_stands_for_many_questions(stage: &Stage) {
    let (app, _relay, policy) = signed(stage);
    let log = stage.lab().dir().join("log/notary-server.log");
    let answered = |what: &str| {
        let log = std::fs::read_to_string(&log).unwrap();
        let wanted = |line: &&str| line.contains(what) && line.contains("response completed");
        log.lines().filter(wanted).count()
    };
    let (polls, questions) =
        ("/v2/_trust/changefeed?", format!("/v2/{app}/_trust/tuf/timestamp.json"));
    let listed = format!("max_staleness = \"1s\"\nprefetch = [{app:?}]");
    let node = Node::obeying(stage, &policy.trusting(&listed));
    node.plugin.await_log(&["trust data refreshed", &app], 1);
    let (polled, asked) = (answered(polls), answered(&questions));
    // Some of them may be another story's; what is long enough for ten is so all the same.
    let began = Instant::now();
    while answered(polls) < polled + 10 || began.elapsed() < Duration::from_secs(8) {
        assert!(began.elapsed() < Duration::from_secs(60), "nobody asks for the changefeed");
        thread::sleep(Duration::from_millis(100));
    }
    let asked = answered(&questions) - asked;
    assert!(asked <= 2, "asked {asked} times for a timestamp that does not change");
    // What the feed tells of is fetched.
    stage.push_signed(&format!("{app}:2"), "the second", "jenkins");
    node.plugin.await_log(&["trust data refreshed", &app], 2);
}
