//! `POST /services/create` and `POST /services/{id}/update`.
//!
//! Source: `createService` and `updateService` of Docker Engine 20.10, 26, 28 and 29.
//! The tasks of a service start on nodes whose plugin is never asked, so what they run
//! must be fixed here, by a digest.

use crate::image::{ImageName, Reference};

use super::body::{self, Fields};
use super::host_access::HostAccess;
use super::host_config;
use super::intent::{Intent, Routed, ServiceVerb};
use super::mounts;
use super::query::Query;
use super::refusal::{Refusal, excerpt};

/// The first API version in which clients, not the engine, resolve a service's tag.
const CLIENTS_RESOLVE: (u32, u32) = (1, 30);

/// A new service. Its handler does not look at the query, and so a malformed one does
/// not stop it: it hides the body, and the service is made.
pub(super) fn create(request: &Routed<'_>) -> Result<Intent, Refusal> {
    Query::parse(request.target.query)?;
    specified(request, ServiceVerb::Create)
}

/// A new specification for a service, or a return to the one before, for which the
/// engine does not look at the body.
pub(super) fn update(request: &Routed<'_>) -> Result<Intent, Refusal> {
    let query = Query::parse(request.target.query)?;
    query.one("version")?;
    query.one("registryAuthFrom")?;
    match query.one("rollback")?.unwrap_or_default() {
        "" => specified(request, ServiceVerb::Update),
        "previous" => Ok(Intent::Rollback { service: request.name()?.to_owned() }),
        _ => Err(Refusal::Query { name: "rollback".to_owned(), fault: "is not 'previous'" }),
    }
}

/// The image that the body's specification fixes.
fn specified(request: &Routed<'_>, verb: ServiceVerb) -> Result<Intent, Refusal> {
    if let Some((major, minor)) = request.target.version
        && (major, minor) < CLIENTS_RESOLVE
    {
        return Err(Refusal::ServiceApiVersion { major, minor });
    }
    let document = body::json(request.call)?;
    let service = Fields::root(&document)?;
    let task = member(&service, "TaskTemplate")?;
    if !matches!(task.text("Runtime")?, None | Some("" | "container")) {
        return Err(Refusal::PluginRuntime { place: task.place("Runtime") });
    }
    if task.has("PluginSpec")? {
        return Err(Refusal::PluginRuntime { place: task.place("PluginSpec") });
    }
    let container = member(&task, "ContainerSpec")?;
    let mut access = asked(&container)?;
    if let Some(log) = task.object("LogDriver")? {
        host_config::log_sockets(&log.map("Options")?, &mut access);
    }
    fixed_image(&container).map(|image| Intent::Service { image, verb, access })
}

/// Reads the `ContainerSpec` of a specification that exists, as the engine tells it.
pub fn specified_access(container_spec: &str) -> Result<Vec<HostAccess>, Refusal> {
    asked(&Fields::root(&body::document(container_spec.as_bytes())?)?)
}

/// What a `ContainerSpec` asks of the nodes (`swarm.ContainerSpec`, `swarm.Privileges`).
fn asked(container: &Fields<'_>) -> Result<Vec<HostAccess>, Refusal> {
    let mut found = Vec::new();
    host_config::capabilities(&container.texts("CapabilityAdd")?, &mut found);
    mounts::read_mounts(container, &mut found)?;
    let Some(privileges) = container.object("Privileges")? else { return Ok(found) };
    for (name, default) in [("Seccomp", "default"), ("AppArmor", "default")] {
        if let Some(profile) = privileges.object(name)?
            && let Some(mode) = profile.text("Mode")?
            && !mode.is_empty()
            && mode != default
        {
            found.push(HostAccess::SecurityOpt(excerpt(&format!("{name} {mode}"))));
        }
    }
    if let Some(context) = privileges.object("SELinuxContext")? {
        let named = ["User", "Role", "Type", "Level"];
        let chosen = |name| Ok(context.text(name)?.is_some_and(|text| !text.is_empty()));
        if context.flag("Disable")? {
            found.push(HostAccess::SecurityOpt("SELinuxContext.Disable".to_owned()));
        }
        for name in named {
            if chosen(name)? {
                found.push(HostAccess::SecurityOpt(format!("SELinuxContext.{name}")));
            }
        }
    }
    Ok(found)
}

