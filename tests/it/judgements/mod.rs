//! Policies on built repositories: who has to have signed, who did, and what is said.

mod exceptions;
mod host_access;
mod images;
mod messages;
mod people;
mod platforms;
mod rules;

use std::sync::Arc;

use countersign::image::{Digest, Repository};
use countersign::policy::{Evidence, Policy, Subject, Verdict, judge};
use serde_json::json;

use crate::builder::key::person;
use crate::builder::{A, B, GUN, Repo, now};

/// A policy of the users jenkins (team CI) and moby (team dev), and what a test adds.
fn policy(teams: &str, more: &str) -> Policy {
    let (jenkins, moby) = (person("jenkins").pem(), person("moby").pem());
    let text = format!(
        r#"{more}
[[registries]]
host_address = "registry.example"

[teams]
CI = ["jenkins"]
dev = ["moby"]
all = ["jenkins", "moby"]

[users.jenkins]
certificates = ["""{jenkins}"""]

[users.moby]
certificates = ["""{moby}"""]
"#
    );
    read(teams, &text)
}

fn read(teams: &str, rest: &str) -> Policy {
    let text = format!(
        "[trust_configuration]\nrequire_content_trust = true\n\
         require_signature_from = [{teams}]\n{rest}"
    );
    let nothing = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
    Policy::from_toml(&text, &nothing).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// jenkins signed 1.0 and moby 2.0; both were released by whoever signed.
fn both() -> Repo {
    let mut repo = Repo::signed_by_jenkins();
    repo.at("targets/releases").tag("2.0", B);
    repo.at("targets/moby").listed = true;
    repo.at("targets/moby").tag("2.0", B);
    repo
}

fn evidence(repo: &Repo) -> Evidence {
    let (data, _) = repo.update().unwrap();
    Evidence { trust: vec![(gun(), Ok(Arc::new(data)))], ..Evidence::default() }
}

fn gun() -> Repository {
    GUN.parse().unwrap()
}

fn name(rest: &str) -> Subject {
    Subject::Name(format!("{GUN}{rest}").parse().unwrap())
}

fn tag(policy: &Policy, repo: &Repo, tag: &str) -> Verdict {
    judge(policy, &name(&format!(":{tag}")), &evidence(repo), now())
}

fn digest(bytes: [u8; 32]) -> Digest {
    Digest::from_bytes(bytes)
}

/// `signed`, or the whole refusal.
fn said(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Allow(_) => verdict.code().to_owned(),
        Verdict::Deny(refusal) => refusal.to_string(),
    }
}

/// `signed`, or what is missing: the teams of which nobody signed.
fn missing(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Allow(_) => verdict.code().to_owned(),
        Verdict::Deny(_) => format!("{} {:?}", verdict.code(), verdict.missing_teams()),
    }
}

