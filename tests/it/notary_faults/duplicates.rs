//! Members that stand twice. Go's JSON lets the last of two win when Notary verifies a
//! file, and merges the two when it uses it; so what was signed is not what is read.

use super::{Expected, JENKINS, check, malformed};
use crate::builder::Repo;

/// A member put in front of one of the same name: file, the text in front of which it is
/// put, the member, its name.
const DUPLICATES: [(&str, &str, &str, &str); 26] = [
    ("root", r#""signed""#, r#""signed":{},"#, "signed"),
    ("root", r#""_type""#, r#""_type":"Root","#, "_type"),
    ("root", r#""keys""#, r#""keys":{},"#, "keys"),
    ("root", r#""keytype""#, r#""keytype":"rsa","#, "keytype"),
    ("root", r#""private""#, r#""private":null,"#, "private"),
    ("root", r#""public""#, r#""public":"","#, "public"),
    ("root", r#""roles""#, r#""roles":{},"#, "roles"),
    ("root", r#""root""#, r#""root":{},"#, "root"),
    ("root", r#""threshold""#, r#""threshold":1,"#, "threshold"),
    ("timestamp", r#""signatures""#, r#""signatures":[],"#, "signatures"),
    ("timestamp", r#""expires""#, r#""expires":"2099-01-01T00:00:00Z","#, "expires"),
    ("timestamp", r#""meta""#, r#""meta":{},"#, "meta"),
    ("timestamp", r#""version""#, r#""version":9,"#, "version"),
    ("snapshot", r#""meta""#, r#""meta":{"targets/evil":{}},"#, "meta"),
    ("snapshot", r#""root":{"#, r#""root":{},"#, "root"),
    ("snapshot", r#""hashes""#, r#""hashes":{},"#, "hashes"),
    ("snapshot", r#""sha256""#, r#""sha256":"","#, "sha256"),
    ("snapshot", r#""length""#, r#""length":9,"#, "length"),
    ("targets", r#""delegations""#, r#""delegations":{"keys":{}},"#, "delegations"),
    ("targets", r#""name""#, r#""name":"targets/evil","#, "name"),
    ("targets", r#""paths""#, r#""paths":[""],"#, "paths"),
    ("targets/jenkins", r#""1.0""#, r#""1.0":{},"#, "1.0"),
    ("targets/jenkins", r#""version""#, r#""v\u0065rsion":9,"#, "version"),
    ("targets/jenkins", r#""keyid""#, r#""keyid":"","#, "keyid"),
    ("targets/jenkins", r#""method""#, r#""method":"","#, "method"),
    ("targets/jenkins", r#""sig":"#, r#""sig":"","#, "sig"),
];

#[test]
fn no_member_stands_twice_at_any_level() {
    check(DUPLICATES.into_iter().map(|(role, before, member, name)| {
        let mut repo = Repo::signed_by_jenkins();
        repo.at(role).tamper(move |text| {
            assert!(text.contains(before), "no {before} in {text}");
            text.replacen(before, &format!("{member}{before}"), 1)
        });
        let fault = malformed(role, &format!("the member {name:?} stands twice"));
        (format!("{role}: {member}"), repo.update(), Expected::Refused(fault))
    }));
}

/// What a server's own keys allowed with Notary: `evil` shows as signed by jenkins.
#[test]
fn targets_put_in_front_of_the_signed_ones_are_not_merged() {
    let evil = r#""targets":{"evil":{"hashes":{"sha256":"u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7s="},"length":1}},"#;
    check(["targets", "targets/releases", "targets/jenkins"].map(|role| {
        let mut repo = Repo::signed_by_jenkins();
        repo.at(role).tamper(move |text| {
            text.replacen(r#""targets":{"#, &format!(r#"{evil}"targets":{{"#), 1)
        });
        let fault = malformed(role, r#"the member "targets" stands twice"#);
        (role.to_owned(), repo.update(), Expected::Refused(fault))
    }));
}

/// Go would give `Targets` to the field `targets`; here it is another member, and was not
/// signed either.
#[test]
fn members_that_differ_in_case_are_others() {
    let mut repo = Repo::signed_by_jenkins();
    repo.at("targets/jenkins").signed["Targets"] = serde_json::json!({"1.0": {}});
    repo.at("targets").signed["Delegations"] = serde_json::json!(null);
    check([("signed".to_owned(), repo.update(), Expected::Told(JENKINS))]);
}
