//! Trust servers behind an HTTP proxy, asked by the real program.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

use crate::builder::GUN;
use crate::node::{Checked, Node};
use crate::site::{Site, all_well};
use crate::static_server::BEHIND_PROXY;

/// What a proxy does with those who come.
#[derive(Clone)]
enum Manner {
    /// Leads them to the site, whatever name they ask for.
    Lead,
    /// The same, for those who show this in `Proxy-Authorization`.
    LeadWho(&'static str),
    /// Answers this, and ends the connection.
    Say(String),
    /// Answers this again and again.
    Repeat(&'static str),
    /// Takes the request and does nothing.
    Hang,
}

/// An HTTP proxy on a free port of this host, for as long as the test process lives.
struct Proxy {
    address: SocketAddr,
    /// The heads of the requests it got, and the first byte of what went through.
    seen: Arc<Mutex<Vec<(String, u8)>>>,
}

impl Proxy {
    fn new(target: String, manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&seen);
        thread::spawn(move || {
            for client in listener.incoming() {
                let (target, manner, seen) = (target.clone(), manner.clone(), Arc::clone(&noted));
                // Every error is somebody's leaving.
                thread::spawn(move || attend(client.unwrap(), &target, &manner, &seen));
            }
        });
        Self { address, seen }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn seen(&self) -> Vec<(String, u8)> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

fn attend(
    mut client: TcpStream,
    target: &str,
    manner: &Manner,
    seen: &Mutex<Vec<(String, u8)>>,
) -> Option<()> {
    let head = read_head(&mut client)?;
    seen.lock().unwrap().push((head.clone(), 0));
    let leads = match manner {
        Manner::Lead => true,
        Manner::LeadWho(shown) => head.contains(&format!("proxy-authorization: {shown}\r\n")),
        Manner::Say(text) => {
            client.write_all(text.as_bytes()).ok()?;
            return None;
        }
        Manner::Repeat(text) => loop {
            client.write_all(text.as_bytes()).ok()?;
        },
        Manner::Hang => loop {
            thread::park();
        },
    };
    if !leads {
        let refusal = "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n";
        return client.write_all(refusal.as_bytes()).ok();
    }
    let mut server = TcpStream::connect(target).ok()?;
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").ok()?;
    let mut first = [0];
    client.peek(&mut first).ok()?;
    seen.lock().unwrap().last_mut()?.1 = first[0];
    let (mut from, mut to) = (server.try_clone().ok()?, client.try_clone().ok()?);
    thread::spawn(move || {
        // What is left has its end by the other way.
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Both);
    });
    std::io::copy(&mut client, &mut server).ok()?;
    server.shutdown(std::net::Shutdown::Both).ok()
}

fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    String::from_utf8(head).ok()
}

/// `countersign check --json GUN:1.0`, with these variables in its environment.
fn check(node: &Node, environment: &[(&str, &str)]) -> (Value, Checked) {
    let mut command: Command = node.command("check");
    command.args(["--json", &format!("{GUN}:1.0")]).envs(environment.iter().copied());
    let output = command.output().unwrap();
    let checked = Checked {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    };
    (serde_json::from_str(&checked.out).unwrap_or_default(), checked)
}

/// A site whose server has a name that a proxy alone can find.
fn hidden() -> Site {
    let mut site = Site::new();
    site.trust_server = format!("https://{BEHIND_PROXY}");
    site
}

#[test]
fn a_registered_proxy_leads_to_the_server() {
    let mut site = hidden();
    let proxy = Proxy::new(site.server.host(), Manner::Lead);
    site.entry = format!("proxy = {:?}", proxy.url());
    let (report, checked) = check(&site.node().node, &[]);
    assert_eq!(report["code"], "signed", "{checked:?}");
    // One connection for all files; what goes through it is TLS (a handshake record).
    let seen = proxy.seen();
    let [(head, first)] = seen.as_slice() else { panic!("{seen:?}") };
    let asked = format!("CONNECT {BEHIND_PROXY}:443 HTTP/1.1\r\nhost: {BEHIND_PROXY}:443\r\n");
    assert!(head.starts_with(&asked), "{head}");
    assert!(!head.contains("authorization"), "{head}");
    assert_eq!(*first, 0x16);

    // Without it there is no way.
    site.entry = r#"proxy = "none""#.to_owned();
    let variables = [("HTTPS_PROXY", proxy.url())];
    let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
    let (report, checked) = check(&site.node().node, &variables);
    assert_eq!(report["code"], "trust-data-unavailable", "{checked:?}");
    let cause = format!("trust server {BEHIND_PROXY} cannot be reached: the name does not resolve");
    assert!(report["message"].as_str().unwrap().contains(&cause), "{report}");
    assert_eq!(proxy.seen(), []);
}

#[test]
fn the_environment_names_a_proxy_as_it_does_for_the_engine() {
    let site = hidden();
    let proxy = Proxy::new(site.server.host(), Manner::Lead);
    let url = proxy.url();
    let behind = format!(".{BEHIND_PROXY}");
    for (environment, leads) in [
        (vec![("HTTPS_PROXY", url.as_str())], true),
        (vec![("https_proxy", url.as_str())], true),
        (vec![("HTTPS_PROXY", url.as_str()), ("NO_PROXY", "10.0.0.0/8,.example")], true),
        // Those below it, not itself.
        (vec![("HTTPS_PROXY", url.as_str()), ("NO_PROXY", behind.as_str())], true),
        (vec![("HTTPS_PROXY", url.as_str()), ("NO_PROXY", BEHIND_PROXY)], false),
        (vec![("HTTPS_PROXY", url.as_str()), ("no_proxy", "*")], false),
        (vec![("HTTP_PROXY", url.as_str())], false),
    ] {
        let (report, checked) = check(&site.node().node, &environment);
        let code = if leads { "signed" } else { "trust-data-unavailable" };
        assert_eq!(report["code"], code, "{environment:?}: {checked:?}");
        assert_eq!(proxy.seen().len(), usize::from(leads), "{environment:?}");
    }
    // This host itself is asked directly.
    let near = Site::new();
    let (report, checked) = check(&near.node().node, &[("HTTPS_PROXY", &url)]);
    assert_eq!(report["code"], "signed", "{checked:?}");
    assert_eq!(proxy.seen(), []);
}

#[test]
fn a_proxys_password_is_shown_to_it_alone() {
    // ann:s3cr@t
    const LOGIN: &str = "Basic YW5uOnMzY3JAdA==";
    let mut site = hidden();
    let proxy = Proxy::new(site.server.host(), Manner::LeadWho(LOGIN));
    let asks = "asks for credentials, and none are configured (407)";
    for (login, code, cause) in [
        ("", "trust-data-unavailable", asks),
        ("ann:wr0ng@", "trust-data-unavailable", "refused the credentials (407)"),
        ("ann:s3cr%40t@", "signed", ""),
    ] {
        let url = format!("http://{login}{}", proxy.address);
        let variable = site.node().node;
        site.entry = format!("proxy = {url:?}");
        let entry = site.node().node;
        site.entry.clear();
        let verbose = ("RUST_LOG", "trace");
        for (node, environment) in
            [(entry, vec![verbose]), (variable, vec![("HTTPS_PROXY", url.as_str()), verbose])]
        {
            let (report, checked) = check(&node, &environment);
            assert_eq!(report["code"], code, "{checked:?}");
            let told = format!("{report} {checked:?}");
            assert!(told.contains(cause), "{told}");
            for secret in ["s3cr", "wr0ng", "YW5u"] {
                assert!(!told.contains(secret), "{secret}: {told}");
            }
        }
    }
}

#[test]
fn a_proxy_that_fails_is_named_with_what_it_did() {
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let status = |status: &str| {
        let text = format!("HTTP/1.1 {status}\r\nContent-Length: 3\r\n\r\nno.");
        (Manner::Say(text), format!("answered {}", status.split(' ').next().unwrap()))
    };
    let say = |text: &str, what: &str| (Manner::Say(text.to_owned()), what.to_owned());
    let broke_off = "closed the connection before its answer was complete";
    let bad = "gave a bad answer: ";
    let mut faults = Vec::new();
    for (manner, what) in [
        status("403 Forbidden"),
        status("502 Bad Gateway"),
        status("503 Service Unavailable"),
        status("301 Moved Permanently"),
        say("", broke_off),
        say("HTTP/1.1 200 OK\r\n", broke_off),
        say("SSH-2.0-OpenSSH_9.0\r\n\r\n", bad),
        say(&format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "y".repeat(100_000)), bad),
        say("HTTP/1.1 200 OK\r\n\r\n\u{16}\u{3}\u{1}", "sent more than an answer"),
        (Manner::Repeat("HTTP/1.1 200 OK\r\nX: y\r\n"), bad.to_owned()),
        (Manner::Hang, "did not open the way in 4 s".to_owned()),
    ] {
        let mut site = hidden();
        let proxy = Proxy::new(site.server.host(), manner);
        site.entry = format!("proxy = {:?}", proxy.url());
        let address = proxy.address;
        faults.extend(wrong(&site, &format!("{address}, which {what}")));
    }
    for (proxy, what) in [
        (format!("http://{closed}"), format!("{closed}, which refused the connection")),
        (
            "http://proxy.invalid:3128".to_owned(),
            "proxy.invalid:3128, which cannot be found: the name does not resolve (".to_owned(),
        ),
    ] {
        let mut site = hidden();
        site.entry = format!("proxy = {proxy:?}");
        faults.extend(wrong(&site, &what));
    }
    all_well(&faults);
}

