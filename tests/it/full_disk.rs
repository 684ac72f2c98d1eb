//! A state directory on a disk that is full, and on one that is read-only. Needs root, to
//! mount one.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::builder::{GUN, Repo};
use crate::node::Node;
use crate::static_server::StaticServer;
use crate::trust_store::{code, copies, node, seen, trust};

/// Bytes of a page, by which this disk is filled.
const PAGE: usize = 4096;

/// A small disk in memory.
struct Disk {
    path: PathBuf,
}

impl Disk {
    /// None where this is not root.
    fn mount(path: PathBuf) -> Option<Self> {
        if fs::metadata("/proc/self").unwrap().uid() != 0 {
            eprintln!("LEFT OUT, as only root can mount a disk: {}", path.display());
            return None;
        }
        fs::create_dir(&path).unwrap();
        run(Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m,mode=0700", "tmpfs"])
            .arg(&path));
        Some(Self { path })
    }

    /// Leaves so many pages free.
    fn fill(&self, free: usize) {
        let filler = self.path.join("filler");
        let mut file = File::create(&filler).unwrap();
        let mut length = 0;
        while file.write_all(&[1; PAGE]).is_ok() {
            length += PAGE;
        }
        file.set_len(length.saturating_sub(free * PAGE) as u64).unwrap();
    }

    fn empty(&self) {
        fs::remove_file(self.path.join("filler")).unwrap();
    }

    fn remount(&self, option: &str) {
        run(Command::new("mount").args(["-o", &format!("remount,{option}")]).arg(&self.path));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.path).status();
    }
}

fn run(command: &mut Command) {
    let status = command.status().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(status.success(), "{command:?}");
}

/// What a check says of the tag, and what it logs.
fn check(node: &Node, image: &str) -> (String, String) {
    let mut command = node.command("check");
    let output = command.args(["--json", image]).env("RUST_LOG", "warn").output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    (report["code"].as_str().unwrap().to_owned(), String::from_utf8(output.stderr).unwrap())
}

fn floor(copies: &[PathBuf; 2]) -> u64 {
    seen(copies).iter().map(|copy| copy["timestamp"]).max().unwrap_or_default()
}

fn aside(path: &Path) -> bool {
    path.file_name().unwrap().to_string_lossy().starts_with(".tmp")
}

#[test]
fn a_full_disk_changes_no_verdict_and_loses_nothing() {
    let server = StaticServer::new(&[]);
    let mut repo = Repo::signed_by_jenkins();
    let node = node(&server);
    let Some(disk) = Disk::mount(node.path("state")) else { return };
    let image = format!("{GUN}:1.0");
    let record = copies(&node, GUN);
    // Nobody's key is in the policy: what counts is that the trust data was had.
    let expected = "signature-missing";
    let (mut version, mut told, mut kept) = (0, 0, 0);
    for free in (0..40).rev() {
        server.publish_built(GUN, &repo.publish());
        repo.republish();
        version += 1;
        disk.fill(free);
        let before = floor(&record);
        let (verdict, log) = check(&node, &image);
        assert_eq!(verdict, expected, "{free} pages free: {log}");
        let after = floor(&record);
        assert!(after >= before, "{free} pages free: {after} after {before}");
        if after < version || log.contains("could not be kept") {
            assert!(log.contains("No space left on device"), "{free} pages free: {log}");
            told += 1;
        } else {
            kept += 1;
        }
        let left = crate::trust_store::files(&disk.path);
        assert!(!left.iter().any(|path| aside(path)), "{free} pages free: {left:?}");
        disk.empty();
    }
    assert!(told > 0 && kept > 0, "{told} full, {kept} kept");
    // With room again all is as it should be.
    assert_eq!(check(&node, &image), (expected.to_owned(), String::new()));
    assert_eq!(floor(&record), version);
    assert_eq!(code(&node, &["--offline", &image]), expected);
}

#[test]
fn on_a_read_only_disk_decisions_go_on_in_memory() {
    let server = StaticServer::new(&[]);
    let mut repo = Repo::signed_by_jenkins();
    server.publish_built(GUN, &repo.publish());
    let node = node(&server);
    let Some(disk) = Disk::mount(node.path("state")) else { return };
    let image = format!("{GUN}:1.0");
    let record = copies(&node, GUN);
    check(&node, &image);
    disk.remount("ro");
    // What stands there binds, and serves.
    assert_eq!(code(&node, &["--offline", &image]), "signature-missing");
    repo.republish();
    server.publish_built(GUN, &repo.publish());
    let (verdict, log) = check(&node, &image);
    assert_eq!(verdict, "signature-missing");
    assert!(log.contains("could not be kept") && log.contains("Read-only"), "{log}");
    assert_eq!(floor(&record), 1);
    let reset = trust(&node, &["reset", "--yes", GUN]);
    assert_eq!(reset.code, 1, "{reset:?}");
    assert!(reset.err.contains("Read-only"), "{}", reset.err);
    // A plugin starts, decides, and tells.
    let plugin = node.serve();
    plugin.await_log("ready");
    drop(plugin);
    disk.remount("rw");
    assert_eq!(check(&node, &image), ("signature-missing".to_owned(), String::new()));
    assert_eq!(floor(&record), 2);
}
