//! Whose key is it, and does it count?

use countersign::policy::Verdict;
use rcgen::CertificateParams;

use super::{read, said, tag};
use crate::builder::Repo;
use crate::builder::key::{Authority, Key, expired, not_yet_valid, paper};

/// jenkins signs with `signer`; the policy lists `listed` for him.
fn with_keys(signer: &Key, listed: &[&str], more: &str) -> Verdict {
    let mut repo = Repo::signed_by_jenkins();
    repo.at("targets").declare("targets/jenkins", std::slice::from_ref(signer), 1, &[""]);
    repo.at("targets/jenkins").keys = vec![signer.clone()];
    let listed: Vec<_> = listed.iter().map(|pem| format!("\"\"\"{pem}\"\"\"")).collect();
    let policy =
        read("", &format!("[users.jenkins]\ncertificates = [{}]\n{more}", listed.join(", ")));
    tag(&policy, &repo, "1.0")
}

#[test]
fn keys_and_certificates_of_users() {
    let key = Key::ecdsa();
    let of = |params: CertificateParams| key.certified(&params);
    let (good, old) = (of(paper("jenkins")), of(expired(paper("jenkins"))));
    let early = of(not_yet_valid(paper("jenkins")));
    let id = good.canonical_id();
    let revoked = format!("revoked = [\"{id}\"]\n");
    let (signed, not) = ("signed".to_owned(), |why: &str| {
        format!("jenkins in targets/jenkins (key {}), {why}", &id[..12])
    });
    let gone = not("whose certificate expired on 2025-01-01 and no longer counts");
    let early_says = not("whose certificate counts from 2027-01-01 only");
    let revoked_says = not("with a key that the policy revokes");
    for (what, signer, listed, more, expected) in [
        ("the very certificate", &good, vec![good.pem()], "", &signed),
        ("another of the same key", &of(paper("x")), vec![good.pem()], "", &signed),
        ("the bare key signs", &good.bare(), vec![good.pem()], "", &signed),
        // The certificate in the trust data proves nothing; that in the policy counts.
        ("an expired one signs", &old, vec![good.pem()], "", &signed),
        ("expired", &good, vec![old.pem()], "", &gone),
        ("renewed", &good, vec![old.pem(), good.pem()], "", &signed),
        ("not valid yet", &good, vec![early.pem()], "", &early_says),
        ("expired, and not valid yet", &good, vec![old.pem(), early.pem()], "", &early_says),
        ("revoked", &good, vec![good.pem()], revoked.as_str(), &revoked_says),
        ("revoked and expired", &good, vec![old.pem()], revoked.as_str(), &revoked_says),
    ] {
        let listed: Vec<_> = listed.iter().map(String::as_str).collect();
        let said = said(&with_keys(signer, &listed, more));
        assert!(said.contains(expected), "{what}: {said}");
    }
}

/// jenkins signs with `keys`, which are all one; the policy knows people by the CAs `ca`.
fn certified(keys: &[Key], ca: &str, more: &str) -> String {
    let mut repo = Repo::signed_by_jenkins();
    repo.at("targets").declare("targets/jenkins", keys, 1, &[""]);
    repo.at("targets/jenkins").keys = keys.to_vec();
    let policy = read(
        r#""CI""#,
        &format!("users_ca = \"\"\"{ca}\"\"\"\n[teams]\nCI = [\"jenkins\"]\n{more}"),
    );
    let verdict = tag(&policy, &repo, "1.0");
    let doubt = verdict.signers().iter().find(|signer| signer.role == "targets/jenkins");
    let doubt = doubt.map(|signer| format!("{:?} {:?}", signer.user, signer.doubt));
    format!("{}: {}", verdict.code(), doubt.unwrap_or_default())
}

#[test]
fn users_known_by_their_ca() {
    let (ca, other) = (Authority::new("users CA"), Authority::new("users CA"));
    let key = Key::ecdsa();
    let issued = |params: CertificateParams| key.issued(&params, &ca, "");
    let good = issued(paper("jenkins"));
    let gone = r#"Some("jenkins") Some(Key(Expired(2025-01-01T00:00:00Z)))"#;
    let revoked = format!("[users.jenkins]\nrevoked = [\"{}\"]\n", good.canonical_id());
    for (what, keys, more, expected) in [
        ("issued by it", vec![good.clone()], "", r#"signed: Some("jenkins") None"#),
        (
            "issued by another of its name",
            vec![key.issued(&paper("jenkins"), &other, "")],
            "",
            "signature-missing: None Some(UnknownKey)",
        ),
        (
            "self-signed",
            vec![key.certified(&paper("jenkins"))],
            "",
            "signature-missing: None Some(UnknownKey)",
        ),
        ("bare key", vec![key.bare()], "", "signature-missing: None Some(UnknownKey)"),
        (
            "issued to somebody else",
            vec![issued(paper("mallory"))],
            "",
            r#"signature-missing: Some("mallory") None"#,
        ),
        ("issued to nobody", vec![issued(paper(""))], "", {
            "signature-missing: None Some(UnknownKey)"
        }),
        (
            "expired",
            vec![issued(expired(paper("jenkins")))],
            "",
            &format!("signature-missing: {gone}"),
        ),
        (
            "not valid yet",
            vec![issued(not_yet_valid(paper("jenkins")))],
            "",
            r#"signature-missing: Some("jenkins") Some(Key(NotYet(2027-01-01T00:00:00Z)))"#,
        ),
        (
            "revoked",
            vec![good.clone()],
            revoked.as_str(),
            r#"signature-missing: Some("jenkins") Some(Key(Revoked))"#,
        ),
        (
            "renewed, the old one first",
            vec![issued(expired(paper("jenkins"))), good.clone()],
            "",
            r#"signed: Some("jenkins") None"#,
        ),
        (
            "renewed, the new one first",
            vec![good.clone(), issued(expired(paper("jenkins")))],
            "",
            r#"signed: Some("jenkins") None"#,
        ),
        (
            "beside the bare key",
            vec![key.bare(), good.clone()],
            "",
            r#"signed: Some("jenkins") None"#,
        ),
        (
            "behind one of another CA",
            vec![key.issued(&paper("jenkins"), &other, ""), good.clone()],
            "",
            r#"signed: Some("jenkins") None"#,
        ),
    ] {
        assert_eq!(certified(&keys, &ca.pem(), more), expected, "{what}");
    }
}

#[test]
fn a_ca_of_users_that_was_renewed() {
    let ca = Authority::new("users CA");
    let keys = [Key::ecdsa().issued(&paper("jenkins"), &ca, "")];
    let (new, old) = (ca.pem(), ca.expired_pem());
    for (pem, code) in [
        (old.clone(), "signature-missing"),
        (format!("{old}{new}"), "signed"),
        (format!("{new}{old}"), "signed"),
    ] {
        let told = certified(&keys, &pem, "");
        assert_eq!(told.split(':').next(), Some(code), "{told}");
    }
}
