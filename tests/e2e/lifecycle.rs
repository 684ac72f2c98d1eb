//! How the plugin comes, goes and comes back under an engine that works.

use std::os::unix::net::{UnixDatagram, UnixStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::node::{Background, Engine, Files, Node, Plugin, socket};
use crate::policy::Policy;
use crate::relay::Relay;
use crate::stage::Stage;

crate::stories![
    named_on_the_engines_command_line,
    a_call_in_flight_is_answered_before_it_ends,
    calls_made_while_it_ends_wait_for_the_next_one,
    a_restarted_plugin_is_used_at_once,
    a_call_waits_for_a_plugin_that_comes_back,
    without_its_plugin_an_engine_refuses_everything,
    a_killed_plugin_leaves_a_socket_that_the_next_one_takes,
    a_socket_handed_down_is_served_and_left,
    says_when_it_is_ready,
];

/// A signed image, and a policy under which it runs.
fn signed(stage: &Stage) -> (String, Policy) {
    let (app, policy) = stage.signed_app();
    (format!("{app}:1"), policy)
}

fn named_on_the_engines_command_line(stage: &Stage) {
    let (image, policy) = signed(stage);
    let engine = Engine::absent(stage);
    let plugin = Plugin::start(stage, &policy, &engine);
    engine.start(&["--plugin", plugin.name(), "--flag"]);
    engine.docker(format!("run --rm {image}")).expect_ok().and_says("hello");
    engine.docker("pull busybox").expect_denied("docker.io must be a registered trusted registry");
}

/// A pull that waits for the trust server while the plugin is told to end.
fn pull_while_it_ends(node: &Node<'_>, relay: &Relay, image: &str) -> Background {
    relay.hold();
    let pull = node.engine.in_background(&format!("pull {image}"));
    relay.wait_for_a_question();
    node.plugin.signal("TERM");
    pull
}

fn a_call_in_flight_is_answered_before_it_ends(stage: &Stage) {
    let (image, policy) = signed(stage);
    let relay = Relay::to(stage.lab().trust_port());
    let mut node = Node::obeying(stage, &policy.trust_server(relay.url()));

    let pull = pull_while_it_ends(&node, &relay, &image);
    thread::sleep(Duration::from_millis(300));
    relay.pass();
    let status = node.plugin.await_end();
    assert_eq!(status.code(), Some(0), "it ends in order: {status}");
    assert!(!node.plugin.socket().exists(), "it takes its socket away");

    // The engine asks once more, when the pull is done.
    node.plugin.start_again();
    pull.outcome(stage).expect_ok();
}

/// An engine whose call is cut off asks again, but then without the call's body; so nobody may
/// be let in who will not be answered.
fn calls_made_while_it_ends_wait_for_the_next_one(stage: &Stage) {
    let (image, policy) = signed(stage);
    let relay = Relay::to(stage.lab().trust_port());
    let mut node = Node::obeying(stage, &policy.trust_server(relay.url()));

    let pull = pull_while_it_ends(&node, &relay, &image);
    let networks: Vec<_> = (0..8)
        .map(|number| {
            let network = format!("{{\"Name\":\"late-{number}\"}}");
            node.engine.post_in_background("networks/create", &network)
        })
        .collect();
    thread::sleep(Duration::from_secs(1));
    relay.pass();
    node.plugin.await_end();
    node.plugin.start_again();
    for call in networks {
        call.outcome(stage).expect_ok();
    }
    pull.outcome(stage).expect_ok();
}

fn a_restarted_plugin_is_used_at_once(stage: &Stage) {
    let (image, policy) = signed(stage);
    let mut node = Node::obeying(stage, &policy);
    node.docker(format!("run --rm {image}")).expect_ok();
    for _ in 0..3 {
        node.plugin.signal("TERM");
        assert_eq!(node.plugin.await_end().code(), Some(0));
        node.plugin.start_again();
        node.docker(format!("run --rm {image}")).expect_ok().and_within(Duration::from_secs(5));
    }
}

fn a_call_waits_for_a_plugin_that_comes_back(stage: &Stage) {
    let (image, policy) = signed(stage);
    let mut node = Node::obeying(stage, &policy);
    node.plugin.signal("TERM");
    node.plugin.await_end();
    let run = node.engine.in_background(&format!("run --rm {image}"));
    thread::sleep(Duration::from_millis(500));
    node.plugin.start_again();
    run.outcome(stage).expect_ok().and_says("hello");
}

fn without_its_plugin_an_engine_refuses_everything(stage: &Stage) {
    let (image, policy) = signed(stage);
    let mut node = Node::obeying(stage, &policy);
    node.docker(format!("pull {image}")).expect_ok();
    node.plugin.signal("KILL");
    node.plugin.await_end();
    node.docker(format!("create {image}")).expect_failure().and_says("failed with error");
}

fn a_killed_plugin_leaves_a_socket_that_the_next_one_takes(stage: &Stage) {
    let (image, policy) = signed(stage);
    let mut node = Node::obeying(stage, &policy);
    node.plugin.signal("KILL");
    node.plugin.await_end();
    assert!(node.plugin.socket().exists(), "nobody was left to remove it");
    node.plugin.start_again();
    node.docker(format!("run --rm {image}")).expect_ok().and_says("hello");

    // A socket that somebody serves is not taken away from them.
    let mut second = node.plugin.files().serve(&["timeout", "20"]);
    second.arg("--socket").arg(node.plugin.socket());
    stage.run("countersign serve", &mut second).expect_code(2);
    node.docker(format!("run --rm {image}")).expect_ok().and_says("hello");
}

/// What `systemd` does for a socket unit, in perl, which every Debian has: descriptor 3 listens.
const HAND_DOWN: &str = r#"
use IO::Socket::UNIX;
use POSIX ();
$^F = 100;                                   # descriptors up to this one are inherited
my $socket = IO::Socket::UNIX->new(Local => shift @ARGV, Listen => 100) or die "listen: $!";
fileno($socket) == 3 or POSIX::dup2(fileno($socket), 3) or die "dup2: $!";
@ENV{qw(LISTEN_FDS LISTEN_PID)} = (1, $$);
exec @ARGV or die "exec: $!";
"#;

fn a_socket_handed_down_is_served_and_left(stage: &Stage) {
    let (image, policy) = signed(stage);
    let engine = Engine::absent(stage);
    let files = Files::new(stage, &policy.to_string(), &engine);
    let name = stage.fresh_name();
    let path = socket(&name);
    let path = path.to_str().expect("of our own making");
    let process = files.serve(&["perl", "-e", HAND_DOWN, path]).spawn().unwrap();
    let mut plugin = Plugin::adopt(stage, name, files, process);
    plugin.await_socket();

    engine.start(&["--plugin", plugin.name()]);
    engine.docker(format!("run --rm {image}")).expect_ok().and_says("hello");
    engine.docker("pull busybox").expect_denied("docker.io must be a registered trusted registry");
    plugin.signal("TERM");
    assert_eq!(plugin.await_end().code(), Some(0));
    assert!(plugin.socket().exists(), "the socket belongs to whoever handed it down");
}

fn says_when_it_is_ready(stage: &Stage) {
    let lab = stage.lab();
    let engine = Engine::absent(stage);
    let policy = Policy::requiring(lab, &[]).user(lab, "jenkins");
    let files = Files::new(stage, &policy.to_string(), &engine);
    let name = stage.fresh_name();
    let told = stage.dir().join("notify");
    let listener = UnixDatagram::bind(&told).unwrap();
    listener.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let hear = |wanted: &str| {
        let mut buffer = [0; 1024];
        let start = Instant::now();
        loop {
            let length = listener.recv(&mut buffer).unwrap();
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if text.lines().any(|line| line == wanted) {
                return;
            }
            assert!(start.elapsed() < Duration::from_secs(20), "{wanted} was never said");
        }
    };

    let mut serve = files.serve(&[]);
    serve.arg("--socket").arg(socket(&name)).env("NOTIFY_SOCKET", &told);
    let mut plugin = Plugin::adopt(stage, name, files, serve.spawn().unwrap());
    hear("READY=1");
    assert!(UnixStream::connect(plugin.socket()).is_ok(), "ready means ready");
    plugin.signal("TERM");
    hear("STOPPING=1");
    assert_eq!(plugin.await_end().code(), Some(0));
}
