//! Signed images that ask for the host: refused, unless a rule names what proved them.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign::image::ImageId;
use countersign::policy::{
    Evidence, Held, HeldImage, Host, Plan, Policy, Subject, Verdict, clean, judge, plan, warning,
};
use countersign::request::{self, Call, HostAccess};

use super::{digest, evidence, gun, name, policy, said};
use crate::builder::{A, B, GUN, Repo, now};
use crate::repositories::data;

const ALLOWED: &str = "[[rules]]\nrepository = \"registry.example/**\"\nallow_host_access = true\n";

/// What is asked for, on a host where every path leads to itself.
fn host(asked: &[HostAccess]) -> Host {
    let paths = asked.iter().filter_map(|access| match access {
        HostAccess::Bind { source, .. } => clean(source),
        _ => None,
    });
    Host {
        asked: asked.to_vec(),
        leads_to: paths.map(|path| (path.clone(), path)).collect::<BTreeMap<_, _>>(),
        default_runtime: Some("runc".to_owned()),
        ..Host::default()
    }
}

fn signed(asked: &[HostAccess]) -> Evidence {
    Evidence { host: host(asked), ..evidence(&Repo::signed_by_jenkins()) }
}

fn bind(source: &str) -> HostAccess {
    HostAccess::Bind { source: source.to_owned(), read_only: false }
}

/// The signed image, under rules.
fn verdict(more: &str, asked: &[HostAccess]) -> Verdict {
    judge(&policy("", more), &name(":1.0"), &signed(asked), now())
}

/// A recorded call.
fn recorded(id: &str) -> Call {
    let text = std::fs::read(data().join("calls/cases.json")).unwrap();
    let cases: Vec<serde_json::Value> = serde_json::from_slice(&text).unwrap();
    let case = cases.iter().find(|case| case["id"] == id).unwrap_or_else(|| panic!("no {id}"));
    Call::from_json(case["call"].to_string().as_bytes()).unwrap()
}

