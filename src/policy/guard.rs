//! Guarding the guard: calls that would reach the enforcement itself.
//!
//! A signed image that gets the host's root folder, its processes or its devices can end
//! all enforcement, so that is refused, whoever signed it, unless a rule of the policy names
//! the repository that proved the image.

use super::evidence::{Bound, Host};
use super::paths::{clean, is_harmless, is_protected, lies_below};
use super::reason::Reason;
use super::rules::Policy;
use super::scope::Mode;
use super::verdict::{Grant, Leave, Verdict};
use crate::image::Repository;
use crate::request::HostAccess;

/// What is done about access to the host (`[guard] mode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum GuardMode {
    /// It is refused, unless a rule allows it.
    #[default]
    Enforce,
    /// It is allowed, and told in the log.
    Log,
    /// It is not looked at.
    Off,
}

impl Policy {
    /// What is done about access to the host.
    pub fn guard_mode(&self) -> GuardMode {
        self.guard_mode
    }
}

/// Lets a grant stand, or says what it must not bring along.
pub(super) fn admit(policy: &Policy, grant: Grant, host: &Host) -> Result<Grant, Reason> {
    match objection(policy, &grant, host) {
        Some(reason) if policy.guard_mode == GuardMode::Enforce => Err(reason),
        _ => Ok(grant),
    }
}

/// What the log is told of access that is allowed only since the guard does not enforce.
pub fn warning(policy: &Policy, verdict: &Verdict, host: &Host) -> Option<String> {
    match (policy.guard_mode, verdict) {
        (GuardMode::Log, Verdict::Allow(grant)) => {
            let reason = objection(policy, grant, host)?.to_string();
            let sentence = reason.lines().next().unwrap_or_default();
            Some(format!("[guard] mode = \"enforce\" would refuse this: {sentence}"))
        }
        _ => None,
    }
}

fn objection(policy: &Policy, grant: &Grant, host: &Host) -> Option<Reason> {
    let mut excepted = None;
    let (repository, instead) = match grant {
        Grant::Proven { repository, also, .. } => {
            // Each of several would vouch for the image; none of them alone for this access.
            let (granting, refusing): (Vec<_>, Vec<_>) = std::iter::once(repository)
                .chain(also)
                .partition(|repository| policy.allows_host_access(repository));
            // One that enforces is told of first: an audit of the others does not lift it.
            let enforces = |one: &&&Repository| policy.mode_of(one) == Mode::Enforce;
            let refusing = refusing.iter().find(enforces).or(refusing.first())?;
            (Some((*refusing).clone()), granting.first().copied().cloned())
        }
        Grant::Excused { leave: Leave::Exception(exception), .. }
            if exception.allow_host_access =>
        {
            return None;
        }
        Grant::Excused { leave: Leave::Exception(exception), .. } => {
            excepted = Some(exception.owner.clone());
            (None, None)
        }
        // That there is no image is no excuse: one may come before the engine looks. Its
        // container would be removed at once, but engines read files through a container's
        // binds without its being started (`GET /containers/ID/archive`).
        Grant::NotJudged | Grant::NothingThere | Grant::Excused { .. } => (None, None),
    };
    if let Some(cause) = &host.unknown {
        return Some(Reason::HostUnknown { cause: cause.clone() });
    }
    let mut access: Vec<HostAccess> =
        host.asked.iter().filter(|one| is_harmful(one, host)).cloned().collect();
    access.extend(nested(host));
    access.sort();
    access.dedup();
    (!access.is_empty()).then_some(Reason::HostAccess { repository, instead, excepted, access })
}

fn is_harmful(access: &HostAccess, host: &Host) -> bool {
    match access {
        HostAccess::Privileged
        | HostAccess::PidMode(_)
        | HostAccess::IpcMode(_)
        | HostAccess::UsernsMode(_)
        | HostAccess::CgroupnsMode(_)
        | HostAccess::Capability(_)
        | HostAccess::Device(_)
        | HostAccess::DeviceCgroupRule(_)
        | HostAccess::DeviceRequest(_)
        | HostAccess::SecurityOpt(_)
        | HostAccess::Uncovered(_)
        | HostAccess::CgroupParent(_)
        | HostAccess::Annotation(_)
        | HostAccess::LogSocket(_)
        | HostAccess::VolumeDevice(_)
        | HostAccess::VolumesFrom(_)
        | HostAccess::Nested { .. } => true,
        HostAccess::Runtime(name) => host.default_runtime.as_ref() != Some(name),
        HostAccess::Bind { source, read_only } => binds_harmfully(source, *read_only, host),
        // By itself a name; what the engine says of its volume is asked for beside it.
        HostAccess::Volume(_) => false,
    }
}

/// Whether a bind reaches what is protected: by what it is called, or by where it leads.
fn binds_harmfully(source: &str, read_only: bool, host: &Host) -> bool {
    let Some(path) = clean(source) else { return true };
    if is_harmless(&path, read_only) {
        return false;
    }
    let reaches = |path: &str| is_protected(path, &host.protected);
    match host.leads_to.get(&path) {
        _ if reaches(&path) => true,
        Some(end) => reaches(end) && !is_harmless(end, read_only),
        // Nobody could say where it leads.
        None => true,
    }
}