/// A member without which there is no image.
fn member<'v>(of: &Fields<'v>, name: &str) -> Result<Fields<'v>, Refusal> {
    of.object(name)?.ok_or_else(|| Refusal::NoImage { place: of.place(name) })
}

fn fixed_image(container: &Fields<'_>) -> Result<Reference, Refusal> {
    let place = container.place("Image");
    let written = container.text("Image")?.unwrap_or_default();
    if written.is_empty() {
        return Err(Refusal::NoImage { place });
    }
    match written.parse() {
        Ok(ImageName::Named(image)) if image.digest.is_some() => Ok(image),
        // An ID stands for whatever has it on the node, and is verified nowhere.
        Ok(_) => Err(Refusal::ServiceNeedsDigest { written: excerpt(written) }),
        Err(error) => Err(Refusal::BadReference { place, written: excerpt(written), error }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::recorded::{call, outcome};
    use super::specified_access;

    const D: &str = "sha256:145efec3e7674af0ea621617610fabe76eb46cfa88a9b225311d118e1d70acd8";

    fn post(target: &str, body: &str) -> String {
        let body = body.replace("$D", D);
        outcome(&call("POST", target, &[("Content-Type", "application/json")], &body))
    }

    #[test]
    fn reads_the_fixed_image() {
        let meant = |verb: &str| format!("service {verb} h.io/x:1@{D}");
        for body in [
            r#"{"TaskTemplate":{"ContainerSpec":{"Image":"h.io/x:1@$D"}}}"#,
            r#"{"TaskTemplate":{"ContainerSpec":{"Image":"h.io/x:1@$D"},"Runtime":"container"}}"#,
            r#"{"TaskTemplate":{"ContainerSpec":{"Image":"h.io/x:1@$D","Mounts":[{"Type":"tmpfs"}]},
                "Runtime":"","PluginSpec":null}}"#,
        ] {
            for target in ["/v1.30/services/create", "/v1.53/services/create", "/services/create"] {
                assert_eq!(post(target, body), meant("create"), "{target} {body}");
            }
            let target = "/v1.41/services/web/update?version=7&registryAuthFrom=spec&rollback=";
            assert_eq!(post(target, body), meant("update"), "{body}");
        }
    }

    #[test]
    fn refuses_what_a_node_would_choose() {
        for (body, code) in [
            ("", "body-withheld"),
            ("{}", "no-image"),
            (r#"{"TaskTemplate":{}}"#, "no-image"),
            (r#"{"TaskTemplate":{"ContainerSpec":null}}"#, "no-image"),
            (r#"{"TaskTemplate":{"ContainerSpec":{}}}"#, "no-image"),
            (r#"{"TaskTemplate":{"ContainerSpec":{"Image":""}}}"#, "no-image"),
            (r#"{"TaskTemplate":{"ContainerSpec":{"Image":"h.io/x:1"}}}"#, "service-needs-digest"),
            (r#"{"TaskTemplate":{"ContainerSpec":{"Image":"$D"}}}"#, "service-needs-digest"),
            (r#"{"TaskTemplate":{"ContainerSpec":{"Image":"h.io/x@sha256:0"}}}"#, "bad-reference"),
            (r#"{"TaskTemplate":{"ContainerSpec":{"Image":1}}}"#, "body-malformed"),
            (r#"{"TaskTemplate":[]}"#, "body-malformed"),
            (r#"{"taskTemplate":{"ContainerSpec":{"Image":"x@$D"}}}"#, "ambiguous-name"),
            (r#"{"TaskTemplate":{"ContainerSpec":{"image":"x@$D"}}}"#, "ambiguous-name"),
            (
                r#"{"TaskTemplate":{"ContainerSpec":{"Image":"x@$D"},"runtime":"plugin"}}"#,
                "ambiguous-name",
            ),
            (
                r#"{"TaskTemplate":{"ContainerSpec":{"Image":"x@$D"},"Runtime":"plugin"}}"#,
                "plugin-runtime",
            ),
            (
                r#"{"TaskTemplate":{"ContainerSpec":{"Image":"x@$D"},"Runtime":"attachment"}}"#,
                "plugin-runtime",
            ),
            (
                r#"{"TaskTemplate":{"ContainerSpec":{"Image":"x@$D"},"PluginSpec":{}}}"#,
                "plugin-runtime",
            ),
            (
                r#"{"TaskTemplate":{"ContainerSpec":{"Image":"x@$D",
                    "Mounts":[{"Type":"image"}]}}}"#,
                "image-mount",
            ),
            (
                r#"{"TaskTemplate":{"ContainerSpec":{"Image":"x@$D",
                    "Mounts":[{"Source":"/etc","Target":"/h"}]}}}"#,
                "body-malformed",
            ),
        ] {
            for target in ["/v1.41/services/create", "/v1.41/services/web/update?version=7"] {
                assert_eq!(post(target, body), format!("deny {code}"), "{target} {body}");
            }
        }
    }

    #[test]
    fn reads_what_a_service_asks_of_the_nodes() {
        for (members, asked) in [
            ("", ""),
            (r#","CapabilityAdd":["CAP_CHOWN"],"Privileges":null"#, ""),
            (r#","CapabilityAdd":["CAP_SYS_ADMIN"]"#, r#" asking capability "SYS_ADMIN""#),
            (r#","Mounts":[{"Type":"bind","Source":"/etc"}]"#, r#" asking bind of "/etc""#),
            (r#","Privileges":{"Seccomp":{"Mode":"default"},"SELinuxContext":{}}"#, ""),
            (
                r#","Privileges":{"Seccomp":{"Mode":"unconfined"},"AppArmor":{"Mode":"disabled"},
                    "SELinuxContext":{"Disable":true,"Type":"t"}}"#,
                " asking security option \"Seccomp unconfined\", security option \
                 \"AppArmor disabled\", security option \"SELinuxContext.Disable\", \
                 security option \"SELinuxContext.Type\"",
            ),
        ] {
            let spec = format!(r#"{{"Image":"h.io/x@$D"{members}}}"#);
            let body = format!(r#"{{"TaskTemplate":{{"ContainerSpec":{spec}}}}}"#);
            let meant = format!("service create h.io/x@{D}{asked}");
            assert_eq!(post("/v1.41/services/create", &body), meant, "{members}");
            let stored = specified_access(&spec).unwrap();
            assert_eq!(stored.is_empty(), asked.is_empty(), "{members}");
        }
        assert_eq!(specified_access("[]").unwrap_err().code(), "body-malformed");
    }

    #[test]
    fn the_query_and_the_version_count() {
        let body = r#"{"TaskTemplate":{"ContainerSpec":{"Image":"h.io/x@$D"}}}"#;
        for (target, meant) in [
            ("/v1.41/services/web/update?version=7&rollback=previous", "rollback web"),
            ("/v1.29/services/web/update?rollback=previous", "rollback web"),
            ("/v1.29/services/create", "deny service-api-version"),
            ("/v1.29/services/web/update?version=7", "deny service-api-version"),
            ("/v1.41/services/web/update?rollback=none", "deny query-malformed"),
            ("/v1.41/services/web/update?rollback=&rollback=previous", "deny query-malformed"),
            ("/v1.41/services/web/update?version=7&version=8", "deny query-malformed"),
            ("/v1.41/services/web/update?x=%zz", "deny query-malformed"),
            ("/v1.41/services/create?x=%zz", "deny query-malformed"),
            ("/v1.41/services/create?#%zz", "deny target-malformed"),
            ("/v1.41/services/a/b/update", "deny unknown-route"),
            ("/v1.41/services/a+b/update?rollback=previous", "deny target-malformed"),
        ] {
            assert_eq!(post(target, body), meant, "{target}");
        }
    }
}
