//! Certificates of the server that change, run out, or are somebody else's.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use crate::site::{Site, all_well, decide};
use crate::static_server::Identity;

#[tokio::test]
async fn a_certificate_that_is_not_to_be_trusted_is_named() {
    let mut faults = Vec::new();
    for (name, identity, what) in [
        ("of another CA", Identity::new(), "is not signed by the registered CA (UnknownIssuer)"),
        ("expired", Identity::expired(), "has expired"),
        ("of another host", Identity::elsewhere(), "is made out to another name"),
    ] {
        let site = Site::new();
        // Where a CA is registered that signed it, only what is wrong with it counts.
        let node = site.node();
        decide(&node.gate()).await.is_plain().unwrap();
        let ca = if name == "of another CA" { site.server.ca.clone() } else { identity.ca.clone() };
        site.server.identify(&identity);
        let what = format!("certificate of trust server {} {what}", site.server.host());
        let other = site.node();
        for node in [&node, &other] {
            fs::write(node.node.path("ca.pem"), &ca).unwrap();
        }
        let told = decide(&node.gate()).await;
        let first = decide(&other.gate()).await;
        let remedy = "see that ca_file or ca_bundle of its [[registries]] entry is the CA";
        for outcome in [
            told.stood(&what),
            first.refused("trust-data-unavailable", &what),
            first.refused("trust-data-unavailable", remedy),
        ] {
            faults.extend(outcome.err().map(|wrong| format!("{name}: {wrong}")));
        }
    }
    all_well(&faults);
}

#[tokio::test]
async fn a_new_ca_is_registered_beside_the_old_one() {
    let site = Site::new();
    let node = site.node();
    let gate = node.gate();
    decide(&gate).await.is_plain().unwrap();
    // Both before the server changes: then nothing happens when it does.
    let next = Identity::new();
    fs::write(node.node.path("ca.pem"), format!("{}{}", site.server.ca, next.ca)).unwrap();
    let gate = node.gate();
    decide(&gate).await.is_plain().unwrap();
    site.server.identify(&next);
    decide(&node.gate()).await.is_plain().unwrap();
    // The old one is taken out at any time after.
    fs::write(node.node.path("ca.pem"), &next.ca).unwrap();
    decide(&node.gate()).await.is_plain().unwrap();
}

#[tokio::test]
async fn a_server_without_tls_is_told_as_that() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            // Whoever asks may leave at any time.
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let mut site = Site::new();
    site.trust_server = format!("https://{address}");
    let told = decide(&site.node().gate()).await;
    told.refused("trust-data-unavailable", &format!("TLS with trust server {address} failed: "))
        .unwrap();
}
