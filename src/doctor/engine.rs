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
    let open: Vec<_> = engine.doors.iter().filter(|door| door.is_open()).collect();
    for door in &open {
        let socket = door.socket.display();
        let title = format!("others than root may make gRPC calls past every plugin on {socket}");
        findings.push(Finding::problem(ID, title, why, remedy));
    }
    if !open.is_empty() {
        return;
    }
    let answers = |http2: bool| engine.doors.iter().find(|door| door.http2 == Some(http2));
    findings.push(if let Some(door) = answers(true) {
        let socket = door.socket.display();
        Finding::ok(ID, format!("gRPC calls past plugins are for root alone ({socket})"))
    } else if answers(false).is_some() {
        Finding::ok(ID, "the engine takes no gRPC calls past plugins")
    } else if by_version {
        // Without an answer to HTTP/2's opening the version has to do.
        let title = "engines of this version take gRPC calls past every plugin";
        Finding::problem(ID, title, why, remedy)
    } else if version.is_some() {
        Finding::ok(ID, "engines of this version take no gRPC calls past plugins")
    } else {
        // No engine, and that was said.
        return;
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
    findings.extend(engine.group.as_ref().map(|group| {
        let (name, members) = (group.name.escape_debug(), group.members.join(", "));
        let members = if members.is_empty() { "nobody is listed in it" } else { &members };
        Finding::note(
            "engine.group",
            format!("group {name} may command the engine ({})", members.escape_debug()),
            "its members may do all that the policy does not refuse, and the engine does not tell \
             one from another",
            format!("see that each of them is meant to; gpasswd -d USER {name} takes one out"),
        )
    }));
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
    use crate::gate::Door;
    use crate::source::{FileFacts, Group, Kind, NodeInfo};
    use Severity::{Note, Problem, Warning};

    /// An engine, by its `GET /info`.
    fn engine(info: &str) -> EngineFacts {
        EngineFacts {
            socket: "/var/run/docker.sock".into(),
            file: Some(FileFacts { kind: Kind::Socket, uid: 0, mode: 0o660 }),
            info: Ok(serde_json::from_str::<NodeInfo>(info).unwrap()),
            group: None,
            doors: vec![door(Some(false), false)],
            package: None,
        }
    }

    fn door(http2: Option<bool>, is_roots_alone: bool) -> Door {
        Door { socket: "/run/docker.sock".into(), http2, is_roots_alone }
    }

    fn version(version: &str, package: Option<&str>, http2: Option<bool>) -> EngineFacts {
        let text = format!(
            r#"{{"ServerVersion":"{version}","Plugins":{{"Authorization":null}},
               "Swarm":{{"LocalNodeState":"inactive","ControlAvailable":false}}}}"#
        );
        let doors = vec![door(http2, false)];
        EngineFacts { package: package.map(ToOwned::to_owned), doors, ..engine(&text) }
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
    fn doors_past_every_plugin() {
        let problem = ("engine.grpc", Problem);
        for (doors, expected) in [
            (vec![door(Some(true), false)], &[problem][..]),
            // The engine, and the proxy in front of it.
            (vec![door(Some(true), true), door(Some(false), false)], &[]),
            (vec![door(Some(true), true), door(Some(true), false)], &[problem]),
            (vec![door(Some(false), false), door(Some(true), false)], &[problem]),
            (vec![door(None, false)], &[problem]),
            (vec![], &[problem]),
            (vec![door(Some(true), true)], &[]),
        ] {
            let engine = EngineFacts { doors: doors.clone(), ..version("29.7.2", None, None) };
            assert_eq!(findings(&engine, &setup(&["fd://"], false)), expected, "{doors:?}");
        }
    }

    #[test]
    fn an_engine_that_does_not_answer() {
        let info = Err("the engine at /var/run/docker.sock did not answer in 10 s".to_owned());
        let away = EngineFacts { info, doors: vec![], file: None, ..version("", None, None) };
        assert_eq!(findings(&away, &setup(&[], false)), [("engine.answers", Problem)]);
    }

    #[test]
    fn who_may_talk_to_it() {
        let sound = version("25.0.16", None, Some(false));
        let mut open = sound.clone();
        open.file = Some(FileFacts { kind: Kind::Socket, uid: 0, mode: 0o666 });
        let mut shared = sound.clone();
        let members = vec!["alice".to_owned()];
        shared.group = Some(Group { name: "docker".to_owned(), members });
        let tcp = ("engine.tcp", Problem);
        for (engine, setup, expected) in [
            (&sound, setup(&["fd://", "tcp://0.0.0.0:2376"], true), &[][..]),
            (&sound, setup(&["fd://", "tcp://0.0.0.0:2375"], false), &[tcp]),
            (&shared, setup(&["fd://"], false), &[("engine.group", Note)]),
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
