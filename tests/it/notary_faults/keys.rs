//! Kinds of keys and signatures, key IDs, and thresholds.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use countersign::trust::notary::Fault;
use serde_json::json;

use super::{Case, Expected, below, malformed, role, run};
use crate::builder::Repo;
use crate::builder::key::{Key, name_of, paper, person, stored};

const RELEASED: &str = "targets/releases by jenkins: Releases";

/// Puts `key` in jenkins's place in `targets/jenkins`.
fn jenkins_has(repo: &mut Repo, key: &Key) {
    repo.at("targets").declare("targets/jenkins", std::slice::from_ref(key), 1, &[""]);
    repo.at("targets/jenkins").keys = vec![key.clone()];
}

/// Signs `targets/jenkins` with this key, and says who signed by the key's ID.
fn signs(key: &Key) -> Vec<String> {
    let mut repo = Repo::signed_by_jenkins();
    jenkins_has(&mut repo, key);
    let (data, _) = repo.update().unwrap();
    let claims = data.claims("1.0", crate::builder::now());
    let of_jenkins = claims.iter().filter(|claim| claim.proof.role() == "targets/jenkins");
    of_jenkins.map(|claim| claim.proof.key().id.to_string()).collect()
}

#[test]
fn every_kind_of_key_that_notary_writes() {
    let rsa = |method| Key::rsa(method);
    for (name, key) in [
        ("ecdsa", Key::ecdsa()),
        ("ecdsa-x509", Key::ecdsa().certified(&paper("x"))),
        ("rsa, PSS", rsa("rsapss")),
        ("rsa-x509, PSS", rsa("rsapss").certified(&paper("x"))),
        ("rsa, PKCS#1 v1.5", rsa("rsapkcs1v15")),
        ("rsa-x509, PKCS#1 v1.5", rsa("rsapkcs1v15").certified(&paper("x"))),
        ("ed25519", Key::ed25519()),
    ] {
        assert_eq!(signs(&key), [key.canonical_id()], "{name}");
    }
}

/// A key that only `openssl` could sign with, and the file it signed.
fn recorded(repo: &mut Repo, keytype: &str, public: &[u8], file: &'static str) {
    let listed = json!({"keytype": keytype,
        "keyval": {"private": null, "public": BASE64.encode(public)}});
    let id: serde_json::Value = serde_json::from_str(&stored(file)).unwrap();
    let id = id["signatures"][0]["keyid"].clone();
    let targets = &mut repo.at("targets").signed["delegations"];
    targets["keys"][id.as_str().unwrap()] = listed;
    targets["roles"][1]["keyids"] = json!([id]);
    repo.at("targets/jenkins").tamper(move |_| stored(file));
}

#[test]
fn signatures_made_with_openssl() {
    let p384 = std::fs::read(crate::repositories::data().join("keys/p384.pub.der")).unwrap();
    let rsa = Key::rsa("rsapss").public;
    for (name, keytype, public, file, good) in [
        ("P-384 with SHA-256, r and s padded", "ecdsa", &p384, "p384-signed.json", true),
        ("PSS with a salt of 32 bytes", "rsa", &rsa, "rsapss-salt32-signed.json", true),
        ("PSS with a salt of 20 bytes", "rsa", &rsa, "rsapss-salt20-signed.json", false),
    ] {
        let mut repo = Repo::signed_by_jenkins();
        recorded(&mut repo, keytype, public, file);
        let (data, _) = repo.update().unwrap();
        let expected = if good { None } else { Some(below("targets/jenkins", 0, 1)) };
        assert_eq!(data.left_out().next().map(|(_, fault)| fault.clone()), expected, "{name}");
    }
}

#[test]
fn keys_that_sign_nothing() {
    let unsigned = || Expected::LeftOut("targets/jenkins", below("targets/jenkins", 0, 1));
    run([
        Case {
            name: "unknown keytype",
            arrange: |repo| {
                jenkins_has(repo, &Key::ecdsa().listed_as("ecdsa-sha2-nistp256"));
            },
            expected: unsigned(),
        },
        Case {
            name: "certificate listed as a bare key",
            arrange: |repo| jenkins_has(repo, &person("x").listed_as("ecdsa")),
            expected: unsigned(),
        },
        Case {
            name: "EC certificate listed as an RSA one",
            arrange: |repo| jenkins_has(repo, &person("x").listed_as("rsa-x509")),
            expected: unsigned(),
        },
        Case {
            name: "EC key listed as Ed25519",
            arrange: |repo| jenkins_has(repo, &Key::ecdsa().listed_as("ed25519")),
            expected: unsigned(),
        },
        Case {
            name: "no certificate in the PEM",
            arrange: |repo| jenkins_has(repo, &Key::ecdsa().with_pem("jenkins")),
            expected: unsigned(),
        },
        Case {
            name: "bytes after the public key",
            arrange: |repo| {
                let mut key = Key::ecdsa();
                key.public.push(0);
                jenkins_has(repo, &key);
            },
            expected: unsigned(),
        },
    ]);
}

