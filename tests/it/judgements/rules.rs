//! What counts for which repository, and what is let pass while a policy is rolled out.

use std::sync::Arc;

use countersign::image::{ImageId, Repository};
use countersign::policy::{
    Evidence, Gap, Grant, Held, HeldImage, Host, Leave, Plan, Policy, Reason, Refusal, Subject,
    Verdict, judge, lenient, lenient_unseen, plan, rule,
};
use countersign::request::{self, HostAccess, Intent, Permission};

use super::{digest, gun, missing, policy, said};
use crate::builder::key::person;
use crate::builder::{A, GUN, Repo, now};

const PROD: &str = "registry.example/prod/app";

/// The verdict that stands.
pub(super) fn decide(policy: &Policy, subject: &Subject, evidence: &Evidence) -> Verdict {
    let verdict = judge(policy, subject, evidence, now());
    lenient(policy, subject, evidence, verdict, now())
}

/// An image with one digest, held under a name and known from repositories.
pub(super) fn held(called: &str, image: [u8; 32], names: &[&str]) -> Held {
    Held::Image(HeldImage {
        id: ImageId(digest([0x1d; 32])),
        digests: vec![digest([0x1d; 32]), digest(image)],
        names: names.iter().map(|name| name.parse().unwrap()).collect(),
        called: called.to_owned(),
        id_is_config: true,
        architecture: "amd64".to_owned(),
    })
}

pub(super) fn container() -> Subject {
    Subject::Container("c1".to_owned())
}

fn section(repository: &str, says: &str) -> String {
    format!("[[rules]]\nrepository = \"{repository}\"\n{says}\n")
}

/// jenkins, and moby if asked for, signed 1.0.
fn signed(by_moby_too: bool) -> Repo {
    let mut repo = Repo::signed_by_jenkins();
    if by_moby_too {
        repo.at("targets/moby").listed = true;
        repo.at("targets/moby").keys = vec![person("moby")];
        repo.at("targets/moby").tag("1.0", A);
    }
    repo
}

/// The trust data of a lax repository, and none or the same signer's of the strict one.
fn trust(by_moby_too: bool, prod: bool) -> Evidence {
    let repo = signed(by_moby_too);
    let (lax, _) = repo.update().unwrap();
    let strict: Repository = PROD.parse().unwrap();
    let strict = if prod {
        (strict, Ok(Arc::new(repo.of(PROD).update_of(PROD).unwrap().0)))
    } else {
        (strict, Err(Gap::NoTrustData))
    };
    Evidence { trust: vec![(gun(), Ok(Arc::new(lax))), strict], ..Evidence::default() }
}