#[test]
fn teams() {
    let by_jenkins = Repo::signed_by_jenkins;
    for (what, teams, repo, tagged, expected) in [
        ("no team: any known user", "", by_jenkins(), "1.0", "signed"),
        ("the signer's team", r#""CI""#, by_jenkins(), "1.0", "signed"),
        ("another team", r#""dev""#, by_jenkins(), "1.0", r#"signature-missing ["dev"]"#),
        ("the signer in every team", r#""CI", "all""#, by_jenkins(), "1.0", "signed"),
        ("one team of two", r#""CI", "dev""#, by_jenkins(), "1.0", r#"signature-missing ["dev"]"#),
        ("another signer's tag", r#""CI""#, both(), "2.0", r#"signature-missing ["CI"]"#),
        (
            "each team's signer",
            r#""CI", "dev""#,
            {
                let mut repo = both();
                repo.at("targets/moby").tag("1.0", A);
                repo
            },
            "1.0",
            "signed",
        ),
        (
            "two signers, another digest",
            r#""CI", "dev""#,
            {
                let mut repo = both();
                repo.at("targets/moby").tag("1.0", B);
                repo
            },
            "1.0",
            r#"signature-missing ["dev"]"#,
        ),
        (
            "released as another digest than signed",
            r#""CI""#,
            {
                let mut repo = by_jenkins();
                repo.at("targets/releases").tag("1.0", B);
                repo
            },
            "1.0",
            r#"signature-missing ["CI"]"#,
        ),
        (
            "signed and not released",
            "",
            {
                let mut repo = by_jenkins();
                repo.at("targets/releases").signed["targets"] = json!({});
                repo
            },
            "1.0",
            "not-signed []",
        ),
        (
            "released and not signed",
            "",
            {
                let mut repo = by_jenkins();
                repo.at("targets/jenkins").signed["targets"] = json!({});
                repo
            },
            "1.0",
            "signature-missing []",
        ),
        ("signed by the owner alone", "", Repo::plain(), "1.0", "signature-missing []"),
        (
            "signed by a shared role",
            "",
            {
                let mut repo = by_jenkins();
                repo.delegate("targets/qa", &[person("moby"), person("jenkins")], &[""]);
                repo.at("targets/jenkins").listed = false;
                repo.at("targets/qa").keys = vec![person("jenkins")];
                repo.at("targets/qa").tag("1.0", A);
                repo
            },
            "1.0",
            "signed",
        ),
        (
            "listed in a shared role, where another signed",
            r#""dev""#,
            {
                let mut repo = by_jenkins();
                repo.delegate("targets/qa", &[person("moby"), person("jenkins")], &[""]);
                repo.at("targets/qa").keys = vec![person("jenkins")];
                repo.at("targets/qa").tag("1.0", A);
                repo
            },
            "1.0",
            r#"signature-missing ["dev"]"#,
        ),
        ("no such tag", "", by_jenkins(), "3.0", "not-signed []"),
    ] {
        assert_eq!(missing(&tag(&policy(teams, ""), &repo, tagged)), expected, "{what}");
    }
}

#[test]
fn nested_delegations_count_where_the_policy_says_so() {
    let mut repo = Repo::signed_by_jenkins();
    repo.at("targets/jenkins").signed["targets"] = json!({});
    repo.delegate("targets/jenkins/nightly", &[person("moby")], &[""]);
    repo.at("targets/jenkins/nightly").tag("1.0", A);
    let strict = tag(&policy(r#""dev""#, ""), &repo, "1.0");
    assert_eq!(missing(&strict), r#"signature-missing ["dev"]"#);
    let lenient = policy(r#""dev""#, "count_nested_delegations = true\n");
    assert_eq!(missing(&tag(&lenient, &repo, "1.0")), "signed");
}

/// Word for word, since people search for them.
#[test]
fn a_refusal_says_who_is_missing_and_who_signed() {
    let moby = person("moby").pem();
    let stranger = read("", &format!("[users.moby]\ncertificates = [\"\"\"{moby}\"\"\"]\n"));
    let id = person("jenkins").canonical_id();
    let owner = crate::builder::key::role_key("targets").canonical_id();
    let short = &id[..12];
    for (what, verdict, missing, signed_by) in [
        (
            "a known user of another team",
            tag(&policy(r#""dev""#, ""), &both(), "1.0"),
            format!("a signature on {GUN}:1.0 by a member of team dev (moby)"),
            format!("jenkins (team CI, all) in targets/jenkins (key {short})"),
        ),
        (
            "an unknown key",
            tag(&stranger, &both(), "1.0"),
            format!("a signature on {GUN}:1.0 by any user that the policy knows"),
            format!("key {id} in targets/jenkins, which nobody in the policy holds"),
        ),
        (
            "the owner",
            tag(&policy(r#""CI", "dev""#, ""), &Repo::plain(), "1.0"),
            format!(
                "a signature on {GUN}:1.0 by a member of team CI (jenkins), and one of team dev \
                 (moby)"
            ),
            format!(
                "key {owner} in targets, which does not count: it is the repository's own list, \
                 not a person's"
            ),
        ),
    ] {
        let said = said(&verdict);
        let lines: Vec<_> = said.lines().take(3).collect();
        let expected = [
            "image did not meet required signing policy".to_owned(),
            format!("  missing: {missing}"),
            format!("  signed by: {signed_by}"),
        ];
        assert_eq!(lines, expected, "{what}");
    }
}
