//! The way to the trust server: proxies on it, and ends in the middle of it.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::faults::signed;
use crate::node::{Engine, Files, Node, check};
use crate::policy::Policy;
use crate::stage::Stage;

crate::stories![
    a_proxy_leads_to_the_trust_server,
    a_trust_server_cut_off_anywhere_is_named_and_leaves_nothing,
];

/// Debian's tinyproxy (`tinyproxy-bin`), which lets through whoever knows a password.
struct Proxy {
    process: Child,
    port: u16,
}

impl Proxy {
    #[track_caller]
    fn start(stage: &Stage, dir: &Path) -> Self {
        let (config, log) = (dir.join("tinyproxy.conf"), stage.log_file("tinyproxy.log"));
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let text = format!(
            "Port {port}\nListen 127.0.0.1\nAllow 127.0.0.1\nTimeout 60\nMaxClients 20\n\
             BasicAuth ann s3cret\nConnectPort {}\nLogFile \"{}\"\nLogLevel Connect\n",
            stage.lab().trust_port(),
            log.display(),
        );
        std::fs::write(&config, text).unwrap();
        let process = Command::new("tinyproxy")
            .arg("-d")
            .arg("-c")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("tinyproxy runs (Debian package tinyproxy-bin)");
        let proxy = Self { process, port };
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(start.elapsed() < Duration::from_secs(20), "tinyproxy does not listen");
            thread::sleep(Duration::from_millis(20));
        }
        proxy
    }

    fn end(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.end();
    }
}

fn a_proxy_leads_to_the_trust_server(stage: &Stage) {
    let app = stage.repository("app");
    stage.admit(&app, &["jenkins"]);
    stage.push_signed(&format!("{app}:1"), "hello", "jenkins");
    let (lab, image) = (stage.lab(), format!("{app}:1"));
    let mut proxy = Proxy::start(stage, stage.dir());
    let at = format!("127.0.0.1:{}", proxy.port);
    let through = |login: &str| {
        Policy::requiring(lab, &["CI"])
            .team("CI", &["jenkins"])
            .user(lab, "jenkins")
            .proxy(format!("http://{login}{at}"))
    };
    let mut node = Node::obeying(stage, &through(""));
    let refused = |node: &Node<'_>, cause: &str| {
        node.docker(format!("run --rm {image}"))
            .expect_failure()
            .and_says("authorization denied by plugin")
            .and_says(format!("cannot be reached through the proxy {at}, which {cause}"))
            .and_never_says("signing policy")
            .and_never_says("s3cret");
    };
    refused(&node, "asks for credentials, and none are configured (407)");

    let restart = |node: &mut Node<'_>, policy: &Policy| {
        node.plugin.signal("TERM");
        node.plugin.await_end();
        node.plugin.start_obeying(policy);
    };
    restart(&mut node, &through("ann:wrong@"));
    refused(&node, "refused the credentials (40");
    restart(&mut node, &through("ann:s3cret@"));
    node.docker(format!("run --rm {image}")).expect_ok().and_says("hello");
    let log = std::fs::read_to_string(stage.dir().join("tinyproxy.log")).unwrap();
    let asked = format!("CONNECT localhost:{}", lab.trust_port());
    assert!(log.contains(&asked), "no {asked:?} in {log}");

    // Without it, what was verified serves; and what was not is refused, and not as unsigned.
    proxy.end();
    node.docker(format!("run --rm {image}")).expect_ok().and_says("hello");
    let checked = node.plugin.check(format!("--refresh {image}")).expect_ok();
    checked.and_says("which refused the connection; decided by what was verified before");
    std::fs::remove_dir_all(&node.plugin.files().state).unwrap();
    node.plugin
        .check(&image)
        .expect_code(1)
        .and_says(format!("through the proxy {at}, which refused the connection"))
        .and_says("see that the proxy works");
    assert!(!node.plugin.files().said().contains("s3cret"));
}

fn a_trust_server_cut_off_anywhere_is_named_and_leaves_nothing(stage: &Stage) {
    /// Bytes of TLS between two places where it is cut.
    const STEP: usize = 331;
    let (image, relay, policy) = signed(stage);
    let engine = Engine::absent(stage);
    let text = policy.to_string();
    let known = Files::new(stage, &text, &engine);
    let began = relay.answered();
    check(stage, &known, &image).expect_ok();
    let all = relay.answered() - began;
    assert!(all > 4000, "{all} bytes are no trust data");
    let named = relay.url().trim_start_matches("https://").to_owned();
    // How much it is differs by a few hundred: no two handshakes and no two farewells are alike.
    for bytes in (0..all - 1000).step_by(STEP) {
        relay.cut_after(bytes);
        let fresh = Files::new(stage, &text, &engine);
        check(stage, &fresh, &image)
            .expect_code(1)
            .and_says("could not be checked")
            .and_says(&named)
            .and_never_says("unsigned")
            .and_never_says("does not exist");
        let left = std::fs::read_dir(fresh.state.join("trust")).unwrap().count();
        assert_eq!(left, 0, "something is kept after {bytes} bytes of {all}");
        check(stage, &known, &format!("--refresh {image}"))
            .expect_ok()
            .and_says(format!("trust server {named}"))
            .and_says("decided by what was verified before");
    }
    relay.pass();
    check(stage, &known, &format!("--refresh {image}")).expect_ok().and_never_says("decided by");
}
