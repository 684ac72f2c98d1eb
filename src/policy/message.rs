//! What people read.
//!
//! The first line is the sentence they know from UCP, or one that names host and cause;
//! then at most three: what is missing, who did sign, what to do. Three sentences are
//! held word for word, since people search for them:
//! `image or trust data does not exist for REF`, `image did not meet required signing
//! policy`, `HOST must be a registered trusted registry`.

use std::fmt::{self, Write};

use super::evidence::Gap;
use super::holder::Bar;
use super::reason::{Found, Place, Reason};
use super::verdict::{Doubt, Leave, Refusal, Signer};
use crate::image::{Reference, Repository};
use crate::request::HostAccess;
use crate::trust::notary::{Fault, Objection};

/// Most signers told of.
const MAX_SIGNERS: usize = 6;
/// Most kinds of access told of.
const MAX_ACCESS: usize = 4;

impl Refusal {
    /// The first line alone, for logs.
    pub fn summary(&self) -> String {
        self.reason().sentence()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason().fmt(f)?;
        if let Some(ended) = self.ended() {
            write!(
                f,
                "\n  ended: the exception of {} for {} ended on {} ({})",
                ended.owner.escape_debug(),
                ended.of,
                ended.written_until,
                ended.reason.escape_debug()
            )?;
        }
        Ok(())
    }
}

/// Why something goes on, before the reason for which it would not.
impl fmt::Display for Leave {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Audit { rule: None } => f.write_str("mode = \"audit\" lets it pass"),
            Self::Audit { rule: Some(rule) } => {
                write!(f, "mode = \"audit\" of the rule for {rule} lets it pass")
            }
            Self::Exception(exception) => write!(
                f,
                "the exception of {} for {} lets it pass until {} ({})",
                exception.owner.escape_debug(),
                exception.of,
                exception.written_until,
                exception.reason.escape_debug()
            ),
            Self::BreakGlass { reason, until } => {
                write!(f, "the glass is broken until {until} ({})", reason.escape_debug())
            }
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence())?;
        for line in self.details() {
            write!(f, "\n  {line}")?;
        }
        Ok(())
    }
}

impl Reason {
    /// The first line.
    fn sentence(&self) -> String {
        match self {
            Self::NoTrustData { reference }
            | Self::NotSigned { reference, .. }
            | Self::Unnamed { reference } => {
                format!("image or trust data does not exist for {reference}")
            }
            Self::OtherImage { .. } | Self::SignatureMissing(_) => {
                "image did not meet required signing policy".to_owned()
            }
            Self::NoImage { container } => {
                format!("container {container} was made of no image, so nobody can have signed it")
            }
            Self::Unregistered { host } => format!("{host} must be a registered trusted registry"),
            Self::Request(refusal) => spoken(&refusal.to_string()),
            Self::NotPermitted { permission, route } => {
                let route = spoken(route);
                format!("{route} is not allowed here: it would {}", permission.describe())
            }
            Self::HostAccess { repository, access, .. } => {
                let who = repository.as_ref().map_or("this call", Repository::as_str);
                format!("{who} may not reach the host, and it asks for {}", asked(access))
            }
            Self::TrustData { repository, fault } => {
                format!("the trust data of {repository} cannot be relied on: {fault}")
            }
            Self::Unavailable { cause, reference, .. } | Self::Unread { cause, reference, .. } => {
                format!("{reference} could not be checked: {cause}")
            }
            Self::Engine { cause } => format!("the engine could not be asked: {cause}"),
            Self::HostUnknown { cause } => {
                format!("what this would get of the host could not be found out: {cause}")
            }
            Self::RenameUnderWay { container } => {
                format!(
                    "which container {container} is cannot be told: containers are being renamed"
                )
            }
            Self::StartUnderWay => {
                "containers keep their names while one is being started or changed by its name"
                    .to_owned()
            }
            Self::Message { fault } => fault.clone(),
            Self::NothingThere { what } => format!("no such {what}"),
            Self::Internal => {
                "countersign failed while it decided, so the call is refused".to_owned()
            }
        }
    }

