//! Who may know whom, read from the sources themselves.

use std::fs;
use std::path::Path;

/// Each room, and the rooms it may know.
const ROOMS: [(&str, &[&str]); 14] = [
    ("image", &[]),
    ("json", &[]),
    ("request", &["image", "json"]),
    ("trust", &["image", "json"]),
    ("policy", &["image", "request", "trust"]),
    ("source", &["image"]),
    ("gate", &["image", "json", "request", "trust", "policy", "source"]),
    ("doctor", &["image", "policy", "trust", "source", "gate"]),
    ("record", &["image", "request", "policy", "source", "gate"]),
    ("edit", &["json"]),
    ("node", &["edit", "policy", "source", "doctor"]),
    ("server", &["gate", "policy", "record", "request"]),
    ("proxy", &["server"]),
    (
        "cli",
        &[
            "image", "json", "request", "trust", "policy", "source", "gate", "doctor", "record",
            "edit", "node", "server", "proxy",
        ],
    ),
];

/// What stands below these places alone.
const ONLY_IN: [(&str, &[&str]); 20] = [
    ("clap", &["cli/"]),
    ("clap_complete", &["cli/completions.rs"]),
    ("clap_mangen", &["cli/man.rs"]),
    ("hyper", &["server/", "source/"]),
    ("hyper_rustls", &["source/"]),
    ("hyper_util", &["server/", "source/"]),
    ("prometheus_client", &["record/"]),
    ("ipnet", &["source/http_proxy.rs"]),
    ("ring", &["trust/crypto.rs"]),
    ("rustix::pipe", &["proxy/carry.rs"]),
    ("rustix::process", &["node/engine.rs"]),
    ("rustix", &["node/engine.rs", "proxy/carry.rs"]),
    ("tower_service", &["source/"]),
    ("rustls::crypto", &["source/"]),
    ("similar", &["edit/"]),
    ("toml", &["policy/"]),
    ("toml_edit", &["edit/"]),
    ("webpki", &["source/verifier.rs", "trust/certificate.rs"]),
    ("x509_parser", &["trust/certificate.rs"]),
    ("zip", &["edit/bundle.rs"]),
];

/// The rooms that are given bytes and the time, and what they therefore do without.
const PURE: [&str; 6] = ["image/", "json/", "request/", "trust/", "policy/", "edit/"];
const IMPURE: [&str; 6] =
    ["std::env", "std::fs", "std::net", "std::process", "std::thread", "tokio"];

/// Most lines of a file without its tests.
const MAX_LINES: usize = 500;

#[test]
fn rooms_know_only_whom_they_may() {
    let mut broken = Vec::new();
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    read(&src, "", &mut |file, code| {
        let room = file.split_once('/').map(|(room, _)| room);
        if room.is_some_and(|room| ROOMS.iter().all(|(known, _)| *known != room)) {
            broken.push(format!("{file}: a room without a rule"));
        }
        let lines = code.lines().count();
        if lines > MAX_LINES {
            broken.push(format!("{file}: {lines} lines without its tests"));
        }
        for path in paths(code) {
            if let Some(rule) = broken_rule(file, path) {
                broken.push(format!("{file}: {path}, but {rule}"));
            }
        }
    });
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

fn broken_rule(file: &str, path: &str) -> Option<String> {
    let starts = |name: &str| path == name || path.starts_with(&format!("{name}::"));
    let below = |places: &[&str]| places.iter().any(|place| file.starts_with(place));
    for (room, known) in ROOMS.iter().filter(|(room, _)| below(&[&format!("{room}/")])) {
        let other = path.strip_prefix("crate::").and_then(|path| path.split("::").next());
        if other.is_some_and(|other| other != *room && !known.contains(&other)) {
            return Some(format!("{room} knows {known:?} alone"));
        }
        // How far the crate is above the module.
        let depth = file.matches('/').count() + usize::from(!file.ends_with("/mod.rs"));
        if path.split("::").take_while(|word| *word == "super").count() >= depth {
            return Some("other rooms are reached by crate::".to_owned());
        }
    }
    if let Some((_, places)) = ONLY_IN.iter().find(|(name, places)| starts(name) && !below(places))
    {
        return Some(format!("that stands only in {places:?}"));
    }
    if matches!(path, "crate::" | "std::") {
        return Some("a list in braces hides what this test looks for".to_owned());
    }
    let clock = path.ends_with("Timestamp::now") || path.ends_with("SystemTime::now");
    if clock && !below(&["source/clock.rs"]) {
        return Some("source/clock.rs is the one clock".to_owned());
    }
    let impure = IMPURE.iter().any(|name| starts(name)) || path.ends_with("Instant::now");
    (impure && below(&PURE)).then(|| "this room is pure".to_owned())
}

/// Every path of two names or more in the code. One that goes on in braces ends with
/// `::`, as `std::` in `std::{fs, io}`.
fn paths(code: &str) -> impl Iterator<Item = &str> {
    code.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| line.split(|c: char| !(c.is_ascii_alphanumeric() || "_:".contains(c))))
        .filter(|path| path.contains("::"))
}

/// Calls `each` with every source file: its name, and its text without its tests.
fn read(dir: &Path, prefix: &str, each: &mut impl FnMut(&str, &str)) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("{prefix}{}", path.file_name().unwrap().to_str().unwrap());
        if path.is_dir() {
            read(&path, &format!("{name}/"), each);
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        each(&name, text.split("#[cfg(test)]\nmod tests {").next().unwrap());
    }
}
