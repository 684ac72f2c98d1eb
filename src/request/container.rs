//! `POST /containers/create`, `…/start`, `…/restart`, `…/rename`, `…/exec` and `…/update`, and
//! `POST /exec/{id}/start`.
//!
//! Source: `postContainersCreate`, `postContainersStart`, `postContainersRestart`,
//! `postContainerRename`, `postContainerExecCreate` and `postContainerUpdate` of Docker
//! Engine 20.10, 26, 28 and 29, and `runconfig.ContainerConfigWrapper` of 20.10.

use super::body::{self, Fields};
use super::host_access::HostAccess;
use super::host_config;
use super::intent::{Intent, Routed, StartVerb};
use super::permission::Permission;
use super::query::Query;
use super::refusal::{Refusal, excerpt};
use crate::image::ContainerId;

/// A new container.
pub(super) fn create(request: &Routed<'_>) -> Result<Intent, Refusal> {
    let query = Query::parse(request.target.query)?;
    query.one("name")?;
    query.one("platform")?;
    let document = body::json(request.call)?;
    let config = Fields::root(&document)?;
    let Some(written) = config.text("Image")?.filter(|name| !name.is_empty()) else {
        return Err(Refusal::NoImage { place: config.place("Image") });
    };
    let image = written.parse().map_err(|error| Refusal::BadReference {
        place: config.place("Image"),
        written: excerpt(written),
        error,
    })?;
    let mut access = Vec::new();
    for host_config in host_configs(config)? {
        host_config::read(&host_config, &mut access)?;
    }
    Ok(Intent::Create { image, written: written.to_owned(), access })
}

/// The first API version in which a start has no body. Before, one could replace the
/// container's host configuration.
const STARTS_BARE: (u32, u32) = (1, 24);

/// A start.
pub(super) fn start(request: &Routed<'_>) -> Result<Intent, Refusal> {
    set_going(request, StartVerb::Start)
}

/// A restart.
pub(super) fn restart(request: &Routed<'_>) -> Result<Intent, Refusal> {
    set_going(request, StartVerb::Restart)
}

/// A further command in a container, which may be given more than the container has.
pub(super) fn exec(request: &Routed<'_>) -> Result<Intent, Refusal> {
    let (permission, route) = (Permission::Exec, request.route);
    let document = body::json(request.call)?;
    if Fields::root(&document)?.flag("Privileged")? {
        let container = request.name()?.to_owned();
        return Ok(Intent::Exec { container, access: vec![HostAccess::Privileged], route });
    }
    Ok(Intent::Guarded { permission, route })
}

/// The start of a command that was prepared by an `exec`, perhaps before anybody judged that.
pub(super) fn exec_start(request: &Routed<'_>) -> Result<Intent, Refusal> {
    Ok(Intent::ExecStart { exec: request.name()?.to_owned(), route: request.route })
}

/// New limits for a container. Engines take no devices from it today; what they may take is
/// all of `container.Resources`.
pub(super) fn update(request: &Routed<'_>) -> Result<Intent, Refusal> {
    let document = body::json(request.call)?;
    let mut access = Vec::new();
    host_config::resources(&Fields::root(&document)?, &mut access)?;
    if access.is_empty() {
        return Ok(Intent::Pass);
    }
    Ok(Intent::Update { container: request.name()?.to_owned(), access })
}

fn set_going(request: &Routed<'_>, verb: StartVerb) -> Result<Intent, Refusal> {
    let query = Query::parse(request.target.query)?;
    for parameter in ["checkpoint", "checkpoint-dir"] {
        if query.one(parameter)?.is_some_and(|value| !value.is_empty()) {
            return Err(Refusal::CheckpointStart);
        }
    }
    // Engines 20.10 to 29 start nothing when the call has a body of untold length
    // (`r.ContentLength == -1`); and a restart takes `t` and `signal` of a form, no more.
    if request.target.version.is_none_or(|version| version >= STARTS_BARE) {
        body::unseen(request.call)?;
    } else {
        body::absent(request.call)?;
    }
    Ok(Intent::Start { container: request.name()?.to_owned(), verb })
}

