//! Servers that answer, and not what was asked for: errors, limits, logins that lead nowhere.

use std::fs;
use std::net::TcpListener;

use serde_json::json;

use super::{both, fails};
use crate::site::{Site, all_well, decide};
use crate::static_server::{Asked, Cut, Step};

/// An answer without a body.
fn answer(status: u16, lines: &str) -> Vec<Step> {
    let text = format!("HTTP/1.1 {status} X\r\n{lines}Content-Length: 0\r\n\r\n");
    vec![Step::Send(text.into_bytes())]
}

#[tokio::test]
async fn errors_and_limits_are_told_as_such() {
    let limited = |wait: &str| {
        format!("takes no more requests for now; it says to try again in {wait} (Retry-After)")
    };
    let mut faults = Vec::new();
    for (status, lines, what) in [
        (500, "", "answered 500".to_owned()),
        (502, "", "answered 502".to_owned()),
        (503, "", "answered 503".to_owned()),
        (504, "", "answered 504".to_owned()),
        (400, "", "answered 400".to_owned()),
        (204, "", "answered 204".to_owned()),
        (206, "", "answered 206".to_owned()),
        (429, "", "takes no more requests for now".to_owned()),
        (429, "Retry-After: 30\r\n", limited("30 s")),
        (429, "Retry-After: 31536000\r\n", limited("3600 s")),
        (
            429,
            "Date: Fri, 27 Nov 2026 07:00:00 GMT\r\nRetry-After: Fri, 27 Nov 2026 07:01:00 GMT\r\n",
            limited("60 s"),
        ),
        (503, "Retry-After: 7\r\n", limited("7 s")),
    ] {
        let site = Site::new();
        let what = format!("trust server {} {what}", site.server.host());
        let steps = answer(status, lines);
        let wrong = both(&site, &what, || site.server.twist(move |_| Some(steps.clone()))).await;
        faults.extend(wrong.err().map(|wrong| format!("{status} {lines:?}: {wrong}")));
    }
    all_well(&faults);
}

/// A 401 that sends who asks to this realm.
fn sent_to(realm: &str) -> Vec<Step> {
    answer(401, &format!("WWW-Authenticate: Bearer realm=\"{realm}\",service=\"notary\"\r\n"))
}

#[tokio::test]
async fn a_login_that_leads_nowhere_ends() {
    let mut faults = Vec::new();
    for has_login in [false, true] {
        let refused = if has_login {
            "refused the credentials (401)"
        } else {
            "asks for credentials, and none are configured (401)"
        };
        for (name, challenge, most) in [
            ("a password again and again", "Basic realm=\"x\"", 2),
            ("nothing that can be answered", "Negotiate", 1),
            ("a token again and again", "Bearer", 3),
        ] {
            let mut site = Site::new();
            site.entry = entry(has_login);
            let realm = format!("https://{}/token", site.server.host());
            let lines = match challenge {
                "Bearer" => format!("WWW-Authenticate: Bearer realm=\"{realm}\"\r\n"),
                other => format!("WWW-Authenticate: {other}\r\n"),
            };
            let asked = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
            let count = std::sync::Arc::clone(&asked);
            let mount = || {
                site.server.twist(move |asked: &Asked| {
                    count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    Some(if asked.file.starts_with("/token") {
                        token(r#"{"token":"t"}"#)
                    } else {
                        answer(401, &lines)
                    })
                });
            };
            let what = format!("trust server {} {refused}", site.server.host());
            if let Err(wrong) = both(&site, &what, mount).await {
                faults.push(format!("{name}, {has_login}: {wrong}"));
            }
            // Two decisions.
            let asked = asked.load(std::sync::atomic::Ordering::SeqCst);
            if asked > 2 * most {
                faults.push(format!("{name}, {has_login}: {asked} requests"));
            }
        }
    }
    all_well(&faults);
}

fn entry(has_login: bool) -> String {
    if has_login { "docker_config = \"config.json\"".to_owned() } else { String::new() }
}

fn token(body: &str) -> Vec<Step> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    vec![Step::Send(format!("{head}{body}").into_bytes())]
}