/// The binds that are asked for and lie in a folder that a container can write to, and the
/// folders asked for, to write to, in which something is bound.
///
/// Engines follow a bind's path anew at each start, and a restart by policy asks nobody. Whoever
/// can write to a folder above can put a link in the path meanwhile, to `/` say. What is
/// protected does not count as a folder above: who may write there needs no such ways.
fn nested(host: &Host) -> Vec<HostAccess> {
    let asked: Vec<Bound> = host.asked.iter().flat_map(|access| ends(access, host)).collect();
    let is_trap = |outer: &Bound, inner: &Bound| {
        outer.writable
            && lies_below(&inner.path, &outer.path)
            && !is_protected(&outer.path, &host.protected)
    };
    let pairs = asked.iter().flat_map(|one| {
        let others = asked.iter().chain(&host.bound);
        others.flat_map(move |other| [(one, other), (other, one)])
    });
    let traps = pairs.filter(|(outer, inner)| is_trap(outer, inner));
    traps
        .map(|(outer, inner)| HostAccess::Nested {
            outer: outer.path.clone(),
            inner: inner.path.clone(),
        })
        .collect()
}

/// A bind by its name, and by where that leads.
fn ends(access: &HostAccess, host: &Host) -> Vec<Bound> {
    let HostAccess::Bind { source, read_only } = access else { return Vec::new() };
    let Some(path) = clean(source).filter(|path| !is_harmless(path, *read_only)) else {
        return Vec::new();
    };
    let end = host.leads_to.get(&path).filter(|end| **end != path).cloned();
    let bound = |path| Bound { path, writable: !read_only };
    end.into_iter().chain([path]).map(bound).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(source: &str, read_only: bool) -> HostAccess {
        HostAccess::Bind { source: source.to_owned(), read_only }
    }

    #[test]
    fn binds_are_judged_by_name_and_by_where_they_lead() {
        let leads = [
            ("/srv/site", "/srv/site"),
            ("/srv/link", "/etc/docker"),
            ("/srv/zone", "/usr/share/zoneinfo/UTC"),
            ("/etc/motd", "/srv/motd"),
        ];
        let host = Host {
            leads_to: leads.map(|(from, to)| (from.to_owned(), to.to_owned())).into(),
            ..Host::default()
        };
        for (access, harmful) in [
            (bind("/srv/site", false), false),
            (bind("/srv/./x/../site/", false), false),
            (bind("/srv/link", true), true),
            (bind("/srv/zone", true), false),
            (bind("/srv/zone", false), true),
            (bind("/etc/motd", true), true),
            (bind("/etc/localtime", true), false),
            (bind("/srv/unknown", true), true),
            (bind("relative", true), true),
            (bind("/tmp/../run/docker/plugins", true), true),
            (bind("/", true), true),
        ] {
            assert_eq!(is_harmful(&access, &host), harmful, "{access}");
        }
    }

    #[test]
    fn a_bind_below_what_can_be_written_is_a_trap() {
        for (asked, bound, traps) in [
            (vec![bind("/srv/a", false)], vec![], 0),
            (vec![bind("/srv/a", false), bind("/srv/b", false), bind("/srv/ab", true)], vec![], 0),
            (vec![bind("/srv/a", false), bind("/srv/a", true)], vec![("/srv/a", true)], 0),
            (vec![bind("/srv/a", true), bind("/srv/a/b", false)], vec![], 0),
            (vec![bind("/srv/a", false), bind("/srv/a/b", true)], vec![], 1),
            (vec![bind("/srv/a/b", true)], vec![("/srv/a", true)], 1),
            (vec![bind("/srv/a/b", false)], vec![("/srv/a", false)], 0),
            (vec![bind("/srv/a", false)], vec![("/srv/a/b", false), ("/srv/a/c", true)], 2),
            (vec![bind("/srv/a", true)], vec![("/srv/a/b", true)], 0),
            (vec![bind("/srv/link/b", true)], vec![("/srv/a", true)], 1),
            (vec![bind("/srv/a", true)], vec![("/", true), ("/etc", true)], 0),
            (vec![bind("/dev/null", false)], vec![("/dev", true)], 0),
            (vec![HostAccess::Volume("x".to_owned())], vec![("/srv/a", true)], 0),
        ] {
            let host = Host {
                leads_to: [("/srv/link/b".to_owned(), "/srv/a/b".to_owned())].into(),
                bound: bound
                    .iter()
                    .map(|(path, writable)| Bound { path: (*path).to_owned(), writable: *writable })
                    .collect(),
                asked,
                ..Host::default()
            };
            let mut found = nested(&host);
            found.sort();
            found.dedup();
            assert_eq!(found.len(), traps, "{:?} {bound:?}: {found:?}", host.asked);
        }
    }

    #[test]
    fn a_runtime_is_harmful_unless_it_is_the_default() {
        for (default, name, harmful) in
            [(Some("runc"), "runc", false), (Some("runsc"), "runc", true), (None, "runc", true)]
        {
            let host = Host { default_runtime: default.map(str::to_owned), ..Host::default() };
            let access = HostAccess::Runtime(name.to_owned());
            assert_eq!(is_harmful(&access, &host), harmful, "{default:?} {name}");
        }
    }
}
