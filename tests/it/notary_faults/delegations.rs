//! Who may sign what: delegations, their names, their paths, and the tree they make.

use countersign::trust::notary::Fault;
use serde_json::json;

use super::{Case, Expected, JENKINS, below, expired, malformed, role, run, told};
use crate::builder::key::{person, role_key};
use crate::builder::{A, Draft, Repo};

const RELEASED: &str = "targets/releases by jenkins: Releases";
const NIGHTLY: &str = "targets/jenkins/nightly";

/// Lets jenkins delegate to alice, who signs 1.0.
fn nightly(repo: &mut Repo, paths: &[&str]) {
    repo.delegate(NIGHTLY, &[person("alice")], paths);
    repo.at(NIGHTLY).tag("1.0", A);
}

/// The declaration of `targets/jenkins`.
fn jenkins(repo: &mut Repo) -> &mut serde_json::Value {
    repo.at("targets").declared("targets/jenkins")
}

#[test]
fn declarations_and_files() {
    run([
        Case {
            name: "declared and never published",
            arrange: |repo| assert!(!repo.at("targets/moby").listed),
            expected: Expected::Told(JENKINS),
        },
        Case {
            name: "published and not declared any more",
            arrange: |repo| {
                repo.delegate("targets/alice", &[person("alice")], &[""]);
                repo.at("targets/alice").tag("1.0", A);
                let roles = &mut repo.at("targets").signed["delegations"]["roles"];
                roles.as_array_mut().unwrap().retain(|role| role["name"] != "targets/alice");
            },
            expected: Expected::Told(JENKINS),
        },
        Case {
            name: "published and not declared any more, and the file is gone",
            arrange: |repo| {
                repo.at("snapshot").amend(|signed| {
                    signed["meta"]["targets/alice"] = signed["meta"]["targets/jenkins"].clone();
                });
            },
            expected: Expected::Told(JENKINS),
        },
        Case {
            name: "listed without a hash",
            arrange: |repo| {
                repo.at("snapshot").amend(|signed| {
                    signed["meta"]["targets/jenkins"]["hashes"] = json!({});
                });
            },
            expected: Expected::Told(&[RELEASED]),
        },
        Case {
            name: "targets listed without a hash",
            arrange: |repo| {
                repo.at("snapshot").amend(|signed| signed["meta"]["targets"] = json!(null));
            },
            expected: Expected::Refused(malformed(
                "snapshot",
                "it names no targets with a SHA-256 hash",
            )),
        },
        Case {
            name: "root listed with sha512 alone",
            arrange: |repo| {
                repo.at("snapshot").amend(|signed| {
                    let hashes = signed["meta"]["root"]["hashes"].as_object_mut().unwrap();
                    hashes.remove("sha256");
                });
            },
            expected: Expected::Refused(malformed(
                "snapshot",
                "it names no root with a SHA-256 hash",
            )),
        },
        Case {
            name: "snapshot not listed",
            arrange: |repo| repo.at("timestamp").amend(|signed| signed["meta"] = json!({})),
            expected: Expected::Refused(malformed(
                "timestamp",
                "it names no snapshot with a SHA-256 hash",
            )),
        },
        Case {
            name: "timestamp without meta",
            arrange: |repo| repo.at("timestamp").amend(|signed| signed["meta"] = json!(null)),
            expected: Expected::Refused(malformed("timestamp", r#"it has no "meta""#)),
        },
        Case {
            name: "listed with a hash function nobody knows, beside SHA-256",
            arrange: |repo| {
                repo.at("snapshot").amend(|signed| {
                    signed["meta"]["targets/jenkins"]["hashes"]["md5"] = json!(7);
                });
            },
            expected: Expected::Told(JENKINS),
        },
    ]);
}

#[test]
fn null_is_empty() {
    run([
        Case {
            name: "delegations null",
            arrange: |repo| repo.at("targets/jenkins").signed["delegations"] = json!(null),
            expected: Expected::Told(JENKINS),
        },
        Case {
            name: "delegations not there",
            arrange: |repo| {
                repo.at("targets/jenkins").signed.as_object_mut().unwrap().remove("delegations");
            },
            expected: Expected::Told(JENKINS),
        },
        Case {
            name: "keys and roles null",
            arrange: |repo| {
                let delegations = json!({"keys": null, "roles": null});
                repo.at("targets/jenkins").signed["delegations"] = delegations;
            },
            expected: Expected::Told(JENKINS),
        },
        Case {
            name: "targets null",
            arrange: |repo| repo.at("targets/jenkins").signed["targets"] = json!(null),
            expected: Expected::Told(&[RELEASED]),
        },
        Case {
            name: "targets a list",
            arrange: |repo| repo.at("targets/jenkins").signed["targets"] = json!([]),
            expected: Expected::Refused(malformed(
                "targets/jenkins",
                r#""targets" is not an object"#,
            )),
        },
        Case {
            name: "roles an object",
            arrange: |repo| repo.at("targets").signed["delegations"]["roles"] = json!({}),
            expected: Expected::Refused(malformed("targets", "odd roles")),
        },
    ]);
}

#[test]
fn names() {
    let long = format!("targets/{}", "a".repeat(248));
    for name in [
        "",
        "targets",
        "targets/",
        "targets//a",
        "targets/a/",
        "targets/./a",
        "targets/../root",
        "targets/A",
        "targets/a.b",
        "targets/a b",
        "targets/\u{e9}",
        "root",
        "root/a",
        "/targets/a",
        "targets/jenkins/x",
        long.as_str(),
    ] {
        let mut repo = Repo::signed_by_jenkins();
        repo.at("targets").declare(name, &[person("alice")], 1, &[""]);
        let expected = malformed("targets", &format!("it cannot delegate to {name:?}"));
        assert_eq!(repo.update().unwrap_err(), expected, "{name:?}");
    }
    for (parent, name) in [
        ("targets/jenkins", "targets/jenkins"),
        ("targets/jenkins", "targets/moby"),
        ("targets/jenkins", "targets/moby/x"),
        ("targets/jenkins", "targets/jenkins/x/y"),
        ("targets/jenkins", "targets/jenkinsx/y"),
    ] {
        let mut repo = Repo::signed_by_jenkins();
        repo.at(parent).declare(name, &[person("alice")], 1, &[""]);
        let expected = malformed(parent, &format!("it cannot delegate to {name:?}"));
        assert_eq!(repo.update().unwrap_err(), expected, "{name:?} by {parent}");
    }
}

#[test]
fn a_name_is_declared_once() {
    let mut repo = Repo::signed_by_jenkins();
    let again = jenkins(&mut repo).clone();
    repo.at("targets").signed["delegations"]["roles"].as_array_mut().unwrap().push(again);
    let expected = malformed("targets", "it declares targets/jenkins twice");
    assert_eq!(repo.update().unwrap_err(), expected);
}

#[test]
fn paths() {
    run([
        Case {
            name: "prefix of the tag",
            arrange: |repo| jenkins(repo)["paths"] = json!(["2", "1."]),
            expected: Expected::Told(JENKINS),
        },
        Case {
            name: "narrowed since",
            arrange: |repo| jenkins(repo)["paths"] = json!(["2", "1.0.", "01.0"]),
            expected: Expected::Told(&[RELEASED]),
        },
        Case {
            name: "no globs",
            arrange: |repo| jenkins(repo)["paths"] = json!(["*", "1.*", "?.0"]),
            expected: Expected::Told(&[RELEASED]),
        },
        Case {
            name: "empty",
            arrange: |repo| jenkins(repo)["paths"] = json!([]),
            expected: Expected::Told(&[RELEASED]),
        },
        Case {
            name: "null",
            arrange: |repo| jenkins(repo)["paths"] = json!(null),
            expected: Expected::Told(&[RELEASED]),
        },
        Case {
            name: "not there",
            arrange: |repo| drop(jenkins(repo).as_object_mut().unwrap().remove("paths")),
            expected: Expected::Told(&[RELEASED]),
        },
        Case {
            name: "not strings",
            arrange: |repo| jenkins(repo)["paths"] = json!(["", 1]),
            expected: Expected::Refused(malformed("targets", r#"odd "paths""#)),
        },
        Case {
            name: "of a child, within its parent's",
            arrange: |repo| {
                jenkins(repo)["paths"] = json!(["1"]);
                nightly(repo, &["2", "1.0"]);
            },
            expected: Expected::Told(&[
                RELEASED,
                "targets/jenkins by jenkins: counts",
                "targets/jenkins/nightly by alice: Nested",
            ]),
        },
        Case {
            name: "of a child, wider than its parent's",
            arrange: |repo| {
                jenkins(repo)["paths"] = json!(["1.0"]);
                nightly(repo, &["", "1"]);
            },
            expected: Expected::Told(JENKINS),
        },
        Case {
            name: "of a child whose parent has none",
            arrange: |repo| {
                jenkins(repo)["paths"] = json!([]);
                nightly(repo, &[""]);
            },
            expected: Expected::Told(&[RELEASED]),
        },
        Case {
            name: "of a grandchild, wider than its grandparent's",
            arrange: |repo| {
                jenkins(repo)["paths"] = json!(["2"]);
                nightly(repo, &["1", "2"]);
                repo.delegate("targets/jenkins/nightly/x", &[person("bob")], &["1", ""]);
                repo.at("targets/jenkins/nightly/x").tag("1.0", A);
            },
            expected: Expected::Told(&[RELEASED]),
        },
    ]);
}

#[test]
fn targets_that_bind_no_content() {
    let hash = |hashes| {
        let mut repo = Repo::signed_by_jenkins();
        repo.at("targets/jenkins").signed["targets"]["1.0"]["hashes"] = hashes;
        told(&repo.update().unwrap().0, "1.0")
    };
    for (name, hashes) in [
        ("no hashes", json!(null)),
        ("sha512 alone", json!({"sha512": format!("{}==", "A".repeat(86))})),
        ("SHA-256 in hex", json!({"sha256": "aa".repeat(32)})),
        ("SHA-256 too short", json!({"sha256": "qqqq"})),
        ("SHA-256 not base64", json!({"sha256": "*"})),
        ("SHA-256 null", json!({"sha256": null})),
    ] {
        assert_eq!(hash(hashes), [RELEASED], "{name}");
    }
    run([Case {
        name: "a target that is no object",
        arrange: |repo| repo.at("targets/jenkins").signed["targets"]["1.0"] = json!("x"),
        expected: Expected::Refused(malformed("targets/jenkins", "an odd target")),
    }]);
}

/// A way in which a delegation ceases to speak without condemning the others.
struct Spared {
    name: &'static str,
    arrange: fn(&mut Draft),
    fault: Fault,
}

#[test]
fn a_delegation_is_left_out_with_all_below_it() {
    let expire = |draft: &mut Draft| draft.signed["expires"] = json!("2026-11-30T00:00:00Z");
    for Spared { name, arrange, fault } in [
        Spared {
            name: "expired",
            arrange: expire,
            fault: expired("targets/jenkins", "2026-11-30T00:00:00Z"),
        },
        Spared {
            name: "signed by a stranger",
            arrange: |draft| draft.keys = vec![role_key("stranger")],
            fault: below("targets/jenkins", 0, 1),
        },
        Spared {
            name: "expired and signed by a stranger",
            arrange: |draft| {
                draft.signed["expires"] = json!("2026-11-30T00:00:00Z");
                draft.keys = vec![role_key("stranger")];
            },
            fault: below("targets/jenkins", 0, 1),
        },
    ] {
        let mut repo = Repo::signed_by_jenkins();
        repo.delegate("targets/alice", &[person("alice")], &[""]);
        repo.at("targets/alice").tag("1.0", A);
        nightly(&mut repo, &[""]);
        arrange(repo.at("targets/jenkins"));
        let (data, _) = repo.update().unwrap_or_else(|fault| panic!("{name}: {fault}"));
        let others = [RELEASED, "targets/alice by alice: counts"];
        assert_eq!(told(&data, "1.0"), others, "{name}");
        let left_out: Vec<_> = data.left_out().map(|(_, fault)| fault.clone()).collect();
        assert_eq!(left_out, [fault], "{name}");
    }
}

#[test]
fn a_nested_role_is_as_good_as_those_above_it() {
    let mut repo = Repo::signed_by_jenkins();
    nightly(&mut repo, &[""]);
    repo.at(NIGHTLY).keys.clear();
    assert_eq!(repo.update().unwrap_err(), Fault::NoSignatures { role: role(NIGHTLY) });

    // Kept data: the parent runs out after a month, and the child with it.
    let mut repo = Repo::signed_by_jenkins();
    nightly(&mut repo, &[""]);
    repo.at("targets/jenkins").signed["expires"] = json!("2026-12-10T00:00:00Z");
    let (data, _) = repo.update().unwrap();
    let at = |time: &str| data.claims("1.0", time.parse().unwrap()).len();
    assert_eq!(at("2026-12-10T00:00:00Z"), 3);
    assert_eq!(at("2026-12-10T00:00:00.1Z"), 1, "only targets/releases is left");
}

#[test]
fn proofs_are_good_until_the_first_file_behind_them_runs_out() {
    for (file, good_until) in [
        ("timestamp", "2026-12-02T00:00:00Z"),
        ("root", "2026-12-02T00:00:00Z"),
        ("snapshot", "2026-12-02T00:00:00Z"),
        ("targets", "2026-12-02T00:00:00Z"),
        ("targets/jenkins", "2026-12-02T00:00:00Z"),
        // not behind it
        ("targets/releases", "2026-12-15T00:00:00Z"),
    ] {
        let mut repo = Repo::signed_by_jenkins();
        repo.at(file).signed["expires"] = json!("2026-12-02T00:00:00Z");
        let (data, _) = repo.update().unwrap();
        let claims = data.claims("1.0", crate::builder::now());
        let jenkins = claims.iter().find(|claim| claim.proof.role() == "targets/jenkins").unwrap();
        assert_eq!(jenkins.proof.good_until().to_string(), good_until, "{file}");
    }
}
