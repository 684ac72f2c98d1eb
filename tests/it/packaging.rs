//! What a node installs agrees with the program: `config.json` and the systemd units.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde::Deserialize;
use serde_json::Value;

const SOCKET: &str = "/run/docker/plugins/countersign.sock";

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn help_of_serve() -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_countersign")).args(["serve", "--help"]).output();
    String::from_utf8(output.unwrap().stdout).unwrap()
}

/// The parts of Docker's plugin configuration, version 1, that we use. Whatever else is in
/// the file is a mistake.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "that they can be read is the test")]
struct Manifest {
    description: String,
    documentation: String,
    entrypoint: Vec<String>,
    workdir: String,
    interface: Interface,
    network: BTreeMap<String, String>,
    ipchost: bool,
    pidhost: bool,
    propagatedmount: String,
    mounts: Vec<Mount>,
    env: Vec<Value>,
    args: Value,
    linux: Linux,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Interface {
    types: Vec<String>,
    socket: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "that they can be read is the test")]
struct Mount {
    name: String,
    description: String,
    source: String,
    destination: String,
    r#type: String,
    options: Vec<String>,
    settable: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Linux {
    capabilities: Option<Vec<String>>,
    allow_all_devices: bool,
    devices: Option<Vec<Value>>,
}

#[test]
fn the_manifest_fits_the_programs_defaults() {
    let manifest: Manifest = serde_json::from_str(&file("config.json")).unwrap();
    assert_eq!(manifest.entrypoint, ["/countersign", "serve", "--log-stdout"]);
    assert_eq!(manifest.interface.types, ["docker.authz/1.0"]);
    assert!(SOCKET.ends_with(&format!("/{}", manifest.interface.socket)));
    assert_eq!(manifest.network["type"], "host", "registries and trust servers are out there");

    let help = help_of_serve();
    for mount in &manifest.mounts {
        assert!(help.contains(&mount.destination), "no default of `serve` is in {}", mount.name);
        let writable = mount.options.iter().any(|option| option == "rw");
        assert_eq!(writable, mount.name == "state", "{}", mount.name);
    }
    assert!(!manifest.ipchost && !manifest.pidhost);
    assert!(manifest.linux.capabilities.is_none() && manifest.linux.devices.is_none());
    assert!(!manifest.linux.allow_all_devices);
}

#[test]
fn the_units_fit_the_programs_defaults() {
    let socket = file("plugin/countersign.socket");
    let has = |unit: &str, line: &str| assert!(unit.lines().any(|l| l == line), "{line}\n{unit}");
    has(&socket, &format!("ListenStream={SOCKET}"));
    has(&socket, "SocketMode=0600");
    has(&socket, "Before=docker.service");
    assert!(help_of_serve().contains(SOCKET));

    let service = file("plugin/countersign.service");
    has(&service, "ExecStart=/usr/bin/countersign serve");
    has(&service, "Type=notify");
    has(&service, "Restart=always");
    has(&service, "ExecReload=/bin/kill -HUP $MAINPID");
    has(&service, "WatchdogSec=60");
    let hides =
        ["ProtectHome=", "PrivateTmp=", "PrivateDevices=", "RootDirectory=", "InaccessiblePaths="];
    for option in hides {
        assert!(!service.lines().any(|line| line.starts_with(option)), "{option} hides links");
    }
    // The default of --state-dir, made by systemd.
    has(&service, "StateDirectory=countersign");
    assert!(help_of_serve().contains("/var/lib/countersign"));

    // Where binds lead must look to it as it does to the engine.
    has(&service, "CapabilityBoundingSet=CAP_DAC_READ_SEARCH");
    for hides in ["PrivateTmp=", "PrivateDevices=", "ProtectHome="] {
        assert!(!service.lines().any(|line| line.starts_with(hides)), "{hides}");
    }

    let engine = file("plugin/docker.service.d/countersign.conf");
    has(&engine, "Requires=countersign.socket");

    let behind = file("plugin/docker.socket.d/countersign-proxy.conf");
    has(&behind, "ListenStream=/run/countersign-engine/docker.sock");
    let past_the_proxy = file("plugin/countersign.service.d/countersign-proxy.conf");
    has(&past_the_proxy, "Environment=DOCKER_HOST=unix:///run/countersign-engine/docker.sock");
}

/// The units are units: systemd's own reader finds nothing to say. And they are as tight as
/// they were.
#[test]
fn systemd_has_nothing_against_the_units() {
    let plugin = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugin");
    let units = tempfile::tempdir().unwrap();
    for name in ["countersign", "countersign-proxy"] {
        for kind in ["service", "socket"] {
            let name = format!("{name}.{kind}");
            // A program that is there, wherever this one will be.
            let text = file(&format!("plugin/{name}")).replace("/usr/bin/countersign", "/bin/true");
            std::fs::write(units.path().join(&name), text).unwrap();
        }
    }
    for name in ["countersign.service", "countersign.socket", "countersign-proxy.service"] {
        let verify =
            Command::new("systemd-analyze").arg("verify").arg(units.path().join(name)).output();
        let verify = verify.unwrap_or_else(|error| panic!("systemd-analyze: {error}"));
        let said = String::from_utf8_lossy(&verify.stderr).into_owned();
        let ours: Vec<_> = said.lines().filter(|line| line.contains("countersign")).collect();
        assert!(verify.status.success() && ours.is_empty(), "{name}: {said}");
    }
    // In tenths. What is left is what it works with: root's files, the network, the host's view.
    for (name, most) in [("countersign.service", 23), ("countersign-proxy.service", 11)] {
        let mut analyze = Command::new("systemd-analyze");
        let threshold = format!("--threshold={most}");
        analyze.args(["security", "--offline=true", &threshold]).arg(plugin.join(name));
        let analyzed = analyze.output().unwrap();
        let said = String::from_utf8_lossy(&analyzed.stdout).into_owned();
        assert!(analyzed.status.success(), "{name} is more exposed than {most}: {said}");
    }
}
