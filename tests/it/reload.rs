//! SIGHUP: another policy is put in force, or the last good one stays.

use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::node::{Node, Plugin, until};

const STRICT: &str = "[trust_configuration]\nrequire_content_trust = true\n";
const AUDIT: &str = "[trust_configuration]\nrequire_content_trust = true\nmode = \"audit\"\n";
const CREATE: &str = "/v1.41/containers/create?name=a";
const IMAGE: &str = r#"{"Image":"h.io/app:1"}"#;
const IN_FORCE: &str = "the policy was read anew and is in force";
const STAYS: &str = "the policy on disk cannot be put in force; the last stays";

/// Puts a file in the policy's place and has it read; waits until so often something was said.
fn reload(node: &Node, plugin: &Plugin, text: &str, said: &str, times: usize) {
    node.configure(text);
    plugin.signal("HUP");
    until(said, || plugin.log().matches(said).count() >= times);
}

#[test]
fn another_policy_is_put_in_force() {
    let node = Node::new(STRICT);
    let plugin = node.serve();
    let mut engine = node.connect();
    let denial = engine.ask("POST", CREATE, IMAGE).denial();
    assert!(denial.starts_with("the engine could not be asked"), "{denial}");
    reload(&node, &plugin, AUDIT, IN_FORCE, 1);
    assert_eq!(engine.ask("POST", CREATE, IMAGE).verdict(), Ok(()), "on the same connection");
    assert_eq!(node.connect().ask("POST", "/v1.41/build", "").verdict(), Ok(()));
    assert_eq!(node.connect().ask("POST", "/v9.9/unheard-of", "{").verdict(), Ok(()));
    reload(&node, &plugin, STRICT, IN_FORCE, 2);
    engine.ask("POST", CREATE, IMAGE).denial();
    engine.ask("POST", "/v1.41/build", "").denial();

    // Each decision says by which policy; the same file is the same policy, a generation on.
    let log = plugin.log();
    let decided = |parts: &[&str]| {
        log.lines().any(|line| line.contains("decided") && parts.iter().all(|p| line.contains(p)))
    };
    let fingerprint = log.split("fingerprint=\"").nth(1).unwrap().split('"').next().unwrap();
    for policy in [format!("policy=1-{fingerprint}"), format!("policy=3-{fingerprint}")] {
        assert!(decided(&["verdict=\"deny\"", &policy]), "{policy}: {log}");
    }
    let audited = ["code=\"audit\"", "would=\"engine-unavailable\"", "policy=2-"];
    assert!(decided(&audited), "{log}");
    assert!(decided(&["code=\"audit\"", "would=\"not-permitted\"", "policy=2-"]), "{log}");
}

#[test]
fn the_last_good_policy_stays() {
    let node = Node::new(STRICT);
    let systemd = UnixDatagram::bind(node.path("notify")).unwrap();
    systemd.set_nonblocking(true).unwrap();
    let mut program = node.serve_command();
    let plugin = node.start(program.env("NOTIFY_SOCKET", node.path("notify")));
    let mut told: Vec<String> = Vec::new();
    let mut await_told = |what: &str| {
        until(what, || {
            let mut message = [0; 4096];
            while let Ok(length) = systemd.recv(&mut message) {
                told.push(String::from_utf8(message[..length].to_vec()).unwrap());
            }
            told.iter().any(|message| message.contains(what))
        });
        std::mem::take(&mut told)
    };
    await_told("READY=1");
    let mut engine = node.connect();
    for (number, (text, fault)) in [
        ("[trust_configuration]\nrequire_content_trust = 1\n", "countersign.toml:2:25: invalid"),
        ("", "countersign.toml:1:1: missing field"),
        (
            "[trust_configuration]\nrequire_content_trust = false\n[[registries]]\n\
             host_address = \"h.io\"\nca_file = \"gone.pem\"\n",
            "countersign.toml:5:11: cannot read gone.pem",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        reload(&node, &plugin, text, STAYS, number + 1);
        plugin.await_log(fault);
        engine.ask("POST", CREATE, IMAGE).denial();
        let told = await_told("READY=1");
        let reloading = told.iter().find(|message| message.contains("RELOADING=1")).unwrap();
        assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    }
    std::fs::remove_file(node.path("countersign.toml")).unwrap();
    plugin.signal("HUP");
    plugin.await_log("cannot read");
    await_told("READY=1");
    engine.ask("POST", CREATE, IMAGE).denial();

    reload(&node, &plugin, AUDIT, IN_FORCE, 1);
    assert_eq!(engine.ask("POST", CREATE, IMAGE).verdict(), Ok(()));
    await_told("READY=1");
}

/// Every call is answered by one policy or the other.
#[test]
fn no_call_is_lost_meanwhile() {
    let node = Node::new(STRICT);
    let plugin = node.serve();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let ask = || {
            let mut engine = node.connect();
            let (mut allowed, mut denied) = (0, 0);
            while !is_over.load(Ordering::Relaxed) {
                match engine.ask("POST", "/v1.41/build", "").verdict() {
                    Ok(()) => allowed += 1,
                    Err(text) if text.starts_with("/build is not allowed here") => denied += 1,
                    Err(text) => panic!("{text}"),
                }
            }
            (allowed, denied)
        };
        let asking: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
        for times in 1..=20 {
            let text = if times % 2 == 1 { AUDIT } else { STRICT };
            reload(&node, &plugin, text, IN_FORCE, times);
        }
        is_over.store(true, Ordering::Relaxed);
        for one in asking {
            let (allowed, denied) = one.join().unwrap();
            assert!(allowed > 0 && denied > 0, "{allowed} {denied}");
        }
    });
}
