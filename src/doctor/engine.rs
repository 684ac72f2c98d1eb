//! The engine: which one it is, what goes past plugins there, who may talk to it.

use super::advisory::{self, Version};
use super::facts::{EngineFacts, SetupFacts};
use super::finding::Finding;

/// The first version that hands gRPC calls to `BuildKit` unasked.
const GRPC_SINCE: (u32, u32, u32) = (29, 2, 0);

pub(super) fn examine(engine: &EngineFacts, setup: &SetupFacts, findings: &mut Vec<Finding>) {
    let socket = engine.socket.display();
    let version = match &engine.info {
        Ok(info) => {
            let version = &info.server_version;
            findings.push(Finding::ok(
                "engine.answers",
                format!("Docker Engine {} answers on {socket}", version.escape_debug()),
            ));
            Version::read(version)
        }
        Err(cause) => {
            findings.push(Finding::problem(
                "engine.answers",
                cause.clone(),
                "nothing runs on a node without an engine, and what it would let run cannot be \
                 told",
                "start the engine, or name its socket with --engine. An engine whose plugin is \
                 away waits 15 seconds at each call: see that countersign runs",
            ));
            None
        }
    };
    if let (Some(version), Ok(info)) = (version, &engine.info) {
        // An engine may run from elsewhere, and the package be of another version.
        let package = engine.package.as_deref();
        let package = package.filter(|package| package.starts_with(&info.server_version));
        advisory::examine(version, package, findings);
    } else if engine.info.is_ok() {
        findings.push(Finding::note(
            "engine.version",
            "the engine's version is none that can be compared",
            "whether known weaknesses are mended in it cannot be told",
            "compare it with the advisories CVE-2024-41110 and CVE-2026-34040",
        ));
    }
    grpc(engine, version, findings);
    exposure(engine, setup, findings);
    swarm(engine, findings);
}

fn grpc(engine: &EngineFacts, version: Option<Version<'_>>, findings: &mut Vec<Finding>) {
    const ID: &str = "engine.grpc";
    let why = "over gRPC anybody who may use the engine's socket can pull any image, run \
               commands in it as root and store the result under any name. Docker Engine 29.2 \
               and later never ask a plugin about these calls";
    let remedy = "put `countersign proxy` in front of its socket (see countersign help proxy); \
                  or use an engine below 29.2";
    let by_version = version.is_some_and(|version| version.numbers >= GRPC_SINCE);
    findings.push(match engine.http2 {
        Some(true) => {
            Finding::problem(ID, "the engine takes gRPC calls past every plugin", why, remedy)
        }
        Some(false) => Finding::ok(ID, "the engine takes no gRPC calls past plugins"),
        // Without an answer to HTTP/2's opening the version has to do.
        None if by_version => Finding::problem(
            ID,
            "engines of this version take gRPC calls past every plugin",
            why,
            remedy,
        ),
        None if version.is_some() => {
            Finding::ok(ID, "engines of this version take no gRPC calls past plugins")
        }
        // No engine, and that was said.
        None => return,
    });
}

fn exposure(engine: &EngineFacts, setup: &SetupFacts, findings: &mut Vec<Finding>) {
    let socket = engine.socket.display();
    match engine.file {
        Some(file) if file.mode & 0o002 != 0 => findings.push(Finding::problem(
            "engine.socket-mode",
            format!("everybody on this host may use {socket} (mode {:o})", file.mode),
            "who may use the engine's socket may do all that the policy does not refuse: end and \
             remove what runs, and start signed images with any arguments",
            format!("chmod 0660 {socket}; for lasting effect see the unit docker.socket"),
        )),
        Some(file) => findings.push(Finding::ok(
            "engine.socket-mode",
            format!("{socket} is not open to everybody (mode {:o})", file.mode),
        )),
        None => {}
    }
    let Ok(told) = &setup.setup else { return };
    let open: Vec<_> = told.open_hosts().collect();
    if open.is_empty() {
        // A command line that was not found says nothing about its addresses.
        if setup.found {
            findings.push(Finding::ok("engine.tcp", "the engine listens on no open TCP port"));
        }
    } else {
        findings.push(Finding::problem(
            "engine.tcp",
            format!("anybody who reaches {} commands the engine", open.join(", ").escape_debug()),
            "over plain TCP the engine does not know who asks; what the policy does not refuse \
             is open to the network",
            "remove the tcp:// address (-H or \"hosts\"), or demand client certificates with \
             --tlsverify, --tlscacert, --tlscert and --tlskey",
        ));
    }
}

fn swarm(engine: &EngineFacts, findings: &mut Vec<Finding>) {
    const ID: &str = "engine.swarm";
    let Ok(info) = &engine.info else { return };
    findings.push(match info.swarm_manager() {
        None => Finding::ok(ID, "the engine is in no swarm"),
        Some(true) => Finding::note(
            ID,
            "the engine is a swarm manager",
            "services are judged on the manager that is asked to create or update them, and \
             nowhere else: one manager without countersign opens all nodes",
            "run countersign with the same policy on every manager",
        ),
        Some(false) => Finding::note(
            ID,
            "the engine is a swarm worker",
            "it runs what managers send without asking plugins; countersign here judges what \
             is started on this node by hand",
            "run countersign with the same policy on every manager",
        ),
    });
}

