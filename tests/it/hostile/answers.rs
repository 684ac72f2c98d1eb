//! Answers that are wrong as HTTP: endless, slow, packed, badly counted, pointing elsewhere.

use std::time::Duration;

use super::Like::{self, Ordinary};
use super::{Attack, run, run_together};
use crate::site::{Site, decide};
use crate::static_server::{Asked, Cut, Step};

/// `200 OK` with these lines, and whatever follows.
fn head(lines: &str) -> Step {
    Step::Send(format!("HTTP/1.1 200 OK\r\n{lines}\r\n").into_bytes())
}

fn send(bytes: &[u8]) -> Step {
    Step::Send(bytes.to_vec())
}

fn endless(bytes: &[u8]) -> Step {
    Step::Endless(bytes.to_vec())
}

/// The honest body with these header lines, on a connection that ends with it.
fn with(lines: &'static str) -> impl Fn(&Asked) -> Vec<Step> + Clone {
    move |asked| vec![head(lines), send(&asked.body), Step::Cut(Cut::Close)]
}

/// Steps that do not depend on what is asked for.
fn fixed(steps: Vec<Step>) -> impl Fn(&Asked) -> Vec<Step> + Clone {
    move |_| steps.clone()
}

#[tokio::test]
async fn no_answer_is_endless() {
    const LARGE: &str = "gave an answer larger than";
    const BAD: &str = "gave a bad answer: ";
    let piece = |text: &str| text.repeat(1000);
    let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
    run([
        ("announced", Like::Attack, LARGE, vec![head("Content-Length: 99999999999\r\n")]),
        ("to the end", Like::Attack, LARGE, vec![head(""), endless(&[b' '; 4096])]),
        (
            "in chunks",
            Like::Attack,
            LARGE,
            vec![head("Transfer-Encoding: chunked\r\n"), endless(chunk.as_bytes())],
        ),
        (
            "a chunk's extension",
            Ordinary,
            BAD,
            vec![head("Transfer-Encoding: chunked\r\n"), send(b"1;"), endless(&[b'x'; 4096])],
        ),
        (
            "trailers",
            Ordinary,
            BAD,
            vec![
                head("Transfer-Encoding: chunked\r\n"),
                send(b"0\r\n"),
                endless(piece("X: y\r\n").as_bytes()),
            ],
        ),
        (
            "headers",
            Ordinary,
            BAD,
            vec![send(b"HTTP/1.1 200 OK\r\n"), endless(piece("X: y\r\n").as_bytes())],
        ),
        ("a header", Ordinary, BAD, vec![send(b"HTTP/1.1 200 OK\r\nX: "), endless(&[b'x'; 4096])]),
        ("a status line", Ordinary, BAD, vec![send(b"HTTP/1.1 200 "), endless(&[b'x'; 4096])]),
    ]
    .map(|(name, like, what, steps)| Attack::of_answers(name, like, what, fixed(steps))))
    .await;
}

#[test]
fn no_answer_takes_for_ever() {
    const LATE: &str = "did not answer in 5 s";
    let drip = |what: &[u8]| {
        let pause = Step::Pause(Duration::from_millis(50));
        (0..1200).flat_map(|_| [pause.clone(), send(what)]).collect::<Vec<_>>()
    };
    let dripped = |start: Vec<Step>, what: &[u8]| [start, drip(what)].concat();
    let chunked = || head("Transfer-Encoding: chunked\r\n");
    run_together(
        [
            ("silence", vec![Step::Pause(Duration::from_secs(60))]),
            ("a status line", dripped(vec![send(b"HTTP/1.1 200 ")], b"O")),
            ("headers", dripped(vec![send(b"HTTP/1.1 200 OK\r\nX: ")], b"y")),
            ("a body", dripped(vec![head("Content-Length: 100000\r\n")], b" ")),
            ("a body to the end", dripped(vec![head("")], b" ")),
            ("chunks", dripped(vec![chunked()], b"1\r\n \r\n")),
            ("a chunk's size", dripped(vec![chunked()], b"0")),
            (
                "half a body",
                vec![
                    head("Content-Length: 100\r\n"),
                    send(b"{"),
                    Step::Pause(Duration::from_secs(60)),
                ],
            ),
            ("answers before the answer", vec![endless(b"HTTP/1.1 103 Early Hints\r\n\r\n")]),
        ]
        .map(|(name, steps)| Attack::of_answers(name, Ordinary, LATE, fixed(steps))),
    );
}