/// What is wrong with what is told of a proxy that fails.
fn wrong(site: &Site, what: &str) -> Option<String> {
    let (report, checked) = check(&site.node().node, &[]);
    let message = report["message"].as_str().unwrap_or_default();
    let cause = format!("trust server {BEHIND_PROXY} cannot be reached through the proxy {what}");
    let is_told = report["code"] == "trust-data-unavailable"
        && message.contains(&cause)
        && message.contains("see that the proxy works and lets this host through");
    (!is_told).then(|| format!("{what}: {checked:?}"))
}

#[test]
fn what_was_verified_serves_without_the_proxy() {
    let mut site = hidden();
    let proxy = Proxy::new(site.server.host(), Manner::Lead);
    site.entry = format!("proxy = {:?}", proxy.url());
    let node = site.node().node;
    assert_eq!(check(&node, &[]).0["code"], "signed");
    let gone = Proxy::new(site.server.host(), Manner::Say("HTTP/1.1 502 X\r\n\r\n".to_owned()));
    node.configure(&site.policy().replace(&proxy.url(), &gone.url()));
    let (report, _) = check(&node, &[]);
    let told = format!(
        "{GUN}: trust server {BEHIND_PROXY} cannot be reached through the proxy {}, which answered \
         502; decided by what was verified before",
        gone.address
    );
    assert_eq!((&report["code"], &report["notes"]), (&json!("signed"), &json!([told])));
}

#[test]
fn a_proxy_that_cannot_be_one_is_a_fault_of_the_configuration() {
    let mut site = Site::new();
    for (entry, environment, what) in [
        (r#"proxy = "socks5://ann:s3cret@p""#, None, "proxy must be \"none\", or a URL"),
        (r#"proxy = "http://ann:s3cret@p/path""#, None, "the proxy that proxy names for"),
        ("", Some("https://ann:s3cret@p"), "the proxy that HTTPS_PROXY names for"),
    ] {
        site.entry = entry.to_owned();
        let environment: Vec<_> =
            environment.into_iter().map(|value| ("HTTPS_PROXY", value)).collect();
        let (_, checked) = check(&site.node().node, &environment);
        assert_eq!((checked.code, checked.out.as_str()), (2, ""), "{checked:?}");
        assert!(checked.err.contains(what), "{checked:?}");
        assert!(!checked.err.contains("s3cret"), "{checked:?}");
    }
}