#[cfg(test)]
mod tests {
    use super::super::finding::{Severity, told};
    use super::super::setup::Setup;
    use super::*;
    use crate::source::{FileFacts, Kind, NodeInfo};
    use Severity::{Note, Problem, Warning};

    /// An engine, by its `GET /info`.
    fn engine(info: &str) -> EngineFacts {
        EngineFacts {
            socket: "/var/run/docker.sock".into(),
            file: Some(FileFacts { kind: Kind::Socket, uid: 0, mode: 0o660 }),
            info: Ok(serde_json::from_str::<NodeInfo>(info).unwrap()),
            http2: Some(false),
            package: None,
        }
    }

    fn version(version: &str, package: Option<&str>, http2: Option<bool>) -> EngineFacts {
        let text = format!(
            r#"{{"ServerVersion":"{version}","Plugins":{{"Authorization":null}},
               "Swarm":{{"LocalNodeState":"inactive","ControlAvailable":false}}}}"#
        );
        EngineFacts { package: package.map(ToOwned::to_owned), http2, ..engine(&text) }
    }

    fn setup(hosts: &[&str], tls_verify: bool) -> SetupFacts {
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        SetupFacts {
            found: true,
            file: "/etc/docker/daemon.json".into(),
            setup: Ok(Setup { hosts, tls_verify, ..Setup::default() }),
        }
    }

    fn findings(engine: &EngineFacts, setup: &SetupFacts) -> Vec<(&'static str, Severity)> {
        let mut findings = Vec::new();
        examine(engine, setup, &mut findings);
        told(&findings)
    }

    #[test]
    fn engines_of_every_kind() {
        const OLD: (&str, Severity) = ("engine.CVE-2024-41110", Warning);
        const LARGE: (&str, Severity) = ("engine.CVE-2026-34040", Warning);
        const GRPC: (&str, Severity) = ("engine.grpc", Problem);
        let deb12 = Some("20.10.24+dfsg1-1+deb12u1");
        for (facts, expected) in [
            (version("20.10.24", None, Some(false)), &[OLD, LARGE][..]),
            (version("20.10.24+dfsg1", deb12, Some(false)), &[LARGE]),
            (version("26.1.5", None, Some(false)), &[LARGE]),
            (version("26.1.5+dfsg1", deb12, Some(false)), &[("engine.CVE-2026-34040", Note)]),
            (version("28.5.2", None, None), &[LARGE]),
            (version("29.1.5", None, None), &[LARGE]),
            (version("29.3.0", None, Some(true)), &[LARGE, GRPC]),
            (version("29.7.2", None, Some(true)), &[GRPC]),
            (version("29.7.2", None, None), &[GRPC]),
            // Something in front of it speaks HTTP/1.1 alone.
            (version("29.7.2", None, Some(false)), &[]),
            (version("dev", None, Some(true)), &[("engine.version", Note), GRPC]),
        ] {
            assert_eq!(findings(&facts, &setup(&["fd://"], false)), expected, "{facts:?}");
        }
    }

    #[test]
    fn an_engine_that_does_not_answer() {
        let info = Err("the engine at /var/run/docker.sock did not answer in 10 s".to_owned());
        let away = EngineFacts { info, http2: None, file: None, ..version("", None, None) };
        assert_eq!(findings(&away, &setup(&[], false)), [("engine.answers", Problem)]);
    }

    #[test]
    fn who_may_talk_to_it() {
        let sound = version("25.0.16", None, Some(false));
        let mut open = sound.clone();
        open.file = Some(FileFacts { kind: Kind::Socket, uid: 0, mode: 0o666 });
        let tcp = ("engine.tcp", Problem);
        for (engine, setup, expected) in [
            (&sound, setup(&["fd://", "tcp://0.0.0.0:2376"], true), &[][..]),
            (&sound, setup(&["fd://", "tcp://0.0.0.0:2375"], false), &[tcp]),
            (&open, setup(&["tcp://10.0.0.1:1"], false), &[("engine.socket-mode", Problem), tcp]),
        ] {
            assert_eq!(findings(engine, &setup), expected);
        }
    }

    #[test]
    fn its_part_in_a_swarm() {
        for (state, manager, expected) in [
            ("inactive", false, &[][..]),
            ("pending", false, &[]),
            ("active", true, &[("engine.swarm", Note)]),
            ("active", false, &[("engine.swarm", Note)]),
        ] {
            let info = format!(
                r#"{{"ServerVersion":"25.0.16","Swarm":{{"LocalNodeState":"{state}",
                    "ControlAvailable":{manager}}}}}"#
            );
            assert_eq!(findings(&engine(&info), &setup(&[], false)), expected, "{state}");
        }
    }
}