#[tokio::test]
async fn nothing_is_unpacked() {
    const PACKED: &str = "its body is compressed, which was not asked for";
    let bomb = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    let encodings = ["gzip", "br", "deflate", "zstd", "gzip, gzip", "x-gzip", "aws-chunked"];
    run(encodings.map(|encoding| {
        Attack::of_answers(encoding, Ordinary, PACKED, move |_| {
            let lines = format!("Content-Encoding: {encoding}\r\nContent-Length: 10\r\n");
            vec![head(&lines), send(&bomb)]
        })
    }))
    .await;
    run(["gzip, chunked", "gzip", "chunked, gzip", "identity"].map(|coding| {
        Attack::of_answers(coding, Ordinary, PACKED, move |_| {
            let lines = format!("Transfer-Encoding: {coding}\r\n");
            vec![head(&lines), send(b"a\r\n"), send(&bomb), send(b"\r\n0\r\n\r\n")]
        })
    }))
    .await;
}

#[tokio::test]
async fn lengths_are_what_is_sent() {
    const BAD: &str = "gave a bad answer: ";
    let cut_short = "closed the connection before its answer was complete";
    run([
        ("longer than the body", cut_short, with("Content-Length: 100000\r\n")),
        ("negative", BAD, with("Content-Length: -1\r\n")),
        ("signed", BAD, with("Content-Length: +5\r\n")),
        ("hexadecimal", BAD, with("Content-Length: 0x10\r\n")),
        ("two words", BAD, with("Content-Length: 5 5\r\n")),
        ("past 64 bits", BAD, with("Content-Length: 18446744073709551616\r\n")),
        ("two that differ", BAD, with("Content-Length: 5\r\nContent-Length: 6\r\n")),
        ("a list that differs", BAD, with("Content-Length: 5, 6\r\n")),
        ("chunks that are none", BAD, with("Transfer-Encoding: chunked\r\n")),
    ]
    .map(|(name, what, answer)| Attack::of_answers(name, Ordinary, what, answer)))
    .await;
    // A body that its length cuts off is another file.
    run([0, 5, 200].map(|length: usize| {
        let cut = move |asked: &Asked| {
            let lines = format!("Content-Length: {length}\r\n");
            vec![head(&lines), send(&asked.body[..length.min(asked.body.len())])]
        };
        let name = format!("the first {length} bytes");
        Attack::of_answers(name, Like::Attack, "root is malformed: ", cut)
            .at_first("trust-data-invalid", "root is malformed: ")
    }))
    .await;
}

#[tokio::test]
async fn heads_are_bounded() {
    let many = "X: y\r\n".repeat(101);
    let large = format!("X: {}\r\n", "y".repeat(200 * 1024));
    run([
        ("header fields", head(&format!("{many}Content-Length: 0\r\n"))),
        ("a header field", head(&format!("{large}Content-Length: 0\r\n"))),
        ("another protocol", send(b"SSH-2.0-OpenSSH_9.0\r\n\r\n")),
        ("HTTP/2", send(b"HTTP/2.0 200 OK\r\n\r\n")),
        ("a header without a name", head(": x\r\n")),
        ("a zero byte", head("X: \0\r\n")),
    ]
    .map(|(name, step)| {
        Attack::of_answers(name, Ordinary, "gave a bad answer: ", fixed(vec![step]))
    }))
    .await;
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let statuses = [301, 302, 303, 307, 308];
    let targets = ["https://evil.example/root.json", "http://evil.example/", "/v2/other", "//evil"];
    let mut attacks = Vec::new();
    for status in statuses {
        for target in targets {
            let what = format!("redirects to {target:?}, which is not followed");
            attacks.push(Attack::of_answers(
                format!("{status} to {target}"),
                Ordinary,
                &what,
                redirect(status, target),
            ));
        }
    }
    run(attacks).await;

    // Not to the server itself either, where it would find the file.
    let site = Site::new();
    let elsewhere = format!("https://{}/moved", site.server.host());
    site.server.serve("/moved", site.honest.0["root.json"].clone());
    site.server.twist(move |_| Some(redirect(302, &elsewhere)(&())));
    decide(&site.node().gate()).await.refused("trust-data-unavailable", "redirects to").unwrap();
    assert_eq!(site.server.requests().len(), 1);
}

fn redirect<T>(status: u16, target: &str) -> impl Fn(&T) -> Vec<Step> + Clone + use<T> {
    let text = format!("HTTP/1.1 {status} X\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n");
    move |_| vec![Step::Send(text.clone().into_bytes())]
}