#[test]
fn recorded_calls() {
    for (id, told) in [
        ("C33", r#"bind of "/run/docker/plugins""#),
        ("C36", r#"bind of "/etc""#),
        ("C38", r#"PidMode "host""#),
        ("C41", r#"capability "SYS_ADMIN""#),
        ("C42", r#"device "/dev/vda""#),
        ("C45", r#"bind of "/var/lib/docker""#),
        ("C46", r#"bind of "/tmp/../run/docker/plugins""#),
        ("C47", r#"bind of "/proc""#),
        ("X03", r#"bind of "/opt/containerd/bin""#),
        ("X04", r#"log socket "unixgram:///run/systemd/notify""#),
        ("X05", r#"log socket "unix:///run/x""#),
        ("X06", r#"bind of "/srv/a/b" beside one of "/srv/a" that can be written to"#),
        ("G27", r#"bind of "/run/docker/plugins""#),
    ] {
        let Plan::Prove(_, asked) = plan(&policy("", ""), request::read(&recorded(id))) else {
            panic!("{id} is settled");
        };
        let refused = verdict("", &asked);
        let sentence = format!("{GUN} may not reach the host, and it asks for {told}");
        assert_eq!(said(&refused).lines().next(), Some(sentence.as_str()), "{id}");
        assert_eq!(refused.code(), "host-access", "{id}");
        assert_eq!(verdict(ALLOWED, &asked).code(), "signed", "{id}");
    }
    // Merged by the engine: not read at all. And the host's network, which stays open.
    for (id, code) in [("C40", "body-malformed"), ("C51", "")] {
        match plan(&policy("", ""), request::read(&recorded(id))) {
            Plan::Settled(verdict) => assert_eq!(verdict.code(), code, "{id}"),
            Plan::Prove(_, asked) => assert_eq!((code, asked), ("", vec![]), "{id}"),
        }
    }
}

#[test]
fn a_refusal_tells_what_it_would_open_and_what_to_do() {
    let capabilities = ["BPF", "SYS_ADMIN", "SYS_PTRACE"];
    let mut asked: Vec<_> =
        capabilities.map(|name| HostAccess::Capability(name.to_owned())).to_vec();
    asked.extend([bind("/etc"), bind("/"), HostAccess::Privileged, HostAccess::Privileged]);
    let refused = verdict("", &asked);
    assert_eq!(
        said(&refused),
        format!(
            "{GUN} may not reach the host, and it asks for Privileged, capability \"BPF\", \
             capability \"SYS_ADMIN\", capability \"SYS_PTRACE\", 2 more\n  \
             danger: with that it could take over the host, and with it the check of signatures \
             itself\n  \
             to do: leave it out; or have the operator add to countersign.toml: [[rules]] with \
             repository = \"{GUN}\" and allow_host_access = true"
        )
    );
}

#[test]
fn the_most_specific_rule_for_what_proved_the_image_counts() {
    let rule = |repository: &str, allow: bool| {
        format!("[[rules]]\nrepository = \"{repository}\"\nallow_host_access = {allow}\n")
    };
    let (exact, all, below) = (GUN, "registry.example/**", "evil.example/registry.example/**");
    for (what, rules, code) in [
        ("no rule", String::new(), "host-access"),
        ("its rule", rule(exact, true), "signed"),
        ("a rule for its registry", rule(all, true), "signed"),
        ("more specific, and against it", rule(all, true) + &rule(exact, false), "host-access"),
        ("more specific, and for it", rule(exact, true) + &rule(all, false), "signed"),
        ("a rule for a namesake", rule(below, true), "host-access"),
        ("a rule for a repository beside it", rule(&format!("{GUN}2"), true), "host-access"),
    ] {
        assert_eq!(verdict(&rules, &[HostAccess::Privileged]).code(), code, "{what}");
    }

    // Called by an allowed name, proved by another repository.
    let image = HeldImage {
        id: ImageId(digest([0x1d; 32])),
        digests: vec![digest(A)],
        names: vec![gun()],
        called: "registry.example/ops/agent:1".to_owned(),
        id_is_config: true,
        architecture: "amd64".to_owned(),
    };
    let held = Evidence { held: Held::Image(image), ..signed(&[HostAccess::Privileged]) };
    let policy = policy("", &rule("registry.example/ops/**", true));
    let subject = Subject::Container("c1".to_owned());
    assert_eq!(judge(&policy, &subject, &held, now()).code(), "host-access");
}

#[test]
fn modes() {
    for (mode, code, warned) in [
        ("", "host-access", false),
        ("[guard]\nmode = \"enforce\"\n", "host-access", false),
        ("[guard]\nmode = \"log\"\n", "signed", true),
        ("[guard]\nmode = \"off\"\n", "signed", false),
    ] {
        let (policy, evidence) = (policy("", mode), signed(&[bind("/etc")]));
        let verdict = judge(&policy, &name(":1.0"), &evidence, now());
        assert_eq!(verdict.code(), code, "{mode}");
        let warning = warning(&policy, &verdict, &evidence.host);
        assert_eq!(warning.is_some(), warned, "{mode}: {warning:?}");
        assert!(warning.is_none_or(|text| text.contains(r#"bind of "/etc""#)), "{mode}");
        // An unsigned image is refused for that, whatever it asks for.
        assert_eq!(judge(&policy, &name(":3.0"), &evidence, now()).code(), "not-signed", "{mode}");
    }
}

#[test]
fn what_could_not_be_looked_up_is_not_allowed() {
    let unknown = |more: &str| {
        let mut evidence = signed(&[bind("/srv")]);
        evidence.host.unknown = Some("it hangs".to_owned());
        judge(&policy("", more), &name(":1.0"), &evidence, now()).code()
    };
    assert_eq!(unknown(""), "host-unknown");
    assert_eq!(unknown(ALLOWED), "signed");
    assert_eq!(verdict("", &[bind("/srv")]).code(), "signed");
}

/// A volume has no image; and what a running container is given more counts as its own.
#[test]
fn volumes_and_running_containers() {
    let running = Subject::Running("c1".to_owned());
    let image = |bytes| {
        Held::Image(HeldImage {
            id: ImageId(digest([0x1d; 32])),
            digests: vec![digest(bytes)],
            names: vec![gun()],
            called: GUN.to_owned(),
            id_is_config: true,
            architecture: "amd64".to_owned(),
        })
    };
    let log = "[guard]\nmode = \"log\"\n";
    for (what, more, subject, held, asked, code) in [
        ("a plain volume", "", Subject::Volume, Held::NotAsked, bind("/srv"), "not-judged"),
        ("a volume of /etc", "", Subject::Volume, Held::NotAsked, bind("/etc"), "host-access"),
        ("no rule is about it", ALLOWED, Subject::Volume, Held::NotAsked, bind("/etc"), {
            "host-access"
        }),
        ("logged", log, Subject::Volume, Held::NotAsked, bind("/etc"), "not-judged"),
        ("a signed container", "", running.clone(), image(A), HostAccess::Privileged, {
            "host-access"
        }),
        ("allowed", ALLOWED, running.clone(), image(A), HostAccess::Privileged, "signed"),
        ("unsigned", ALLOWED, running.clone(), image(B), HostAccess::Privileged, "not-signed"),
        ("unsigned, logged", log, running, image(B), HostAccess::Privileged, "not-judged"),
    ] {
        let evidence = Evidence { held, ..signed(&[asked]) };
        assert_eq!(judge(&policy("", more), &subject, &evidence, now()).code(), code, "{what}");
    }
}

/// An image may come between our look and the engine's, and a container that is not started
/// shows its binds all the same.
#[test]
fn an_image_that_is_not_there_gets_nothing_either() {
    let id = digest([0x1d; 32]).to_string();
    let subject = Subject::Create { image: id.parse().unwrap(), written: id };
    for (more, asked, code) in [
        ("", vec![bind("/etc")], "host-access"),
        ("", vec![bind("/srv")], "nothing-there"),
        ("", vec![], "nothing-there"),
        (ALLOWED, vec![bind("/etc")], "host-access"),
        ("[guard]\nmode = \"log\"\n", vec![bind("/etc")], "nothing-there"),
    ] {
        let evidence = Evidence { held: Held::Absent, ..signed(&asked) };
        assert_eq!(judge(&policy("", more), &subject, &evidence, now()).code(), code, "{asked:?}");
    }
}

#[test]
fn what_needs_no_look_at_the_host() {
    let (off, closed) = ("[guard]\nmode = \"off\"\n", "[api]\nexec = false\n");
    let (exec, volume) = (r#"{"Privileged":true}"#, r#"{"DriverOpts":{"device":"/dev/sda"}}"#);
    let update = r#"{"CgroupParent":"/x"}"#;
    for (what, more, target, body, expected) in [
        ("exec", "", "containers/a/exec", exec, "Running(\"a\") [Privileged]"),
        ("exec, unguarded", off, "containers/a/exec", exec, "not-judged"),
        ("exec, closed", closed, "containers/a/exec", exec, "not-permitted"),
        ("plain exec", "", "containers/a/exec", "{}", "not-judged"),
        ("plain exec, closed", closed, "containers/a/exec", "{}", "not-permitted"),
        ("exec start", "", "exec/a/start", "{}", "Exec(\"a\") []"),
        ("exec start, unguarded", off, "exec/a/start", "{}", "not-judged"),
        ("exec start, closed", closed, "exec/a/start", "{}", "not-permitted"),
        ("update", "", "containers/a/update", update, "Running(\"a\") [CgroupParent(\"/x\")]"),
        ("update, unguarded", off, "containers/a/update", update, "not-judged"),
        ("plain update", "", "containers/a/update", "{}", "not-judged"),
        ("volume", "", "volumes/create", volume, "Volume [VolumeDevice(\"/dev/sda\")]"),
        ("volume, unguarded", off, "volumes/create", volume, "not-judged"),
        ("plain volume", "", "volumes/create", "{}", "not-judged"),
    ] {
        let message = serde_json::json!({
            "RequestMethod": "POST",
            "RequestUri": format!("/v1.41/{target}"),
            "RequestBody": STANDARD.encode(body),
        });
        let call = Call::from_json(message.to_string().as_bytes()).unwrap();
        let planned = match plan(&policy("", more), request::read(&call)) {
            Plan::Settled(verdict) => verdict.code().to_owned(),
            Plan::Prove(subject, asked) => format!("{subject:?} {asked:?}"),
        };
        assert_eq!(planned, expected, "{what}");
    }
}

#[test]
fn faults_in_rules_have_a_place() {
    for (rules, line, column, what) in [
        ("[guard]\nmode = \"warn\"\n", 4, 8, "unknown variant `warn`"),
        ("[guard]\nmod = \"log\"\n", 4, 1, "unknown field `mod`"),
        ("[[rules]]\nallow_host_access = true\n", 3, 1, "missing field `repository`"),
        ("[[rules]]\nrepository = \"h.io/a\"\n", 4, 14, "a rule that says nothing"),
        (
            "[[rules]]\nrepository = \"ops/**\"\nallow_host_access = true\n",
            4,
            14,
            "repository \"ops/**\": write a whole repository with its host",
        ),
        (
            "[[rules]]\nrepository = \"h.io/a\"\nallow_host_access = true\n\
             [[rules]]\nallow_host_access = false\nrepository = \"h.io/a\"\n",
            8,
            14,
            "there are two rules for h.io/a",
        ),
    ] {
        let text = format!("[trust_configuration]\nrequire_content_trust = true\n{rules}");
        let nothing = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
        let error = Policy::from_toml(&text, &nothing).unwrap_err();
        assert!(error.what.contains(what), "{rules}: {error}");
        assert_eq!((error.line, error.column), (line, column), "{rules}: {error}");
    }
}
