//! What can be wrong with any file, tried on every one of them.

use countersign::trust::notary::{Fault, History, Role};
use serde_json::{Value, json};

use super::{Expected, JENKINS, below, check, differs, expired, malformed, meet, role};
use crate::builder::json::{hex, sha256};
use crate::builder::key::role_key;
use crate::builder::{Draft, Repo};

const ROLES: [&str; 6] =
    ["root", "timestamp", "snapshot", "targets", "targets/releases", "targets/jenkins"];

/// What is done to a file.
type Arrange = fn(&mut Draft);

/// One thing wrong with a file.
struct Wrong {
    name: &'static str,
    arrange: Arrange,
    fault: fn(&str) -> Fault,
}

fn is_delegation(name: &str) -> bool {
    matches!(role(name), Role::Delegation(_))
}

/// Runs each on every role. A delegation that has run out or lost its signatures is left
/// out; every other fault is fatal.
fn run(wrongs: &[Wrong]) {
    let outcomes = wrongs.iter().flat_map(|wrong| {
        ROLES.iter().map(|name| {
            let mut repo = Repo::signed_by_jenkins();
            (wrong.arrange)(repo.at(name));
            let fault = (wrong.fault)(name);
            let spared = matches!(fault, Fault::Expired { .. } | Fault::Threshold { .. });
            let expected = if spared && is_delegation(name) {
                Expected::LeftOut(name, fault)
            } else {
                Expected::Refused(fault)
            };
            (format!("{name}: {}", wrong.name), repo.update(), expected)
        })
    });
    check(outcomes);
}

/// Changes the file's JSON after it was signed.
fn alter(draft: &mut Draft, change: fn(&mut Value)) {
    draft.tamper(move |text| {
        let mut file = serde_json::from_str(&text).unwrap();
        change(&mut file);
        file.to_string()
    });
}

#[test]
fn signatures() {
    run(&[
        Wrong {
            name: "content changed after it was signed",
            arrange: |draft| alter(draft, |file| file["signed"]["version"] = json!(7)),
            fault: |role| below(role, 0, 1),
        },
        Wrong {
            name: "a member added after it was signed",
            arrange: |draft| alter(draft, |file| file["signed"]["x"] = json!(null)),
            fault: |role| below(role, 0, 1),
        },
        Wrong {
            name: "signature of another key under the role's ID",
            arrange: |draft| {
                let (own, other) = (draft.keys[0].id(), role_key("stranger"));
                draft.keys = vec![other.clone()];
                draft.tamper(move |text| text.replace(&other.id(), &own));
            },
            fault: |role| below(role, 0, 1),
        },
        Wrong {
            name: "signed by a key that is not the role's",
            arrange: |draft| draft.keys = vec![role_key("stranger")],
            fault: |role| below(role, 0, 1),
        },
        Wrong {
            name: "an empty signature",
            arrange: |draft| alter(draft, |file| file["signatures"][0]["sig"] = json!("")),
            fault: |role| below(role, 0, 1),
        },
        Wrong {
            name: "a signature of zeros",
            arrange: |draft| {
                let zeros = format!("{}==", "A".repeat(86));
                draft.tamper(move |text| {
                    let mut file: Value = serde_json::from_str(&text).unwrap();
                    file["signatures"][0]["sig"] = json!(zeros);
                    file.to_string()
                });
            },
            fault: |role| below(role, 0, 1),
        },
        Wrong {
            name: "unknown method",
            arrange: |draft| alter(draft, |file| file["signatures"][0]["method"] = json!("none")),
            fault: |role| below(role, 0, 1),
        },
        Wrong {
            name: "method of another kind of key",
            arrange: |draft| alter(draft, |file| file["signatures"][0]["method"] = json!("eddsa")),
            fault: |role| below(role, 0, 1),
        },
        Wrong {
            name: "no signatures",
            arrange: |draft| draft.keys.clear(),
            fault: |name| Fault::NoSignatures { role: role(name) },
        },
        Wrong {
            name: "signatures null",
            arrange: |draft| alter(draft, |file| file["signatures"] = json!(null)),
            fault: |name| Fault::NoSignatures { role: role(name) },
        },
        Wrong {
            name: "signatures not there",
            arrange: |draft| {
                alter(draft, |file| drop(file.as_object_mut().unwrap().remove("signatures")));
            },
            fault: |name| Fault::NoSignatures { role: role(name) },
        },
        Wrong {
            name: "signature not base64",
            arrange: |draft| alter(draft, |file| file["signatures"][0]["sig"] = json!("-")),
            fault: |role| malformed(role, "a signature is not base64"),
        },
        Wrong {
            name: "signature without method",
            arrange: |draft| alter(draft, |file| file["signatures"][0] = json!({"keyid": ""})),
            fault: |role| malformed(role, "a signature lacks a part"),
        },
    ]);
}