/// A new name. The handler goes through `ParseForm`, so a form could name another.
///
/// A name that could be an ID is refused: once the container of that ID were gone, a
/// start by its ID would mean this one. The engine puts the leading slash there itself.
pub(super) fn rename(request: &Routed<'_>) -> Result<Intent, Refusal> {
    let query = Query::parse(request.target.query)?;
    let name = query.one("name")?.unwrap_or_default();
    body::absent(request.call)?;
    let name = name.strip_prefix('/').unwrap_or(name);
    if ContainerId::from_hex(name).is_some() { Err(Refusal::IdAsName) } else { Ok(Intent::Rename) }
}

/// Where the body configures the host's side of the container: in `HostConfig`, and for
/// 20.10 at the top level too, which it prefers (`ContainerConfigWrapper.getHostConfig`).
fn host_configs(config: Fields<'_>) -> Result<impl Iterator<Item = Fields<'_>>, Refusal> {
    Ok(config.object("HostConfig")?.into_iter().chain([config]))
}

#[cfg(test)]
mod tests {
    use super::super::recorded::{NO_BODY, call, outcome};

    const ID: &str = "145efec3e7674af0ea621617610fabe76eb46cfa88a9b225311d118e1d70acd8";

    fn create(query: &str, body: &str) -> String {
        let length = body.len().to_string();
        let headers = [("Content-Type", "application/json"), ("Content-Length", length.as_str())];
        outcome(&call("POST", &format!("/v1.41/containers/create{query}"), &headers, body))
    }

    #[test]
    fn reads_the_image_of_a_container() {
        for (body, meant) in [
            (r#"{"Image":"busybox"}"#.to_owned(), "create docker.io/library/busybox".to_owned()),
            (r#"{"Image":"h.io/x:1"}"#.to_owned(), "create h.io/x:1".to_owned()),
            (
                format!(r#"{{"Image":"h.io/x:1@sha256:{ID}"}}"#),
                format!("create h.io/x:1@sha256:{ID}"),
            ),
            (format!(r#"{{"Image":"{ID}"}}"#), format!("create sha256:{ID}")),
            (
                format!(r#"{{"Image":"{}"}}"#, &ID[..12]),
                format!("create docker.io/library/{}", &ID[..12]),
            ),
            (
                r#"{"Image":"x","HostConfig":null,"Labels":{"image":"y"}}"#.to_owned(),
                "create docker.io/library/x".to_owned(),
            ),
            (
                r#"{"Image":"x","HostConfig":{"Mounts":[{"Type":"bind","Source":"/srv"}]}}"#
                    .to_owned(),
                "create docker.io/library/x asking bind of \"/srv\"".to_owned(),
            ),
            (
                r#"{"Image":"x","HostConfig":{"LogConfig":{"Type":"","Config":{}}}}"#.to_owned(),
                "create docker.io/library/x".to_owned(),
            ),
            (
                r#"{"Image":"x","LogConfig":{"Type":"syslog","Config":{"syslog-address":"unix:///s"}}}"#
                    .to_owned(),
                "create docker.io/library/x asking log socket \"unix:///s\"".to_owned(),
            ),
            (
                r#"{"Image":"x","Privileged":true,"HostConfig":{"PidMode":"host"}}"#.to_owned(),
                "create docker.io/library/x asking PidMode \"host\", Privileged".to_owned(),
            ),
            (
                r#"{"Image":"x","HostConfig":{"Mounts":null},"Mounts":[]}"#.to_owned(),
                "create docker.io/library/x".to_owned(),
            ),
        ] {
            assert_eq!(create("?name=a&platform=linux%2Famd64", &body), meant, "{body}");
        }
    }

    #[test]
    fn refuses_bodies_without_one_reading() {
        for (body, code) in [
            ("", "body-withheld"),
            ("null", "body-malformed"),
            ("[]", "body-malformed"),
            (r#"{"Image":"x"}{}"#, "body-malformed"),
            (r#"{"Image":"x"}]"#, "body-malformed"),
            (r#"{"Image":"x","image":"y"}"#, "body-malformed"),
            (r#"{"Image":1}"#, "body-malformed"),
            (r#"{"Image":["x"]}"#, "body-malformed"),
            (r#"{"Image":"x","HostConfig":[]}"#, "body-malformed"),
            (r#"{"Image":"x","HostConfig":{"Mounts":{}}}"#, "body-malformed"),
            (r#"{"Image":"x","HostConfig":{"Mounts":[null]}}"#, "body-malformed"),
            (r#"{"Image":"x","HostConfig":{"Mounts":[{"Type":1}]}}"#, "body-malformed"),
            (r#"{"IMAGE":"x"}"#, "ambiguous-name"),
            (r#"{"Image":"x","hostConfig":{}}"#, "ambiguous-name"),
            (r#"{"Image":"x","HostConfig":{"mounts":[]}}"#, "ambiguous-name"),
            (r#"{"Image":"x","HostConfig":{"Mounts":[{"type":"image"}]}}"#, "ambiguous-name"),
            ("{}", "no-image"),
            (r#"{"Image":""}"#, "no-image"),
            (r#"{"Image":null}"#, "no-image"),
            (r#"{"Image":"EVIL/x"}"#, "bad-reference"),
            (r#"{"Image":" x"}"#, "bad-reference"),
            (r#"{"Image":"x@sha512:00"}"#, "bad-reference"),
            (
                r#"{"Image":"x","HostConfig":{"Mounts":[{"Type":"tmpfs"},{"Type":"image"}]}}"#,
                "image-mount",
            ),
            (r#"{"Image":"x","Mounts":[{"Type":"image"}]}"#, "image-mount"),
        ] {
            assert_eq!(create("", body), format!("deny {code}"), "{body}");
        }
        for query in ["?name=a&name=b", "?platform=&platform=x", "?name=a;b", "?name=%zz"] {
            assert_eq!(create(query, r#"{"Image":"x"}"#), "deny query-malformed", "{query}");
        }
    }

    /// As sent by docker CLI 20.10 (text/plain) and 28, compose, the Python SDK and curl.
    #[test]
    fn reads_starts_of_every_client() {
        for (target, headers, meant) in [
            ("/v1.41/containers/web/start", NO_BODY, "start web"),
            (
                "/v1.41/containers/web/start",
                &[("Content-Length", "0"), ("Content-Type", "text/plain")][..],
                "start web",
            ),
            (
                "/v1.51/containers/web/start?detachKeys=ctrl-p",
                &[("Content-Length", "0"), ("User-Agent", "Docker-Client/28.2.2 (linux)")],
                "start web",
            ),
            (
                "/v1.44/containers/web/restart?t=10",
                &[("Content-Length", "0"), ("Accept-Encoding", "gzip, deflate")],
                "restart web",
            ),
            ("/v1.24/containers/web/start", &[], "start web"),
            ("/containers/web/restart?t=0", &[("User-Agent", "curl/7.88.1")], "restart web"),
            ("/containers/web/start?checkpoint=", NO_BODY, "start web"),
            ("/v1.41/containers/create/start", NO_BODY, "start create"),
            ("/v1.41/containers/a/b/start", NO_BODY, "start a/b"),
            ("/v1.41/containers/a/start/restart", NO_BODY, "restart a/start"),
            ("/v1.41/containers/a%2Fb/start", NO_BODY, "start a/b"),
        ] {
            assert_eq!(outcome(&call("POST", target, headers, "")), meant, "{target}");
        }
    }

    #[test]
    fn reads_renames() {
        let id = format!("/v1.41/containers/a/rename?name=%2F{ID}");
        let id_in_capitals = format!("/v1.41/containers/a/rename?name={}", ID.to_uppercase());
        for (target, headers, meant) in [
            ("/v1.41/containers/a/rename?name=b", NO_BODY, "rename"),
            ("/containers/a/rename?name=%2Fb", NO_BODY, "rename"),
            ("/containers/a/rename", NO_BODY, "rename"),
            (&id_in_capitals, NO_BODY, "rename"),
            (&id, NO_BODY, "deny id-as-name"),
            (&id.replace("%2F", ""), NO_BODY, "deny id-as-name"),
            ("/containers/a/rename?name=b&name=c", NO_BODY, "deny query-malformed"),
            ("/containers/a/rename?name=b", &[], "deny form-body"),
            (
                "/containers/a/rename?name=b",
                &[("Content-Length", "6"), ("Content-Type", "application/x-www-form-urlencoded")],
                "deny form-body",
            ),
        ] {
            assert_eq!(outcome(&call("POST", target, headers, "")), meant, "{target}");
        }
    }

    #[test]
    fn refuses_starts_that_carry_more() {
        for (target, headers, body, code) in [
            ("/v1.23/containers/a/start", &[][..], "", "form-body"),
            ("/v1.41/containers/a/start", &[("Content-Length", "6")], "", "form-body"),
            ("/v1.41/containers/a/restart", &[], "{}", "form-body"),
            (
                "/containers/a/start",
                &[("Content-Type", "application/x-www-form-urlencoded")],
                "",
                "form-body",
            ),
            ("/v1.23/containers/a/start", &[("Content-Length", "2")], "{}", "form-body"),
            ("/v1.41/containers/a/start?checkpoint=c", NO_BODY, "", "checkpoint-start"),
            ("/v1.41/containers/a/start?checkpoint-dir=%2Ftmp", NO_BODY, "", "checkpoint-start"),
            ("/v1.41/containers/a/start?checkpoint=&checkpoint=c", NO_BODY, "", "query-malformed"),
            ("/v1.41/containers/a/start?x=%zz", NO_BODY, "", "query-malformed"),
            ("/v1.41/containers/a%2Fstart", NO_BODY, "", "target-malformed"),
            ("/v1.41/containers/a/st%61rt", NO_BODY, "", "target-malformed"),
            ("/v1.41/containers/a+b/start", NO_BODY, "", "target-malformed"),
            ("/v1.41/containers/a/start/", NO_BODY, "", "unknown-route"),
            ("/v1.41/containers/start", NO_BODY, "", "unknown-route"),
            ("/v1.41/containers/a/Start", NO_BODY, "", "unknown-route"),
        ] {
            let outcome = outcome(&call("POST", target, headers, body));
            assert_eq!(outcome, format!("deny {code}"), "{target}");
        }
    }

    #[test]
    fn reads_what_a_container_is_given_later() {
        for (call_of, body, meant) in [
            ("exec", r#"{"Cmd":["sh"],"Privileged":false}"#, "guarded exec"),
            ("exec", "{}", "guarded exec"),
            ("exec", r#"{"Cmd":["sh"],"Privileged":true}"#, "exec web asking Privileged"),
            ("exec", r#"{"privileged":true}"#, "deny ambiguous-name"),
            ("exec", r#"{"Privileged":"yes"}"#, "deny body-malformed"),
            ("exec", "", "deny body-withheld"),
            ("update", r#"{"Memory":1,"Devices":null,"CgroupParent":""}"#, "pass"),
            ("update", r#"{"Devices":[]}"#, "pass"),
            (
                "update",
                r#"{"Devices":[{"PathOnHost":"/dev/sda"}],"DeviceCgroupRules":["a *:* rwm"]}"#,
                "update web asking device \"/dev/sda\", device rule \"a *:* rwm\"",
            ),
            ("update", r#"{"CgroupParent":"/x"}"#, "update web asking parent cgroup \"/x\""),
            ("update", r#"{"devices":[]}"#, "deny ambiguous-name"),
            ("update", "", "deny body-withheld"),
        ] {
            let target = format!("/v1.41/containers/web/{call_of}");
            let headers = [("Content-Type", "application/json")];
            assert_eq!(outcome(&call("POST", &target, &headers, body)), meant, "{call_of} {body}");
        }
    }
}