    /// The lines after it.
    fn details(&self) -> Vec<String> {
        match self {
            Self::SignatureMissing(short) => vec![
                missing(&short.reference, &short.teams) + &promised(short.asked.as_deref()),
                signed_by(&short.signers) + &besides(&short.left_out),
                remedy(&short.reference, &short.teams, &short.signers),
            ],
            Self::OtherImage { reference, signed, found, place } => {
                let (found, fix) = match place {
                    Place::Engine => (
                        format!("found: {found} stands under that name on this engine"),
                        format!("to do: get the signed image with `docker pull {reference}`"),
                    ),
                    Place::Registry => (
                        format!("found: the registry serves {found} for that tag, unsigned"),
                        format!(
                            "to do: {}, or pull the signed one: {}@{signed}",
                            sign_as(reference), repository(reference)
                        ),
                    ),
                    Place::Reference => (
                        format!("found: what is asked for has {found}"),
                        format!(
                            "to do: use {}@{signed}; or have the other one signed, under a tag of its own",
                            repository(reference)
                        ),
                    ),
                };
                vec![format!("signed: {reference} has {}", Found::Manifest(*signed)), found, fix]
            }
            Self::NotSigned { reference, repository, signers, left_out } => {
                let what = if signers.is_empty() {
                    format!("{repository} has trust data, and none of it releases this image")
                } else {
                    format!("it is not released; neither targets/releases nor targets of {repository} names it")
                };
                let missing = format!("missing: {what}{}", besides(left_out));
                let signed = (!signers.is_empty()).then(|| signed_by(signers));
                let is_own = |one: &Reference| one.repository == *repository;
                let name = reference.parse().ok().filter(is_own);
                let remedy = name.map_or_else(|| sign_in(repository), |name| sign(&name));
                [Some(missing), signed, Some(format!("to do: {remedy}"))].into_iter().flatten().collect()
            }
            Self::NoTrustData { reference } => vec![
                "missing: nobody has signed anything in this repository".to_owned(),
                format!("to do: {}", sign_as(reference)),
            ],
            Self::Unnamed { .. } => vec![
                "missing: this image was neither pulled from nor pushed to a registered registry, \
                 so there is nobody who could have signed it"
                    .to_owned(),
                "to do: push it to a registered registry, have it signed there, and pull it".to_owned(),
            ],
            Self::NoImage { .. } => {
                vec!["to do: remove it, and make one of a signed image instead".to_owned()]
            }
            Self::Unregistered { host } => vec![format!(
                "to do: use an image of a registered registry, or have the operator add {host} \
                 as a [[registries]] entry of countersign.toml"
            )],
            Self::Request(refusal) => vec![format!("to do: {}", refusal.remedy())],
            Self::NotPermitted { permission, .. } => vec![format!(
                "to do: if that is meant, the operator can allow it with `{permission} = true` in \
                 the [api] section of countersign.toml"
            )],
            Self::HostAccess { repository, instead, excepted, access } => {
                host_access(repository.as_ref(), instead.as_ref(), excepted.as_deref(), access)
            }
            Self::TrustData { fault, .. } => vec![format!("to do: {}", mend(fault))],
            Self::Unavailable { remedy, .. } => vec![
                "missing: there is no valid trust data for it on this node, so the answer is not known"
                    .to_owned(),
                format!("to do: {remedy}"),
            ],
            Self::Unread { remedy, .. } => vec![
                "missing: what was signed, and whether this image is part of it, is not known on \
                 this node"
                    .to_owned(),
                format!("to do: {remedy}"),
            ],
            Self::Engine { .. } => vec![
                "to do: see that countersign is given the engine's own socket (--engine)".to_owned(),
            ],
            Self::HostUnknown { .. } => vec![
                "to do: mend that; or leave out the binds, volumes and runtimes that have to be \
                 looked up"
                    .to_owned(),
            ],
            Self::RenameUnderWay { .. } => vec![
                "to do: try again, or call it by its whole ID (`docker ps --all --no-trunc`)".to_owned(),
            ],
            Self::StartUnderWay => vec!["to do: try again when that is done".to_owned()],
            Self::Message { .. } => vec![
                "to do: try again; if it stays so, report it with the engine's version".to_owned(),
            ],
            Self::NothingThere { .. } => Vec::new(),
            Self::Internal => vec![
                "to do: see countersign's log, and report it: this is a bug".to_owned(),
            ],
        }
    }
}

