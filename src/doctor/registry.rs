//! The way to one registry and its trust server, step by step: the first that fails says what
//! to do.

use super::finding::Finding;
use crate::gate::{NETWORK, remedy};
use crate::source::{Deadline, Remote, Unavailable, connect, resolve};

/// The steps to one server, by the IDs of their findings.
struct Steps {
    name: &'static str,
    connection: &'static str,
    tls: &'static str,
    login: &'static str,
    api: &'static str,
    /// What it is called.
    what: &'static str,
    /// The setting that leads there.
    setting: &'static str,
    /// What fails without it.
    why: &'static str,
}

const REGISTRY: Steps = Steps {
    name: "registry.name",
    connection: "registry.connection",
    tls: "registry.tls",
    login: "registry.login",
    api: "registry.api",
    what: "registry",
    setting: "host_address",
    why: "images of several platforms, and tags that are not on this node yet, cannot be judged \
          without the registry",
};

const TRUST_SERVER: Steps = Steps {
    name: "trust-server.name",
    connection: "trust-server.connection",
    tls: "trust-server.tls",
    login: "trust-server.login",
    api: "trust-server.api",
    what: "trust server",
    setting: "trust_server",
    why: "without trust data nobody's signature can be seen, and no image of this registry may \
          run but those whose data is kept on this node",
};

/// Goes the way to a registry and to its trust server, and tells each step. It stops at the
/// first of a server that fails. Nothing is changed.
pub async fn test_registry(remote: &Remote) -> Vec<Finding> {
    let mut findings = Vec::new();
    let registry = remote.registry();
    if reached(&REGISTRY, registry.host(), remote.registry_proxy(), &mut findings).await {
        let answer = registry.greet(Deadline::after(NETWORK)).await;
        answered(&REGISTRY, registry.host(), answer, &mut findings);
    }
    let server = remote.trust_server();
    if reached(&TRUST_SERVER, server.host(), remote.proxy(), &mut findings).await {
        let answer = server.greet(Deadline::after(NETWORK)).await.map(|_| ());
        answered(&TRUST_SERVER, server.host(), answer, &mut findings);
    }
    findings
}

/// Name and connection. Behind an HTTP proxy these are the proxy's business.
async fn reached(
    steps: &Steps,
    host: &str,
    proxy: Option<&str>,
    findings: &mut Vec<Finding>,
) -> bool {
    let Steps { what, setting, why, .. } = steps;
    if let Some(proxy) = proxy {
        let title = format!("{what} {host} is asked through the proxy {proxy}");
        findings.push(Finding::ok(steps.connection, title));
        return true;
    }
    let addresses = match resolve(host).await {
        Ok(addresses) => addresses,
        Err(cause) => {
            findings.push(Finding::problem(
                steps.name,
                format!("the name of {what} {host} does not resolve: {cause}"),
                *why,
                format!(
                    "see that {setting} is spelt as it should be, and that this host's DNS or \
                     /etc/hosts knows it (getent hosts {})",
                    host.split(':').next().unwrap_or(host)
                ),
            ));
            return false;
        }
    };
    let list: Vec<_> = addresses.iter().map(|address| address.ip().to_string()).collect();
    let title = format!("the name of {what} {host} resolves: {}", list.join(", "));
    findings.push(Finding::ok(steps.name, title));
    match connect(&addresses).await {
        Ok(address) => {
            let title = format!("{what} {host} takes connections at {address}");
            findings.push(Finding::ok(steps.connection, title));
            true
        }
        Err(cause) => {
            findings.push(Finding::problem(
                steps.connection,
                format!("{what} {host} takes no connection: {cause}"),
                *why,
                format!(
                    "see that it runs, that {setting} names its port where that is not 443, and \
                     that no firewall is in between"
                ),
            ));
            false
        }
    }
}

/// TLS, login and API, by what came of one request.
fn answered(
    steps: &Steps,
    host: &str,
    answer: Result<(), Unavailable>,
    findings: &mut Vec<Finding>,
) {
    let Steps { what, why, .. } = steps;
    let tls = || Finding::ok(steps.tls, format!("the certificate of {what} {host} is trusted"));
    let login = || Finding::ok(steps.login, format!("{what} {host} lets this node in"));
    let error = match answer {
        Ok(()) => {
            let api = Finding::ok(steps.api, format!("{what} {host} answers as one"));
            findings.extend([tls(), login(), api]);
            return;
        }
        Err(error) => error,
    };
    let problem = |id| Finding::problem(id, error.to_string(), *why, remedy(&error).to_owned());
    match error.kind() {
        "tls" => findings.push(problem(steps.tls)),
        "unauthorized" => findings.extend([tls(), problem(steps.login)]),
        "proxy" => findings.push(problem(steps.connection)),
        // Another than the server itself may be what did not answer: where tokens come from.
        "timeout" | "unreachable" => findings.push(problem(steps.api)),
        _ => findings.extend([tls(), problem(steps.api)]),
    }
}