#[test]
fn headers() {
    run(&[
        Wrong {
            name: "expired",
            arrange: |draft| draft.signed["expires"] = json!("2026-11-30T23:59:59.999999999Z"),
            fault: |role| expired(role, "2026-11-30T23:59:59.999999999Z"),
        },
        Wrong {
            name: "expired, by a local clock",
            arrange: |draft| draft.signed["expires"] = json!("2026-12-01T04:29:59.5+05:30"),
            fault: |role| expired(role, "2026-11-30T22:59:59.5Z"),
        },
        Wrong {
            name: "expiry date unreadable",
            arrange: |draft| draft.signed["expires"] = json!("tomorrow"),
            fault: |role| malformed(role, "it has no readable expiry date"),
        },
        Wrong {
            name: "expiry date without offset",
            arrange: |draft| draft.signed["expires"] = json!("2036-01-01T00:00:00"),
            fault: |role| malformed(role, "it has no readable expiry date"),
        },
        Wrong {
            name: "no expiry date",
            arrange: |draft| draft.signed["expires"] = json!(null),
            fault: |role| malformed(role, "it has no readable expiry date"),
        },
        Wrong {
            name: "version 0",
            arrange: |draft| draft.version(0),
            fault: |role| malformed(role, "its version is not an integer from 1 to 2^53 - 1"),
        },
        Wrong {
            name: "negative version",
            arrange: |draft| draft.signed["version"] = json!(-1),
            fault: |role| malformed(role, "its version is not an integer from 1 to 2^53 - 1"),
        },
        Wrong {
            name: "version in quotes",
            arrange: |draft| draft.signed["version"] = json!("1"),
            fault: |role| malformed(role, "its version is not an integer from 1 to 2^53 - 1"),
        },
        Wrong {
            name: "fractional version on the wire",
            arrange: |draft| draft.rewrite(r#""version":1}"#, r#""version":1.0}"#),
            fault: |role| malformed(role, "its version is not an integer from 1 to 2^53 - 1"),
        },
        Wrong {
            name: "wrong _type",
            arrange: |draft| draft.signed["_type"] = json!("Mirrors"),
            fault: |role| malformed(role, r#"its _type is "Mirrors""#),
        },
        Wrong {
            name: "_type in lower case",
            arrange: |draft| {
                let found = draft.signed["_type"].as_str().unwrap().to_lowercase();
                draft.signed["_type"] = json!(found);
            },
            fault: |name| {
                let found = if is_delegation(name) { "targets" } else { name };
                malformed(name, &format!("its _type is {found:?}"))
            },
        },
        Wrong {
            name: "no _type",
            arrange: |draft| drop(draft.signed.as_object_mut().unwrap().remove("_type")),
            fault: |role| malformed(role, r#"its _type is """#),
        },
    ]);
}

#[test]
fn form() {
    run(&[
        Wrong {
            name: "empty",
            arrange: |draft| draft.tamper(|_| String::new()),
            fault: |role| malformed(role, "EOF while parsing a value"),
        },
        Wrong {
            name: "cut off",
            arrange: |draft| draft.tamper(|text| text[..text.len() - 1].to_owned()),
            fault: |role| malformed(role, "EOF while parsing an object"),
        },
        Wrong {
            name: "an error page",
            arrange: |draft| draft.tamper(|_| "<html>".to_owned()),
            fault: |role| malformed(role, "expected value"),
        },
        Wrong {
            name: "an array",
            arrange: |draft| draft.tamper(|text| format!("[{text}]")),
            fault: |role| malformed(role, "not an object"),
        },
        Wrong {
            name: "trailing data",
            arrange: |draft| draft.tamper(|text| text + "{}"),
            fault: |role| malformed(role, "trailing characters"),
        },
        Wrong {
            name: "byte order mark",
            arrange: |draft| draft.tamper(|text| format!("\u{feff}{text}")),
            fault: |role| malformed(role, "expected value"),
        },
        Wrong {
            name: "without signed",
            arrange: |draft| alter(draft, |file| file["signed"] = json!(null)),
            fault: |role| malformed(role, r#"odd "signed""#),
        },
        Wrong {
            name: "nested deeply",
            arrange: |draft| {
                draft.signed["x"] = (0..20).fold(json!(1), |inner, _| json!([inner]));
            },
            fault: |role| malformed(role, "nested deeper than allowed"),
        },
        Wrong {
            name: "a fraction in the content",
            arrange: |draft| draft.signed["x"] = json!(0.5),
            fault: |role| malformed(role, "a number nobody can sign"),
        },
        Wrong {
            name: "a lone surrogate",
            arrange: |draft| draft.rewrite(r#""version""#, r#""\ud800":1,"version""#),
            fault: |role| malformed(role, "unexpected end of hex escape"),
        },
    ]);
}

/// Who names each file by hash.
const LISTED: [(&str, &str); 5] = [
    ("root", "snapshot"),
    ("snapshot", "timestamp"),
    ("targets", "snapshot"),
    ("targets/releases", "snapshot"),
    ("targets/jenkins", "snapshot"),
];

#[test]
fn a_file_is_the_one_its_parent_names() {
    let refused = |name, parent, what: &str, arrange: &dyn Fn(&mut Repo)| {
        let mut repo = Repo::signed_by_jenkins();
        arrange(&mut repo);
        let expected = Expected::Refused(differs(name, parent));
        (format!("{name}: {what}"), repo.update(), expected)
    };
    let relist = |repo: &mut Repo, name, parent, change: fn(&mut Value)| {
        repo.at(parent).amend(move |signed| change(&mut signed["meta"][name]));
    };
    check(LISTED.into_iter().flat_map(|(name, parent)| {
        let mut outcomes = vec![
            refused(name, parent, "a space more, which means the same", &|repo| {
                repo.at(name).swap(|text| text + " ");
            }),
            refused(name, parent, "sha256 differs, sha512 fits", &|repo| {
                relist(repo, name, parent, |meta| {
                    meta["hashes"]["sha256"] = json!(format!("{}=", "A".repeat(43)));
                });
            }),
        ];
        // That the root is the known one is seen by its SHA-256 alone.
        if name != "root" {
            outcomes.push(refused(name, parent, "sha512 differs, sha256 fits", &|repo| {
                relist(repo, name, parent, |meta| {
                    meta["hashes"]["sha512"] = json!(format!("{}==", "A".repeat(86)));
                });
            }));
            outcomes.push(refused(name, parent, "longer than announced", &|repo| {
                relist(repo, name, parent, |meta| {
                    meta["length"] = json!(meta["length"].as_u64().unwrap() - 1);
                });
            }));
        }
        outcomes
    }));
}

#[test]
fn an_announced_length_is_an_upper_bound() {
    check(LISTED.into_iter().map(|(name, parent)| {
        let mut repo = Repo::signed_by_jenkins();
        repo.at(parent).amend(move |signed| signed["meta"][name]["length"] = json!(1_u64 << 40));
        (name.to_owned(), repo.update(), Expected::Told(JENKINS))
    }));
}

#[test]
fn every_file_has_to_be_there() {
    check(ROLES.into_iter().map(|name| {
        let mut server = Repo::signed_by_jenkins().publish();
        let hash = hex(&sha256(&server.0.remove(&format!("{name}.json")).unwrap()));
        let (file, parent) = match name {
            "root" | "timestamp" => (format!("{name}.json"), Role::Root),
            "snapshot" => (format!("{name}.{hash}.json"), Role::Timestamp),
            _ => (format!("{name}.{hash}.json"), Role::Snapshot),
        };
        let expected = Expected::Refused(Fault::Missing { file, parent });
        (name.to_owned(), meet(&server, &History::default()), expected)
    }));
}

#[test]
fn what_does_not_matter_in_any_file() {
    let harmless: [(&str, Arrange); 7] = [
        ("signed by another key too", |draft| draft.keys.push(role_key("stranger"))),
        ("signed by another key first", |draft| draft.keys.insert(0, role_key("stranger"))),
        ("signed twice by the same key", |draft| draft.keys.push(draft.keys[0].clone())),
        ("spread over lines", |draft| {
            draft.tamper(|text| {
                let file: Value = serde_json::from_str(&text).unwrap();
                serde_json::to_string_pretty(&file).unwrap()
            });
        }),
        ("characters that the wire escapes", |draft| {
            draft.signed["<&>\u{2028}"] = json!({"\u{2029}": "\"\\</>", "\u{1d11e}": null});
        }),
        ("method in capitals", |draft| draft.rewrite(r#""ecdsa","sig""#, r#""ECDSA","sig""#)),
        ("a key ID that is none", |draft| {
            alter(draft, |file| {
                let other = json!({"keyid": "x", "method": "ecdsa", "sig": ""});
                file["signatures"].as_array_mut().unwrap().insert(0, other);
            });
        }),
    ];
    check(harmless.into_iter().flat_map(|(what, arrange)| {
        ROLES.into_iter().map(move |name| {
            let mut repo = Repo::signed_by_jenkins();
            arrange(repo.at(name));
            (format!("{name}: {what}"), repo.update(), Expected::Told(JENKINS))
        })
    }));
}

#[test]
fn every_form_of_expiry_date() {
    check(ROLES.into_iter().flat_map(|name| {
        [
            "2026-12-01T00:00:00Z",
            "2026-12-01T00:00:00.000000001Z",
            "2116-07-03T17:56:36.027379879-05:00",
            "2030-01-02T03:04:05.6Z",
            "2030-01-02T03:04:05.123456789+13:45",
        ]
        .map(|expires| {
            let mut repo = Repo::signed_by_jenkins();
            repo.at(name).signed["expires"] = json!(expires);
            (format!("{name}: {expires}"), repo.update(), Expected::Told(JENKINS))
        })
    }));
}
