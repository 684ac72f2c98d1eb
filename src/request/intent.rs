//! What a call would do.

use crate::image::{ImageName, Reference, Repository};

use super::endpoint::{self, Decision};
use super::host_access::HostAccess;
use super::permission::Permission;
use super::refusal::Refusal;
use super::target::{Target, is_open, is_plain};
use super::wire::Call;

/// What a call would do, as far as image content and the host are concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Intent {
    /// Nothing that brings or runs image content, or reaches the host.
    Pass,
    /// Something that goes around signatures, and that only the operator can allow.
    Guarded {
        /// What must be allowed.
        permission: Permission,
        /// The pattern of the route, for messages.
        route: &'static str,
    },
    /// Fetch an image. Exactly one of tag and digest is set.
    Pull(Reference),
    /// Give an image that is there one more name, or one that another image had.
    Tag {
        /// The image, as the caller spelled it, which is what the engine resolves.
        written: String,
        /// The name's repository.
        name: Repository,
    },
    /// Make a container of an image.
    Create {
        /// The image.
        image: ImageName,
        /// The same as the caller spelled it, which is what the engine resolves.
        written: String,
        /// What it asks of the host.
        access: Vec<HostAccess>,
    },
    /// Run a container, whose own image decides.
    Start {
        /// The container's name, ID or part of an ID, as the caller wrote it.
        container: String,
        /// How.
        verb: StartVerb,
    },
    /// Give a container another name, under which a start could mean another one.
    Rename,
    /// Run an image on the nodes of the swarm, which ask nobody. The digest is set.
    Service {
        /// The image.
        image: Reference,
        /// How.
        verb: ServiceVerb,
        /// What it asks of the nodes.
        access: Vec<HostAccess>,
    },
    /// Return a service to its previous specification, whose image decides.
    Rollback {
        /// The service's name or ID, as the caller wrote it.
        service: String,
    },
    /// Make a volume of something of the host.
    Volume {
        /// What of it.
        access: Vec<HostAccess>,
    },
    /// Run a command in a container, with more than the container has.
    Exec {
        /// The container's name or ID, as the caller wrote it.
        container: String,
        /// What it asks of the host.
        access: Vec<HostAccess>,
        /// The pattern of the route, for messages.
        route: &'static str,
    },
    /// Run a command that was prepared before, with what it was given then.
    ExecStart {
        /// The command's ID, as the caller wrote it.
        exec: String,
        /// The pattern of the route, for messages.
        route: &'static str,
    },
    /// Give a container more than it has.
    Update {
        /// The container's name or ID, as the caller wrote it.
        container: String,
        /// What it asks of the host.
        access: Vec<HostAccess>,
    },
}

impl Intent {
    /// What a call would do, in one word of a closed list: for records and metrics.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Guarded { permission, .. } => permission.key(),
            Self::Pull(_) => "pull",
            Self::Tag { .. } => "tag",
            Self::Create { .. } => "create",
            Self::Start { verb: StartVerb::Start, .. } => "start",
            Self::Start { verb: StartVerb::Restart, .. } => "restart",
            Self::Rename => "rename",
            Self::Service { verb: ServiceVerb::Create, .. } => "service_create",
            Self::Service { verb: ServiceVerb::Update, .. } => "service_update",
            Self::Rollback { .. } => "service_rollback",
            Self::Volume { .. } => "volume",
            Self::Exec { .. } => "exec",
            Self::ExecStart { .. } => "exec_start",
            Self::Update { .. } => "update",
        }
    }
}

/// How a container is set going. A restart starts a container that never ran, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StartVerb {
    /// `POST /containers/{name}/start`
    Start,
    /// `POST /containers/{name}/restart`
    Restart,
}

/// How a service gets its specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServiceVerb {
    /// `POST /services/create`
    Create,
    /// `POST /services/{id}/update`
    Update,
}

/// Reads a call: what would it do?
pub fn read(call: &Call) -> Result<Intent, Refusal> {
    let target = match Target::parse(&call.uri) {
        Ok(target) => target,
        // A read of something oddly named is a read all the same, and reads always pass; so
        // does its removal.
        Err(_) if is_open(&call.method, &call.uri) => {
            return Ok(Intent::Pass);
        }
        Err(refusal) => return Err(refusal),
    };
    let (endpoint, name) = endpoint::find(&call.method, &target)?;
    let route = endpoint.pattern;
    match endpoint.decision {
        Decision::Pass => Ok(Intent::Pass),
        Decision::Read(reader) => {
            let name: Vec<&str> = name.iter().map(|segment| &*segment.text).collect();
            let name = name.join("/");
            reader(&Routed { call, target, route, name })
        }
        Decision::Guarded(permission) => Ok(Intent::Guarded { permission, route }),
        Decision::Deny(why) => Err(Refusal::ClosedRoute { route, why }),
    }
}

/// A call whose route is known, as the readers get it.
pub(super) struct Routed<'c> {
    pub call: &'c Call,
    pub target: Target<'c>,
    /// The pattern that matched.
    pub route: &'static str,
    /// What the pattern's first placeholder stands for.
    name: String,
}

impl Routed<'_> {
    /// The name in the path, which must be one that others can repeat to the engine.
    pub fn name(&self) -> Result<&str, Refusal> {
        if !self.name.is_empty() && self.name.bytes().all(is_plain) {
            Ok(&self.name)
        } else {
            Err(Refusal::Target {
                fault: "has a name of other than letters, digits and . _ : / @ -",
            })
        }
    }
}