fn asked(access: &[HostAccess]) -> String {
    let mut told: Vec<String> = access.iter().take(MAX_ACCESS).map(ToString::to_string).collect();
    if access.len() > MAX_ACCESS {
        told.push(format!("{} more", access.len() - MAX_ACCESS));
    }
    told.join(", ")
}

fn host_access(
    repository: Option<&Repository>,
    instead: Option<&Repository>,
    excepted: Option<&str>,
    access: &[HostAccess],
) -> Vec<String> {
    let danger = access.first().map(|one| format!("danger: with that it could {}", one.would()));
    let open = match (excepted, instead, repository) {
        (Some(owner), ..) => format!(
            "have the operator set allow_host_access = true in the [[exceptions]] entry of {}, \
             which lets this image run",
            owner.escape_debug()
        ),
        (_, Some(instead), _) => {
            format!("ask for the image by its name in {instead}, whose rule allows this")
        }
        (_, _, Some(repository)) => format!(
            "have the operator add to countersign.toml: [[rules]] with repository = \
             \"{repository}\" and allow_host_access = true"
        ),
        (None, None, None) => "mount it in a container whose repository a [[rules]] entry of \
             countersign.toml names, with allow_host_access = true"
            .to_owned(),
    };
    danger.into_iter().chain([format!("to do: leave it out; or {open}")]).collect()
}

/// Whose name wants more than what vouches for the image.
fn promised(asked: Option<&str>) -> String {
    asked.map(|name| format!(", since it is to run as {name}")).unwrap_or_default()
}

fn missing(reference: &str, teams: &[(String, Vec<String>)]) -> String {
    if teams.is_empty() {
        return format!("missing: a signature on {reference} by any user that the policy knows");
    }
    let mut line = format!("missing: a signature on {reference} by a member of ");
    for (index, (team, members)) in teams.iter().enumerate() {
        let joint = if index == 0 { "" } else { ", and one of " };
        let members = if members.is_empty() { "nobody".to_owned() } else { members.join(", ") };
        let _ = write!(line, "{joint}team {team} ({members})");
    }
    line
}

/// Delegations that might have told more, had they been in order.
fn besides(left_out: &[String]) -> String {
    if left_out.is_empty() {
        String::new()
    } else {
        format!("; left out, since {}", left_out.join(", and "))
    }
}

fn signed_by(signers: &[Signer]) -> String {
    if signers.is_empty() {
        return "signed by: nobody".to_owned();
    }
    // The lists that everyone re-signs last, and not at all for a key that is told of
    // already: but that the missing signer did sign the list is what people stumble over.
    let is_list = |signer: &&Signer| {
        matches!(signer.doubt, Some(Doubt::Role(Objection::Owner | Objection::Releases)))
    };
    let (lists, people): (Vec<_>, Vec<_>) = signers.iter().partition(is_list);
    let new = |list: &&Signer| people.iter().all(|signer| signer.key_id != list.key_id);
    let signers: Vec<_> = people.iter().copied().chain(lists.into_iter().filter(new)).collect();
    let mut told: Vec<String> =
        signers.iter().take(MAX_SIGNERS).map(|signer| one_signer(signer)).collect();
    if signers.len() > MAX_SIGNERS {
        told.push(format!("and {} more", signers.len() - MAX_SIGNERS));
    }
    format!("signed by: {}", told.join("; "))
}

fn one_signer(signer: &Signer) -> String {
    let role = &signer.role;
    let who = match &signer.user {
        Some(user) => {
            let teams = match signer.teams.as_slice() {
                [] => String::new(),
                teams => format!(" (team {})", teams.join(", ")),
            };
            format!("{}{teams} in {role} (key {})", user.escape_debug(), signer.key_id.short())
        }
        None => format!("key {} in {role}", signer.key_id),
    };
    match signer.doubt {
        None => who,
        Some(doubt) => format!("{who}, {}", why_not(doubt)),
    }
}

