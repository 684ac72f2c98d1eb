//! The verifier on repositories with one thing wrong, and on odd ones that are in order.
//! Every case has a name, what is done to an honest repository, and what has to come of it.

mod carried;
mod delegations;
mod duplicates;
mod every_role;
mod keys;
mod limits;
mod replays;
mod rollback;
mod roots;
mod rotation;

use countersign::trust::notary::{
    Claim, DelegationName, Fault, History, Objection, Role, RootPolicy, TrustData,
};

use crate::builder::key::name_of;
use crate::builder::{Repo, Server, now};
use crate::repositories::{Outcome, first_use};

/// A repository and what has to come of it.
struct Case {
    name: &'static str,
    arrange: fn(&mut Repo),
    expected: Expected,
}

/// What has to come of an update.
enum Expected {
    /// It is accepted, and this stands of tag 1.0: one line a claim, as [`told`] writes it.
    Told(&'static [&'static str]),
    /// It is accepted without this delegation, for this reason.
    LeftOut(&'static str, Fault),
    /// It is refused.
    Refused(Fault),
}

/// What [`Repo::signed_by_jenkins`] says of tag 1.0.
const JENKINS: &[&str] =
    &["targets/releases by jenkins: Releases", "targets/jenkins by jenkins: counts"];

/// Runs cases that start from [`Repo::signed_by_jenkins`], on a node that knows nothing.
fn run(cases: impl IntoIterator<Item = Case>) {
    check(cases.into_iter().map(|case| {
        let mut repo = Repo::signed_by_jenkins();
        (case.arrange)(&mut repo);
        (case.name.to_owned(), repo.update(), case.expected)
    }));
}

/// Holds each outcome against what is expected, and tells of all that differ.
fn check(outcomes: impl IntoIterator<Item = (String, Outcome, Expected)>) {
    let differences: Vec<_> = outcomes
        .into_iter()
        .filter_map(|(name, outcome, expected)| {
            difference(outcome, &expected).map(|difference| format!("{name}: {difference}"))
        })
        .collect();
    assert!(differences.is_empty(), "\n{}", differences.join("\n"));
}

fn difference(outcome: Outcome, expected: &Expected) -> Option<String> {
    match (outcome, expected) {
        (Ok((data, _)), Expected::Told(lines)) => {
            let told = told(&data, "1.0");
            (told != *lines).then(|| format!("says {told:?}, not {lines:?}"))
        }
        (Ok((data, _)), Expected::LeftOut(role, fault)) => {
            let left_out: Vec<_> = data.left_out().collect();
            match left_out.as_slice() {
                [(name, found)] if name.as_str() == *role && same(found, fault) => None,
                _ => Some(format!("left out {left_out:?}, not {role} for {fault:?}")),
            }
        }
        (Ok((data, _)), Expected::Refused(fault)) => {
            Some(format!("says {:?}, not refused as {fault:?}", told(&data, "1.0")))
        }
        (Err(found), Expected::Refused(fault)) => {
            (!same(&found, fault)).then(|| format!("refused as {found:?}, not {fault:?}"))
        }
        (Err(found), Expected::Told(_) | Expected::LeftOut(..)) => {
            Some(format!("refused as {found:?}"))
        }
    }
}

/// Equal, except that the JSON reader's own text goes on to say where.
fn same(found: &Fault, expected: &Fault) -> bool {
    match (found, expected) {
        (Fault::Malformed { role: found_role, what: found }, Fault::Malformed { role, what }) => {
            role == found_role && found.starts_with(what.as_str())
        }
        _ => found == expected,
    }
}

/// The claims on a tag: role, name of the key, and the objection or `counts`.
fn told(data: &TrustData, tag: &str) -> Vec<String> {
    let line = |claim: Claim| {
        let objection: Option<Objection> = claim.objection;
        let objection = objection.map_or("counts".to_owned(), |one| format!("{one:?}"));
        let key = name_of(&claim.proof.key().id.to_string());
        format!("{} by {key}: {objection}", claim.proof.role())
    };
    data.claims(tag, now()).into_iter().map(line).collect()
}

/// An update of a node that knows `history`, with trust on first use.
fn meet(server: &Server, history: &History) -> Outcome {
    server.update(history, &first_use())
}

fn pinned(pins: &[String]) -> RootPolicy {
    RootPolicy { pins: pins.iter().map(|id| id.parse().unwrap()).collect(), ..Default::default() }
}

fn role(name: &str) -> Role {
    match name {
        "root" => Role::Root,
        "timestamp" => Role::Timestamp,
        "snapshot" => Role::Snapshot,
        "targets" => Role::Targets,
        other => Role::Delegation(DelegationName::new(other).unwrap()),
    }
}

fn malformed(name: &str, what: &str) -> Fault {
    Fault::Malformed { role: role(name), what: what.to_owned() }
}

fn below(name: &str, have: usize, need: u64) -> Fault {
    Fault::Threshold { role: role(name), have, need }
}

fn expired(name: &str, at: &str) -> Fault {
    Fault::Expired { role: role(name), at: at.parse().unwrap() }
}

fn differs(name: &str, parent: &str) -> Fault {
    Fault::Hash { role: role(name), parent: role(parent) }
}

fn back(name: &str, offered: u64, seen: u64) -> Fault {
    Fault::Rollback { role: role(name), offered, seen }
}