#[tokio::test]
async fn a_token_server_that_fails_is_named() {
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().to_string()
    };
    let mut faults = Vec::new();
    for (name, steps, what) in [
        ("500", answer(500, ""), "answered 500"),
        (
            "429",
            answer(429, "Retry-After: 9\r\n"),
            "takes no more requests for now; it says to try again in 9 s",
        ),
        ("401", answer(401, ""), "asks for credentials, and none are configured (401)"),
        // It is not the trust server that has nothing.
        ("404", answer(404, ""), "answered 404"),
        ("a redirect", answer(302, "Location: https://evil.example/\r\n"), "redirects to"),
        ("no token", token("{}"), "gave a bad answer: it contains no token"),
        ("no JSON", token("<html>"), "gave a bad answer: it is not a token"),
        (
            "a token of two lines",
            token(r#"{"token":"a\r\nX-Evil: b"}"#),
            "gave a bad answer: its token cannot be sent in a header",
        ),
        (
            "an endless token",
            vec![Step::Send(b"HTTP/1.1 200 OK\r\n\r\n".to_vec()), Step::Endless(vec![b' '; 4096])],
            "gave an answer larger than 65536 bytes",
        ),
        (
            "half a token",
            vec![
                Step::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{".to_vec()),
                Step::Cut(Cut::Reset),
            ],
            "closed the connection before its answer was complete",
        ),
    ] {
        let site = Site::new();
        let realm = format!("https://{}/token", site.server.host());
        let what = format!("token server {} {what}", site.server.host());
        let mount = || {
            site.server.twist(move |asked: &Asked| {
                let is_token = asked.file.starts_with("/token");
                Some(if is_token { steps.clone() } else { sent_to(&realm) })
            });
        };
        let outcome = if name == "an endless token" {
            attack_like(&site, &what, mount).await
        } else {
            both(&site, &what, mount).await
        };
        faults.extend(outcome.err().map(|wrong| format!("{name}: {wrong}")));
    }
    for (realm, what) in [
        (
            format!("https://{closed}/token"),
            format!("token server {closed} cannot be reached: connection refused"),
        ),
        (
            "https://token.invalid/".to_owned(),
            "token server token.invalid cannot be reached: the name does not resolve".to_owned(),
        ),
        // Nothing is sent there.
        ("http://127.0.0.1:1/token".to_owned(), "gave a bad answer: ".to_owned()),
    ] {
        let site = Site::new();
        let steps = sent_to(&realm);
        let wrong = both(&site, &what, || site.server.twist(move |_| Some(steps.clone()))).await;
        faults.extend(wrong.err().map(|wrong| format!("{realm}: {wrong}")));
    }
    all_well(&faults);
}

/// As [`both`], of something that is logged as an attack.
async fn attack_like(site: &Site, what: &str, mount: impl FnOnce()) -> Result<(), String> {
    mount();
    let told = decide(&site.node().gate()).await;
    told.refused("trust-data-unavailable", what)?;
    if told.is_attack_like() { Ok(()) } else { Err(told.log) }
}

#[tokio::test]
async fn what_fails_once_is_asked_again_by_the_next_decision() {
    let site = Site::new();
    let node = site.node();
    let gate = node.gate();
    site.server.twist(|_| Some(answer(500, "")));
    decide(&gate).await.refused("trust-data-unavailable", "answered 500").unwrap();
    site.server.untwist();
    decide(&gate).await.is_plain().unwrap();
}

#[tokio::test]
async fn servers_that_are_not_there_are_told_apart() {
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().to_string()
    };
    let mut faults = Vec::new();
    for (server, what) in [
        (closed.as_str(), "cannot be reached: connection refused"),
        ("notary.invalid", "cannot be reached: the name does not resolve ("),
        ("notary.invalid:4443", "cannot be reached: the name does not resolve ("),
    ] {
        let mut site = Site::new();
        let known = site.node();
        decide(&known.gate()).await.is_plain().unwrap();
        site.trust_server = format!("https://{server}");
        known.node.configure(&site.policy());
        let what = format!("trust server {server} {what}");
        let outcome = decide(&known.gate()).await.stood(&what);
        let outcome = match outcome {
            Ok(()) => fails(&site, &what).await,
            wrong => wrong,
        };
        faults.extend(outcome.err().map(|wrong| format!("{server}: {wrong}")));
    }
    all_well(&faults);
}

#[tokio::test]
async fn a_login_is_not_sent_where_it_does_not_belong() {
    let mut site = Site::new();
    site.entry = entry(true);
    let node = site.node();
    let config = json!({ "auths": { "registry.example": { "auth": "YW5uOnNlY3JldA==" } } });
    fs::write(node.node.path("config.json"), config.to_string()).unwrap();
    let shown = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = std::sync::Arc::clone(&shown);
    site.server.twist(move |asked| {
        seen.lock().unwrap().push(asked.authorization.clone());
        Some(answer(302, "Location: https://evil.example/\r\n"))
    });
    let told = decide(&node.gate()).await;
    told.refused("trust-data-unavailable", "redirects to").unwrap();
    // Only who asks for a login sees one.
    assert_eq!(*shown.lock().unwrap(), [""]);
    assert!(!told.log.contains("secret") && !told.log.contains("YW5u"), "{}", told.log);
}