/// Why a signature does not count, as a part of a sentence about it.
pub(super) fn why_not(doubt: Doubt) -> String {
    match doubt {
        Doubt::UnknownKey => "which nobody in the policy holds".to_owned(),
        Doubt::OtherDigest(digest) => format!("but as another image, {digest}"),
        Doubt::Key(Bar::Expired(at)) => {
            format!("whose certificate expired on {} and no longer counts", day(at))
        }
        Doubt::Key(Bar::NotYet(from)) => {
            format!("whose certificate counts from {} only", day(from))
        }
        Doubt::Key(Bar::Revoked) => "with a key that the policy revokes".to_owned(),
        Doubt::Role(Objection::Releases) => {
            "which does not count: everyone re-signs that role as a whole".to_owned()
        }
        Doubt::Role(Objection::Owner) => {
            "which does not count: it is the repository's own list, not a person's".to_owned()
        }
        Doubt::Role(Objection::Nested) => {
            "which does not count: a delegation declares it, not the repository's owner \
             (count_nested_delegations)"
                .to_owned()
        }
        Doubt::Role(Objection::SharedFile) => {
            "which does not count: its file was signed as targets/releases".to_owned()
        }
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTrustData => f.write_str("its trust server has no trust data for it"),
            Self::Unregistered => f.write_str("its registry is not registered"),
            Self::Unavailable { cause, .. } => f.write_str(cause),
            Self::Refused(fault) => write!(f, "its trust data cannot be relied on: {fault}"),
        }
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Manifest(digest) => write!(f, "the manifest digest {digest}"),
            Self::Image(id) => write!(f, "the image ID {id}"),
        }
    }
}

/// A route's pattern as people write it: engines' own marks left out.
fn spoken(route: &str) -> String {
    route.replace(":.*}", "}")
}

/// How to have an image signed. What is signed is a tag: neither a digest nor an ID is a
/// name to sign.
fn sign(reference: &Reference) -> String {
    match reference {
        Reference { repository, tag: Some(tag), .. } => {
            format!("have it signed, with `docker trust sign {repository}:{tag}`")
        }
        Reference { repository, .. } => sign_in(repository),
    }
}

fn sign_as(reference: &str) -> String {
    reference.parse().map_or_else(
        |_| "have it signed, under its name in the registry".to_owned(),
        |reference| sign(&reference),
    )
}

/// The same, where no tag is known.
fn sign_in(repository: &Repository) -> String {
    format!(
        "have it signed under a tag, with `docker trust sign {repository}:TAG`; an image of \
         several platforms is signed by its index, with `notary addhash`"
    )
}

/// What to do depends on how near a signature came.
fn remedy(reference: &str, teams: &[(String, Vec<String>)], signers: &[Signer]) -> String {
    let sign = format!("run `docker trust sign {reference}`");
    let barred = signers.iter().find_map(|signer| match signer.doubt {
        Some(Doubt::Key(Bar::Expired(_))) => signer.user.as_deref(),
        _ => None,
    });
    if let Some(user) = barred {
        return format!(
            "to do: give {} a new certificate and list it in [users], or have another member {sign}",
            user.escape_debug()
        );
    }
    match teams {
        [] => {
            format!("to do: have a known user {sign}, or list the signer's certificate in [users]")
        }
        [(team, _)] => format!("to do: have a member of {team} {sign}"),
        _ => format!("to do: have a member of each {sign}"),
    }
}

fn mend(fault: &Fault) -> &'static str {
    match fault {
        Fault::Expired { .. } => {
            "publish the repository again (for a timestamp: see that its trust server runs), and \
             check this node's clock"
        }
        Fault::FirstUse => "add the root's key ID to root_pins of its [[registries]] entry",
        Fault::RootPin => {
            "if its root key was changed on purpose, add the new key ID to root_pins; if not, do \
             not run anything of it"
        }
        Fault::RootName { .. } => {
            "check this node's clock, as certificates have a first and a last day; if it is right, \
             and the repository was not deleted and made anew on purpose, its trust server cannot \
             be relied on; if it was, remove its folder from countersign's state directory"
        }
        Fault::RootRotation { .. } => {
            "if the repository was deleted and made anew on purpose, remove its folder from \
             countersign's state directory; if not, its trust server cannot be relied on"
        }
        Fault::Rollback { .. } => {
            "find out why its trust server went back in time (a restored backup, or an attack); \
             publish again to go past the version seen"
        }
        _ => "tell the repository's owner; nothing of it runs until its trust data is mended",
    }
}

fn repository(reference: &str) -> &str {
    let name_end = reference.rfind('/').unwrap_or(0);
    let colon = reference.get(name_end..).and_then(|last| last.find(':'));
    colon.and_then(|colon| reference.get(..name_end + colon)).unwrap_or(reference)
}

fn day(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%d").to_string()
}
