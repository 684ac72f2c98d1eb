//! Every route of the Docker API, and what is done about it.
//!
//! Source: the routers of Docker Engine 20.10, 26, 28 and 29 (API 1.24 to 1.53). A
//! pattern is spelled as there: `{name:.*}` stands for one or more segments, `{id}` for
//! exactly one. As there, the first row that matches decides.

use super::intent::{Intent, Routed};
use super::permission::Permission::{
    self, ArchiveUpload, Build, Checkpoint, Commit, Load, Plugins, SwarmAdmin,
};
use super::refusal::{Refusal, excerpt};
use super::target::{Segment, Target};
use super::{container, mounts, pull, service};

/// What is done about a route.
#[derive(Clone, Copy)]
pub(super) enum Decision {
    /// It neither brings nor runs image content.
    Pass,
    /// Its parameters decide.
    Read(fn(&Routed<'_>) -> Result<Intent, Refusal>),
    /// Denied unless the operator allows it.
    Guarded(Permission),
    /// Denied, for this reason.
    Deny(&'static str),
}
use Decision::{Deny, Guarded, Pass, Read};

/// A row of the table.
pub(super) struct Endpoint {
    /// The method, or `*` for every one.
    method: &'static str,
    pub pattern: &'static str,
    pub decision: Decision,
}

const fn on(method: &'static str, pattern: &'static str, decision: Decision) -> Endpoint {
    Endpoint { method, pattern, decision }
}

/// The route that makes containers, for reading what came of it.
pub(super) const CREATE_CONTAINER: &str = "/containers/create";

/// The table. What has no row is refused.
#[rustfmt::skip]
const TABLE: &[Endpoint] = &[
    // Debugging. Engine 20.10 serves it under every method.
    on("*",       "/debug/{path:.*}", Deny("it shows the engine's memory and command line")),

    // Connections that the engine hands over to BuildKit, and then asks no more about.
    on("*",       "/session", Guarded(Build)),
    on("*",       "/grpc", Guarded(Build)),

    // Tokens: whoever has a manager's can join a swarm with an engine that nobody guards,
    // and run anything on this one.
    on("GET",     "/swarm", Guarded(SwarmAdmin)),
    on("GET",     "/swarm/unlockkey", Guarded(SwarmAdmin)),

    // Reading. The engine answers what it does not know with 404, and OPTIONS with nothing.
    on("GET",     "/{path:.*}", Pass),
    on("HEAD",    "/{path:.*}", Pass),
    on("OPTIONS", "/{path:.*}", Pass),

    // Images that come in.
    on("POST",    "/images/create", Read(pull::create)),
    on("POST",    "/images/load", Guarded(Load)),
    on("POST",    "/build", Guarded(Build)),
    on("POST",    "/commit", Guarded(Commit)),

    // Images that are there.
    on("POST",    "/images/{name:.*}/tag", Read(pull::tag)),
    on("POST",    "/images/{name:.*}/push", Pass),
    on("POST",    "/images/prune", Pass),
    on("DELETE",  "/images/{name:.*}", Pass),
    on("POST",    "/build/prune", Pass),
    on("POST",    "/build/cancel", Pass),

    // Containers that begin to run, and the names they are started by.
    on("POST",    CREATE_CONTAINER, Read(container::create)),
    on("POST",    "/containers/{name:.*}/start", Read(container::start)),
    on("POST",    "/containers/{name:.*}/restart", Read(container::restart)),
    on("POST",    "/containers/{name:.*}/rename", Read(container::rename)),

    // What a container runs besides its image.
    on("PUT",     "/containers/{name:.*}/archive", Guarded(ArchiveUpload)),
    on("POST",    "/containers/{name:.*}/exec", Read(container::exec)),
    on("POST",    "/exec/{name:.*}/start", Read(container::exec_start)),
    on("POST",    "/exec/{name:.*}/resize", Pass),
    on("POST",    "/containers/{name:.*}/checkpoints", Guarded(Checkpoint)),
    on("DELETE",  "/containers/{name}/checkpoints/{checkpoint}", Guarded(Checkpoint)),

    // Containers that run, or stop.
    on("POST",    "/containers/{name:.*}/attach", Pass),
    on("POST",    "/containers/{name:.*}/copy", Deny("API 1.24 removed it")),
    on("POST",    "/containers/{name:.*}/kill", Pass),
    on("POST",    "/containers/{name:.*}/pause", Pass),
    on("POST",    "/containers/{name:.*}/resize", Pass),
    on("POST",    "/containers/{name:.*}/stop", Pass),
    on("POST",    "/containers/{name:.*}/unpause", Pass),
    on("POST",    "/containers/{name:.*}/update", Read(container::update)),
    on("POST",    "/containers/{name:.*}/wait", Pass),
    on("POST",    "/containers/prune", Pass),
    on("DELETE",  "/containers/{name:.*}", Pass),

    // Services. Configs and secrets are data.
    on("POST",    "/services/create", Read(service::create)),
    on("POST",    "/services/{id}/update", Read(service::update)),
    on("DELETE",  "/services/{id}", Pass),
    on("POST",    "/configs/create", Pass),
    on("POST",    "/configs/{id}/update", Pass),
    on("DELETE",  "/configs/{id}", Pass),
    on("POST",    "/secrets/create", Pass),
    on("POST",    "/secrets/{id}/update", Pass),
    on("DELETE",  "/secrets/{id}", Pass),

    // The swarm. A foreign manager can run anything on this node.
    on("POST",    "/swarm/init", Guarded(SwarmAdmin)),
    on("POST",    "/swarm/join", Guarded(SwarmAdmin)),
    on("POST",    "/swarm/leave", Guarded(SwarmAdmin)),
    on("POST",    "/swarm/unlock", Guarded(SwarmAdmin)),
    on("POST",    "/swarm/update", Guarded(SwarmAdmin)),
    on("POST",    "/nodes/{id}/update", Guarded(SwarmAdmin)),
    on("DELETE",  "/nodes/{id}", Guarded(SwarmAdmin)),

    // Managed plugins. They run unsigned, and one of this plugin's name replaces it.
    on("POST",    "/plugins/create", Guarded(Plugins)),
    on("POST",    "/plugins/pull", Guarded(Plugins)),
    on("POST",    "/plugins/{name:.*}/disable", Guarded(Plugins)),
    on("POST",    "/plugins/{name:.*}/enable", Guarded(Plugins)),
    on("POST",    "/plugins/{name:.*}/push", Guarded(Plugins)),
    on("POST",    "/plugins/{name:.*}/set", Guarded(Plugins)),
    on("POST",    "/plugins/{name:.*}/upgrade", Guarded(Plugins)),
    on("DELETE",  "/plugins/{name:.*}", Guarded(Plugins)),

    // Networks and volumes. PUT takes no options of the local driver, only cluster volumes.
    on("POST",    "/networks/create", Pass),
    on("POST",    "/networks/{id:.*}/connect", Pass),
    on("POST",    "/networks/{id:.*}/disconnect", Pass),
    on("POST",    "/networks/prune", Pass),
    on("DELETE",  "/networks/{id:.*}", Pass),
    on("POST",    "/volumes/create", Read(mounts::create_volume)),
    on("POST",    "/volumes/prune", Pass),
    on("PUT",     "/volumes/{name:.*}", Pass),
    on("DELETE",  "/volumes/{name:.*}", Pass),

    // Registry credentials.
    on("POST",    "/auth", Pass),
];

/// The row for a call, and the segments that its first placeholder stands for.
pub(super) fn find<'t>(
    method: &str,
    target: &'t Target<'_>,
) -> Result<(&'static Endpoint, &'t [Segment<'t>]), Refusal> {
    let matched = TABLE
        .iter()
        .filter(|endpoint| endpoint.method == method || endpoint.method == "*")
        .find_map(|endpoint| Some((endpoint, fit_pattern(endpoint.pattern, &target.segments)?)));
    match matched {
        None => Err(Refusal::UnknownRoute {
            method: excerpt(&method.escape_debug().to_string()),
            route: excerpt(&target.path()),
        }),
        // The engine decodes before it routes; no client encodes the words of a route.
        Some((_, fit)) if fit.escaped => {
            Err(Refusal::Target { fault: "has a percent escape where the API has a fixed word" })
        }
        Some((endpoint, fit)) => Ok((endpoint, fit.name)),
    }
}

/// How a path fits a pattern.
#[derive(Default)]
struct Fit<'t> {
    /// What the first placeholder stands for.
    name: &'t [Segment<'t>],
    /// Whether a literal of the pattern is written with escapes.
    escaped: bool,
}

fn fit_pattern<'t>(pattern: &str, mut path: &'t [Segment<'t>]) -> Option<Fit<'t>> {
    let mut fit = Fit::default();
    let mut words = pattern.split('/').skip(1);
    while let Some(word) = words.next() {
        if !word.starts_with('{') {
            let (segment, rest) = path.split_first().filter(|(first, _)| first.text == word)?;
            fit.escaped |= segment.escaped;
            path = rest;
            continue;
        }
        // `.*` leaves one segment to each word that follows; no pattern has two of them.
        let is_long = word.ends_with(":.*}");
        let taken = if is_long { path.len().checked_sub(words.clone().count())? } else { 1 };
        let (name, rest) = path.split_at_checked(taken).filter(|(name, _)| !name.is_empty())?;
        if fit.name.is_empty() {
            fit.name = name;
        }
        path = rest;
    }
    path.is_empty().then_some(fit)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::super::recorded::{call, outcome};
    use super::*;

    /// A path the pattern matches.
    fn example(pattern: &str) -> String {
        let word =
            |word: &str| if word.starts_with('{') { "x".to_owned() } else { word.to_owned() };
        pattern.split('/').map(word).collect::<Vec<_>>().join("/")
    }

    #[test]
    fn every_row_decides_its_own_route() {
        for row in TABLE {
            let method = if row.method == "*" { "POST" } else { row.method };
            for prefix in ["", "/v1.24", "/v1.53"] {
                let uri = format!("{prefix}{}", example(row.pattern));
                let target = Target::parse(&uri).unwrap();
                let (found, _) = find(method, &target).unwrap_or_else(|error| panic!("{error}"));
                assert_eq!(found.pattern, row.pattern, "{method} {uri}");
            }
        }
    }

    /// The table as `docs/security.md` shows it.
    #[test]
    fn the_documentation_has_this_table() {
        let mut table = "| method | route | decision |\n|---|---|---|\n".to_owned();
        for row in TABLE {
            let method = if row.method == "*" { "any" } else { row.method };
            let route = row.pattern.replace(":.*", "");
            let decision = match row.decision {
                Pass => "pass".to_owned(),
                Read(_) => "judged".to_owned(),
                Guarded(permission) => format!("`[api] {permission}`"),
                Deny(why) => format!("closed: {why}"),
            };
            writeln!(table, "| {method} | `{route}` | {decision} |").unwrap();
        }
        let document = include_str!("../../docs/security.md");
        assert!(document.contains(&table), "docs/security.md should have this table:\n{table}");
    }

    #[test]
    fn what_brings_or_runs_code_is_guarded() {
        for (method, route, permission) in [
            ("POST", "/build?t=x", "build"),
            ("POST", "/build?version=2&session=x", "build"),
            ("POST", "/session", "build"),
            ("GET", "/session", "build"),
            ("POST", "/grpc", "build"),
            ("POST", "/commit?container=x", "commit"),
            ("POST", "/images/load?quiet=1", "load"),
            ("POST", "/images/create?fromSrc=-", "import"),
            ("PUT", "/containers/a/archive?path=/", "archive_upload"),
            ("POST", "/swarm/join", "swarm_admin"),
            ("DELETE", "/nodes/a?force=1", "swarm_admin"),
            ("POST", "/plugins/pull?remote=a", "plugins"),
            ("POST", "/plugins/a/b/enable", "plugins"),
            ("DELETE", "/plugins/a/b", "plugins"),
            ("POST", "/containers/a/checkpoints", "checkpoint"),
            ("DELETE", "/containers/a/checkpoints/b", "checkpoint"),
        ] {
            let call = call(method, &format!("/v1.41{route}"), &[], "");
            assert_eq!(outcome(&call), format!("guarded {permission}"), "{method} {route}");
        }
    }

    #[test]
    fn everyday_calls_pass() {
        for (method, route) in [
            ("GET", "/"),
            ("GET", "/_ping?nonce=1"),
            ("HEAD", "/_ping"),
            ("GET", "/images/json?filters={\"dangling\":[\"true\"]}"),
            ("GET", "/images/h.io:5/a/b:1/json"),
            ("GET", "/networks/"),
            ("GET", "/containers/a/attach/ws"),
            ("GET", "/something/new"),
            ("OPTIONS", "/containers/create"),
            ("POST", "/auth"),
            ("POST", "/containers/a/attach?stream=1"),
            ("POST", "/containers/a/wait?condition=next-exit"),
            ("POST", "/containers/a/kill?signal=SIGKILL"),
            ("POST", "/containers/prune"),
            ("DELETE", "/containers/a?force=1&v=1"),
            ("DELETE", "/images/h.io:5/a/b%40sha256:00"),
            ("POST", "/images/h.io:5/a/b/push?tag=1"),
            ("POST", "/networks/a/connect"),
            ("PUT", "/volumes/a?version=1"),
            ("DELETE", "/services/a"),
            ("POST", "/secrets/a/update?version=1"),
        ] {
            for version in ["", "/v1.41"] {
                let call = call(method, &format!("{version}{route}"), &[], "");
                assert_eq!(outcome(&call), "pass", "{method} {version}{route}");
            }
        }
    }

    #[test]
    fn what_has_no_row_is_refused() {
        for (method, route) in [
            ("POST", "/nonexistent"),
            ("POST", "/"),
            ("post", "/containers/create"),
            ("P\u{1b}[2JOST", "/containers/create"),
            ("POST", "/Containers/create"),
            ("POST", "/containers/create/"),
            ("POST", "/containers/create/x"),
            ("POST", "/x/containers/a/start"),
            ("POST", "/containers/a/startx"),
            ("POST", "/v1.41/containers/prune"),
            ("POST", "/services/a/b/update"),
            ("PUT", "/containers/create"),
            ("PATCH", "/containers/a"),
            ("CONNECT", "/containers/a"),
            ("TRACE", "/_ping"),
            ("DELETE", "/swarm"),
            ("POST", "/moby.buildkit.v1.Control/Solve"),
        ] {
            let outcome = outcome(&call(method, &format!("/v1.41{route}"), &[], ""));
            assert_eq!(outcome, "deny unknown-route", "{method} {route}");
        }
    }

    #[test]
    fn debugging_is_closed_to_every_method() {
        for method in ["GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH"] {
            for route in ["/debug/vars", "/v1.41/debug/pprof/", "/debug/pprof/cmdline?x=1"] {
                let outcome = outcome(&call(method, route, &[], ""));
                assert_eq!(outcome, "deny closed-route", "{method} {route}");
            }
        }
    }

    #[test]
    fn the_words_of_a_route_are_not_encoded() {
        for (method, route) in [
            ("POST", "/images/cr%65ate?fromSrc=-"),
            ("POST", "/containers/a%2Fstart"),
            ("POST", "/containers/a/%73tart"),
            ("PUT", "/containers/a/%61rchive"),
            ("DELETE", "/containers/a%2Fcheckpoints%2Fb"),
            ("DELETE", "/plugin%73/a"),
        ] {
            let outcome = outcome(&call(method, &format!("/v1.41{route}"), &[], ""));
            assert_eq!(outcome, "deny target-malformed", "{method} {route}");
        }
    }
}