#[test]
fn keys_that_condemn() {
    run([
        Case {
            name: "delegation certificate signed with SHA-1",
            arrange: |repo| jenkins_has(repo, &Key::sha1_certified()),
            expected: Expected::Refused(Fault::WeakKey {
                role: role("targets/jenkins"),
                why: "its certificate is signed with a broken hash (SHA-1 or MD5)",
            }),
        },
        Case {
            name: "delegation certificate with an RSA modulus of 1024 bits",
            arrange: |repo| {
                let weak = Key::rsa("rsapss").with_pem(&stored("rsa1024.cert.pem"));
                jenkins_has(repo, &weak);
            },
            expected: Expected::Refused(Fault::WeakKey {
                role: role("targets/jenkins"),
                why: "its RSA modulus is shorter than 2048 bits",
            }),
        },
        Case {
            name: "key ID not 64 hex digits",
            arrange: |repo| repo.at("targets").signed["delegations"]["keys"]["x"] = json!({}),
            expected: Expected::Refused(malformed("targets", r#""x" is no key ID"#)),
        },
        Case {
            name: "key without public part",
            arrange: |repo| {
                let id = person("jenkins").id();
                repo.at("targets").signed["delegations"]["keys"][id]["keyval"] = json!({});
            },
            expected: Expected::Refused(malformed("targets", "a key has no keyval.public")),
        },
        Case {
            name: "key not base64",
            arrange: |repo| {
                let id = person("jenkins").id();
                repo.at("targets").signed["delegations"]["keys"][id]["keyval"]["public"] =
                    json!("*");
            },
            expected: Expected::Refused(malformed("targets", "a key is not base64")),
        },
    ]);
}

/// Whoever declares a key under another's ID would have it count as the other's.
#[test]
fn a_key_has_its_own_id() {
    let listed = "00".repeat(32);
    for (name, parent) in
        [("timestamp", "root"), ("targets", "root"), ("targets/jenkins", "targets")]
    {
        let mut repo = Repo::signed_by_jenkins();
        let (own, other) = (repo.at(name).keys[0].id(), listed.clone());
        let signed = repo.at(parent).signed.to_string().replace(&own, &other);
        repo.at(parent).signed = serde_json::from_str(&signed).unwrap();
        let other = listed.clone();
        repo.at(name).tamper(move |text| text.replace(&own, &other));
        // The same key signs `targets/releases`, under its own ID, which nobody lists.
        if name == "targets/jenkins" {
            repo.at("targets/releases").listed = false;
        }
        let expected = Fault::KeyId { role: role(name), listed: listed.parse().unwrap() };
        assert_eq!(repo.update().unwrap_err(), expected, "{name}");
    }
}

/// Declares `targets/jenkins` with these keys and threshold; `signers` sign it.
fn jenkins_needs(repo: &mut Repo, threshold: u64, keys: &[Key], signers: &[Key]) {
    repo.at("targets").declare("targets/jenkins", keys, threshold, &[""]);
    repo.at("targets/jenkins").keys = signers.to_vec();
}

#[test]
fn thresholds() {
    let below_two = || Expected::LeftOut("targets/jenkins", below("targets/jenkins", 1, 2));
    run([
        Case {
            name: "two of two keys",
            arrange: |repo| {
                let both = [person("jenkins"), person("moby")];
                jenkins_needs(repo, 2, &both, &both);
                // Claims go by key ID, which differs from run to run; one is enough here.
                repo.at("targets/jenkins").signed["targets"] = json!({});
            },
            expected: Expected::Told(&[RELEASED]),
        },
        Case {
            name: "one of two keys",
            arrange: |repo| {
                let both = [person("jenkins"), person("moby")];
                jenkins_needs(repo, 2, &both, &both[..1]);
            },
            expected: below_two(),
        },
        Case {
            name: "one of two keys, twice",
            arrange: |repo| {
                let (jenkins, moby) = (person("jenkins"), person("moby"));
                jenkins_needs(repo, 2, &[jenkins.clone(), moby], &[jenkins.clone(), jenkins]);
            },
            expected: below_two(),
        },
        Case {
            name: "one of two keys, and a stranger",
            arrange: |repo| {
                let (jenkins, moby) = (person("jenkins"), person("moby"));
                jenkins_needs(repo, 2, &[jenkins.clone(), moby], &[jenkins, person("mallory")]);
            },
            expected: below_two(),
        },
        Case {
            // Notary counts key IDs, and accepts this.
            name: "two certificates of one private key",
            arrange: |repo| {
                let jenkins = person("jenkins");
                let renewed = [jenkins.certified(&paper("jenkins")), jenkins];
                jenkins_needs(repo, 2, &renewed, &renewed);
            },
            expected: below_two(),
        },
        Case {
            name: "a certificate and the bare key in it",
            arrange: |repo| {
                let both = [person("jenkins"), person("jenkins").bare()];
                jenkins_needs(repo, 2, &both, &both);
            },
            expected: below_two(),
        },
        Case {
            name: "one key listed twice",
            arrange: |repo| {
                let both = [person("jenkins"), person("jenkins")];
                jenkins_needs(repo, 2, &both, &both);
            },
            expected: below_two(),
        },
        Case {
            name: "more than there are keys",
            arrange: |repo| {
                jenkins_needs(repo, 9, &[person("jenkins")], &[person("jenkins")]);
            },
            expected: Expected::LeftOut("targets/jenkins", below("targets/jenkins", 1, 9)),
        },
        Case {
            name: "zero",
            arrange: |repo| repo.at("targets").declared("targets/jenkins")["threshold"] = json!(0),
            expected: Expected::Refused(malformed(
                "targets",
                "targets/jenkins has no threshold of at least 1",
            )),
        },
        Case {
            name: "negative",
            arrange: |repo| repo.at("targets").declared("targets/jenkins")["threshold"] = json!(-1),
            expected: Expected::Refused(malformed(
                "targets",
                "targets/jenkins has no threshold of at least 1",
            )),
        },
        Case {
            name: "of a base role: zero",
            arrange: |repo| repo.at("root").signed["roles"]["timestamp"]["threshold"] = json!(0),
            expected: Expected::Refused(malformed(
                "root",
                "timestamp has no threshold of at least 1",
            )),
        },
        Case {
            name: "of a base role: two, met by one",
            arrange: |repo| repo.at("root").signed["roles"]["targets"]["threshold"] = json!(2),
            expected: Expected::Refused(below("targets", 1, 2)),
        },
    ]);
}

#[test]
fn two_of_two_keys_both_vouch() {
    let mut repo = Repo::signed_by_jenkins();
    let both = [person("jenkins"), person("moby")];
    jenkins_needs(&mut repo, 2, &both, &both);
    let (data, _) = repo.update().unwrap();
    let claims = data.claims("1.0", crate::builder::now());
    let mut names: Vec<_> = claims
        .iter()
        .filter(|claim| claim.proof.role() == "targets/jenkins" && claim.objection.is_none())
        .map(|claim| name_of(&claim.proof.key().id.to_string()))
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["jenkins", "moby"]);
}

#[test]
fn lists_of_key_ids() {
    run([
        Case {
            name: "null, as after the removal of the last key",
            arrange: |repo| {
                repo.at("targets").declared("targets/jenkins")["keyids"] = json!(null);
            },
            expected: Expected::LeftOut("targets/jenkins", below("targets/jenkins", 0, 1)),
        },
        Case {
            name: "empty",
            arrange: |repo| repo.at("targets").declared("targets/jenkins")["keyids"] = json!([]),
            expected: Expected::LeftOut("targets/jenkins", below("targets/jenkins", 0, 1)),
        },
        Case {
            name: "a key that is not there",
            arrange: |repo| {
                repo.at("targets").declared("targets/jenkins")["keyids"] = json!(["11".repeat(32)]);
            },
            expected: Expected::Refused(malformed(
                "targets",
                "targets/jenkins lists the key 1111111111111111111111111111111111111111111111111\
                 111111111111111, which is not there",
            )),
        },
        Case {
            name: "of a base role: a key that is not there",
            arrange: |repo| {
                repo.at("root").signed["roles"]["snapshot"]["keyids"] = json!(["11".repeat(32)]);
            },
            expected: Expected::Refused(malformed("root", "snapshot lists the key 11111111")),
        },
        Case {
            name: "of a base role: null",
            arrange: |repo| repo.at("root").signed["roles"]["timestamp"]["keyids"] = json!(null),
            expected: Expected::Refused(below("timestamp", 0, 1)),
        },
        Case {
            name: "not strings",
            arrange: |repo| repo.at("targets").declared("targets/jenkins")["keyids"] = json!([1]),
            expected: Expected::Refused(malformed("targets", r#"odd "keyids""#)),
        },
    ]);
}
