//! What has to be proven?

use super::evidence::{Held, HeldImage};
use super::guard::GuardMode;
use super::reason::Reason;
use super::rules::Policy;
use super::verdict::{Grant, Refusal, Verdict};
use crate::image::{ImageName, Reference, Repository};
use crate::request::{self, HostAccess, Intent, Permission};

/// Most repositories asked about one image. An image honestly has one or two names.
const MAX_REPOSITORIES: usize = 8;

/// What an intent comes to.
#[derive(Clone, Debug)]
pub enum Plan {
    /// Decided without evidence.
    Settled(Verdict),
    /// To be decided by what is shown about this, and about what it asks of the host.
    Prove(Subject, Vec<HostAccess>),
}

/// What would be brought or run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// What the registry would serve under a name.
    Pull(Reference),
    /// The image that the engine holds under a name or ID, to get a name that people trust.
    Tag {
        /// As the caller spelled it, which is what the engine resolves.
        written: String,
        /// The repository of the name that it is to get.
        name: Repository,
    },
    /// The image that the engine holds, or would have to pull, under a name or ID.
    Create {
        /// As the caller spelled it, which is what the engine resolves.
        written: String,
        /// The same, read.
        image: ImageName,
    },
    /// The image that a container was made of, and what that container may reach.
    Container(String),
    /// The image of a container that is to be given more than it has.
    Running(String),
    /// A command that was prepared in a container, by its ID.
    Exec(String),
    /// No image: a volume.
    Volume,
    /// A digest that other nodes will run unasked.
    Service(Reference),
    /// The image of a service's previous specification.
    Rollback(String),
    /// A name, without an engine: `countersign check`.
    Name(Reference),
}

/// Turns an intent, or the refusal to read one, into a plan.
pub fn plan(policy: &Policy, intent: Result<Intent, request::Refusal>) -> Plan {
    let allow = || Plan::Settled(Verdict::Allow(Grant::NotJudged));
    let intent = match intent {
        Ok(Intent::Pass) => return allow(),
        _ if !policy.is_enforced() => return allow(),
        Err(refusal) => {
            return Plan::Settled(Verdict::Deny(Refusal::new(Reason::Request(refusal))));
        }
        Ok(intent) => intent,
    };
    let prove = |subject| Plan::Prove(subject, Vec::new());
    let unguarded = policy.guard_mode() == GuardMode::Off;
    match intent {
        Intent::Pass | Intent::Rename => allow(),
        Intent::Guarded { permission, .. } if policy.allows(permission) => allow(),
        Intent::Guarded { permission, route } => forbid(permission, route),
        Intent::Exec { route, .. } | Intent::ExecStart { route, .. }
            if !policy.allows(Permission::Exec) =>
        {
            forbid(Permission::Exec, route)
        }
        Intent::Volume { .. }
        | Intent::Exec { .. }
        | Intent::ExecStart { .. }
        | Intent::Update { .. }
            if unguarded =>
        {
            allow()
        }
        Intent::ExecStart { exec, .. } => prove(Subject::Exec(exec)),
        Intent::Pull(reference) => prove(Subject::Pull(reference)),
        Intent::Tag { name, .. } if !policy.guards_name(&name) => allow(),
        Intent::Tag { written, name } => prove(Subject::Tag { written, name }),
        Intent::Create { image, written, access } => {
            Plan::Prove(Subject::Create { written, image }, access)
        }
        Intent::Start { container, .. } => prove(Subject::Container(container)),
        Intent::Service { image, access, .. } => Plan::Prove(Subject::Service(image), access),
        Intent::Rollback { service } => prove(Subject::Rollback(service)),
        Intent::Volume { access } => Plan::Prove(Subject::Volume, access),
        Intent::Exec { container, access, .. } | Intent::Update { container, access } => {
            Plan::Prove(Subject::Running(container), access)
        }
    }
}

fn forbid(permission: Permission, route: &'static str) -> Plan {
    let reason = Reason::NotPermitted { permission, route };
    Plan::Settled(Verdict::Deny(Refusal::new(reason)))
}

/// The repositories whose trust data may speak for a subject: the one it is named
/// after, then those the engine knows the held image from. The order is that of trying.
///
/// Names only say where to look: what counts is whether signed trust data names a digest
/// of the image, and any registered repository may.
pub fn repositories(policy: &Policy, subject: &Subject, held: &Held) -> Vec<Repository> {
    let named = match (subject, held) {
        (Subject::Pull(one) | Subject::Service(one) | Subject::Name(one), _) => {
            Some(one.repository.clone())
        }
        (Subject::Create { image: ImageName::Named(one), .. }, _) => Some(one.repository.clone()),
        (_, Held::Image(image)) => called(image).map(|reference| reference.repository),
        _ => None,
    };
    let hints = match held {
        Held::Image(image) => image.names.as_slice(),
        _ => &[],
    };
    let mut found: Vec<Repository> = named.into_iter().collect();
    for hint in hints {
        let new = !found.contains(hint) && found.len() < MAX_REPOSITORIES;
        if new && policy.registry(hint.host()).is_some() {
            found.push(hint.clone());
        }
    }
    found
}

/// The name a held image is asked for by, where it is one.
pub(super) fn called(image: &HeldImage) -> Option<Reference> {
    match image.called.parse() {
        Ok(ImageName::Named(reference)) => Some(reference.or_latest()),
        _ => None,
    }
}

/// The subject of a rollback, once the engine has told the image of the service's
/// previous specification. Engines run that specification whatever the call says.
pub fn previous(image: &str) -> Result<Subject, Refusal> {
    match image.parse() {
        Ok(ImageName::Named(reference)) if reference.digest.is_some() => {
            Ok(Subject::Service(reference))
        }
        _ => {
            let refusal = request::Refusal::ServiceNeedsDigest { written: image.to_owned() };
            Err(Refusal::new(Reason::Request(refusal)))
        }
    }
}