/// An image that a lax repository proves does not run under a strict one's name.
#[test]
fn a_name_promises_what_its_rule_demands() {
    let rules = section("registry.example/prod/**", r#"require_signature_from = ["CI", "dev"]"#)
        + &section(GUN, "require_signature_from = []");
    let policy = policy(r#""CI""#, &rules);
    let evil = format!("evil.example/{PROD}:1.0");
    let (lax, strict) = (format!("{GUN}:1.0"), format!("{PROD}:1.0"));
    let short = r#"signature-missing ["dev"]"#;
    for (what, called, by_moby, in_prod, expected) in [
        ("by the lax name", lax.as_str(), false, false, "signed"),
        ("by its ID", "sha256:1d1d", false, false, "signed"),
        ("by a local name", "mine:1", false, false, "signed"),
        ("by the strict name", &strict, false, false, short),
        ("by the strict name, by digest", &format!("{PROD}@{}", digest(A)), false, false, short),
        ("by the strict name, and in it", &strict, false, true, short),
        ("by the strict name, with all signatures", &strict, true, false, "signed"),
        ("by the strict name, with all signatures in it", &strict, true, true, "signed"),
        ("a strict name within a path", &evil, false, false, "signed"),
    ] {
        let evidence = Evidence { held: held(called, A, &[GUN, PROD]), ..trust(by_moby, in_prod) };
        let image = called.parse().unwrap_or_else(|_| GUN.parse().unwrap());
        let create = Subject::Create { written: called.to_owned(), image };
        let tag = Subject::Tag { written: called.to_owned(), name: gun() };
        for subject in [create, tag, container()] {
            let verdict = decide(&policy, &subject, &evidence);
            assert_eq!(missing(&verdict), expected, "{what}: {subject:?}");
        }
    }

    // Nor does it get such a name.
    let evidence = Evidence { held: held(&lax, A, &[GUN]), ..trust(false, false) };
    let name: Repository = PROD.parse().unwrap();
    let tag = Subject::Tag { written: lax.clone(), name };
    assert_eq!(missing(&decide(&policy, &tag, &evidence)), short);

    // The one who reads the refusal learns whose demand it is.
    let evidence = Evidence { held: held(&strict, A, &[GUN]), ..trust(false, false) };
    let said = said(&decide(&policy, &container(), &evidence));
    let line = format!(
        "  missing: a signature on {GUN}:1.0 by a member of team dev (moby), since it is to run \
         as {strict}"
    );
    assert_eq!(said.lines().nth(1), Some(line.as_str()));
}

#[test]
fn the_most_specific_rule_counts_and_what_it_leaves_out_is_the_policys() {
    let all = section("registry.example/**", r#"require_signature_from = ["dev"]"#);
    let own = |says: &str| section(GUN, says);
    let below = section(
        "evil.example/registry.example/**",
        "require_signature_from = []\nmode = \"audit\"",
    );
    let dev = r#"signature-missing ["dev"]"#;
    for (what, rules, expected) in [
        ("no rule", String::new(), "signed"),
        ("a wider one", all.clone(), dev),
        ("its own, after a wider one", all.clone() + &own(r#"require_signature_from = ["CI"]"#), {
            "signed"
        }),
        ("its own, before a wider one", own(r#"require_signature_from = ["CI"]"#) + &all, "signed"),
        ("its own, which says nothing of it", all.clone() + &own("allow_host_access = true"), dev),
        ("its own, and any known user", all + &own("require_signature_from = []"), "signed"),
        ("one for a namesake", below, "signed"),
        ("teams of which one is missing", own(r#"require_signature_from = ["CI", "dev"]"#), dev),
    ] {
        let policy = policy(r#""CI""#, &rules);
        let subject = Subject::Name(format!("{GUN}:1.0").parse().unwrap());
        let verdict = decide(&policy, &subject, &trust(false, false));
        assert_eq!(missing(&verdict), expected, "{what}");
    }
}

/// What `mode` makes of refusals, by whose names are in question.
#[test]
fn audit_lets_pass_where_all_whose_rules_count_audit() {
    let (whole, prod_enforced) = (
        "mode = \"audit\"\n".to_owned(),
        section("registry.example/prod/**", "mode = \"enforce\""),
    );
    let team_audited = section("registry.example/team/**", "mode = \"audit\"");
    let evil = section("evil.example/registry.example/**", "mode = \"audit\"");
    let both = whole.clone() + &prod_enforced;
    let (team, prod) = (format!("{GUN}:9"), format!("{PROD}:9"));
    let b = [0xbb; 32];
    let audit_team = "audit of registry.example/team/**";
    for (what, more, called, names, expected) in [
        ("enforced", "", &*team, &[GUN][..], "not-signed"),
        ("all audited", &whole, &team, &[GUN], "audit"),
        ("all audited, by its ID", &whole, "sha256:1d1d", &[], "audit"),
        ("a rule enforces", &both, &prod, &[PROD], "not-signed"),
        ("a rule enforces others", &both, &team, &[GUN], "audit"),
        ("a rule enforces one of its names", &both, "mine:1", &[GUN, PROD], "not-signed"),
        ("a rule enforces, by its ID", &both, "sha256:1d1d", &[PROD], "not-signed"),
        ("a rule audits", &team_audited, &team, &[GUN], audit_team),
        ("a rule audits, by its ID", &team_audited, "sha256:1d1d", &[GUN], audit_team),
        ("a rule audits others", &team_audited, &prod, &[GUN], "not-signed"),
        ("a rule audits one of its names", &team_audited, "mine:1", &[GUN, PROD], "not-signed"),
        ("a rule audits, of no known name", &team_audited, "mine:1", &[], "not-signed"),
        ("a rule for a namesake audits", &evil, &team, &[GUN], "not-signed"),
    ] {
        let policy = policy("", more);
        let evidence = Evidence { held: held(called, b, names), ..trust(false, false) };
        let verdict = decide(&policy, &container(), &evidence);
        assert_eq!(left(&verdict), expected, "{what}");
        // What would be told is told.
        assert_eq!(verdict.refused().map(|refusal| refusal.reason().code()), Some("not-signed"));
    }
}

/// The code; for an audit, by which rule.
fn left(verdict: &Verdict) -> String {
    match verdict.leave() {
        Some(Leave::Audit { rule: Some(rule) }) => format!("audit of {rule}"),
        _ => verdict.code().to_owned(),
    }
}

/// A name whose rule audits is given to nothing that some other rule enforces.
#[test]
fn audit_gives_no_names_away() {
    let policy = policy("", &section("registry.example/team/**", "mode = \"audit\""));
    let b = [0xbb; 32];
    for (what, written, names, expected) in [
        ("its own", format!("{GUN}:9"), &[GUN][..], "audit of registry.example/team/**"),
        ("an enforced one's", format!("{PROD}:9"), &[PROD], "not-signed"),
        ("of an image of no name", "sha256:1d1d".to_owned(), &[], "not-signed"),
        ("of an image of a local name", "mine:1".to_owned(), &[], "not-signed"),
    ] {
        let evidence = Evidence { held: held(&written, b, names), ..trust(false, false) };
        let subject = Subject::Tag { written, name: gun() };
        assert_eq!(left(&decide(&policy, &subject, &evidence)), expected, "{what}");
    }
    let intent = |name: &str| Intent::Tag { written: "x".to_owned(), name: name.parse().unwrap() };
    let elsewhere = super::policy("", &section("elsewhere.example/**", "mode = \"audit\""));
    let planned = plan(&elsewhere, Ok(intent("elsewhere.example/app")));
    assert!(matches!(planned, Plan::Prove(..)), "a name that a rule is about is looked at");
}

/// Calls that name no repository, and those that nobody understood.
#[test]
fn what_no_rule_is_about() {
    let malformed = || Reason::Request(request::Refusal::BodyWithheld);
    let build = || Reason::NotPermitted { permission: Permission::Build, route: "/build" };
    let whole = "mode = \"audit\"\n";
    let prod_enforced =
        whole.to_owned() + &section("registry.example/prod/**", "mode = \"enforce\"");
    let team_audited = section("registry.example/team/**", "mode = \"audit\"");
    for (more, reason, passes) in [
        ("", build(), false),
        ("", malformed(), false),
        (whole, build(), true),
        (whole, malformed(), true),
        (whole, Reason::Internal, true),
        (whole, Reason::Engine { cause: "x".to_owned() }, true),
        // Each of these could be a call that the rule enforces.
        (&prod_enforced, malformed(), false),
        (&prod_enforced, Reason::Internal, false),
        (&prod_enforced, Reason::Message { fault: "x".to_owned() }, false),
        (&prod_enforced, build(), true),
        (&team_audited, build(), false),
        (&team_audited, malformed(), false),
    ] {
        let what = format!("{more} {reason:?}");
        let verdict = lenient_unseen(&policy("", more), Verdict::Deny(Refusal::new(reason)));
        assert_eq!(verdict.is_allow(), passes, "{what}");
    }
    let engine_away = Held::Unknown("away".to_owned());
    for (more, subject, passes) in [
        (whole, container(), true),
        (&prod_enforced, container(), false),
        (&team_audited, container(), false),
    ] {
        let evidence = Evidence { held: engine_away.clone(), ..Evidence::default() };
        let verdict = decide(&policy("", more), &subject, &evidence);
        assert_eq!(verdict.is_allow(), passes, "{more} {subject:?}");
    }
}

/// Access to the host is let pass where all that prove the image audit.
#[test]
fn audit_of_access_to_the_host() {
    let host = Host { asked: vec![HostAccess::Privileged], ..Host::default() };
    let team = section("registry.example/team/**", "mode = \"audit\"");
    let prod = section("registry.example/prod/**", "mode = \"audit\"");
    for (what, more, called, expected) in [
        ("enforced", String::new(), format!("{GUN}:1.0"), "host-access"),
        ("by the name that audits", team.clone(), format!("{GUN}:1.0"), "audit"),
        ("by the name that enforces", team.clone(), format!("{PROD}:1.0"), "host-access"),
        ("by another name", team.clone(), "mine:1".to_owned(), "host-access"),
        ("by another name, all audit", team + &prod, "mine:1".to_owned(), "audit"),
        ("all audited", "mode = \"audit\"\n".to_owned(), "mine:1".to_owned(), "audit"),
    ] {
        for turned in [false, true] {
            let held = held(&called, A, &[GUN, PROD]);
            let mut evidence = Evidence { held, host: host.clone(), ..trust(false, true) };
            if turned {
                evidence.trust.reverse();
            }
            let verdict = decide(&policy("", &more), &container(), &evidence);
            assert_eq!(verdict.code(), expected, "{what} {turned}");
        }
    }
    let volume = Evidence { host, ..Evidence::default() };
    for (more, code) in [("", "host-access"), ("mode = \"audit\"\n", "audit")] {
        assert_eq!(decide(&policy("", more), &Subject::Volume, &volume).code(), code);
    }
}

#[test]
fn the_rule_that_counted_is_told() {
    let host = "allow_host_access = false";
    let rules =
        section("registry.example/prod/**", host) + &section("registry.example/team/*", host);
    let policy = policy("", &rules);
    for (called, expected) in [
        (format!("{GUN}:1.0"), "registry.example/team/*"),
        (format!("{PROD}:1.0"), "registry.example/team/*"),
        ("mine:1".to_owned(), "registry.example/team/*"),
    ] {
        let evidence = Evidence { held: held(&called, A, &[GUN]), ..trust(false, false) };
        let verdict = decide(&policy, &container(), &evidence);
        assert!(matches!(verdict, Verdict::Allow(Grant::Proven { .. })), "{called}");
        let told = rule(&policy, &container(), &evidence, &verdict).map(ToString::to_string);
        assert_eq!(told.as_deref(), Some(expected), "{called}");
    }
    let evidence =
        Evidence { held: held(&format!("{PROD}:9"), [9; 32], &[]), ..trust(false, false) };
    let refused = decide(&policy, &container(), &evidence);
    let told = rule(&policy, &container(), &evidence, &refused).map(ToString::to_string);
    assert_eq!(told.as_deref(), Some("registry.example/prod/**"));
}
