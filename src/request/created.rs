//! What has a call made?

use super::endpoint::{self, CREATE_CONTAINER};
use super::target::Target;
use super::wire::{Call, Response};
use crate::image::ContainerId;
use crate::json::{self, Limits, Names};

/// What the answer holds in number are warnings.
const LIMITS: Limits = Limits { depth: 8, values: 200_000 };

/// The container that a call has made, where the engine's response tells.
///
/// A create that succeeded answers `201 {"Id":"<64 hex>","Warnings":[]}`. A response
/// without status or body says nothing: the handler failed, or the caller made it so long
/// that it was sent already.
///
/// Source: `postContainersCreate` of Docker Engine 20.10, 26, 28 and 29;
/// `authorization.responseModifier` for what is sent already.
pub fn created(call: &Call, response: &Response) -> Option<ContainerId> {
    const CREATED: u16 = 201;
    if response.status != Some(CREATED) {
        return None;
    }
    let target = Target::parse(&call.uri).ok()?;
    let (endpoint, _) = endpoint::find(&call.method, &target).ok()?;
    if endpoint.pattern != CREATE_CONTAINER {
        return None;
    }
    let answer = json::parse(response.body.as_deref()?, Names::Go, LIMITS).ok()?;
    ContainerId::from_hex(answer.as_object()?.get("Id")?.as_str()?)
}

#[cfg(test)]
mod tests {
    use super::super::recorded::call;
    use super::*;

    const ID: &str = "145efec3e7674af0ea621617610fabe76eb46cfa88a9b225311d118e1d70acd8";

    fn found(method: &str, uri: &str, status: u16, body: &str) -> Option<String> {
        let body = Some(body.as_bytes().to_vec()).filter(|body| !body.is_empty());
        let response = Response { status: Some(status).filter(|status| *status != 0), body };
        created(&call(method, uri, &[], ""), &response).map(|id| id.to_string())
    }

    #[test]
    fn a_create_that_succeeded_tells_the_container() {
        let body = format!(r#"{{"Id":"{ID}","Warnings":["a","b"]}}"#);
        for uri in ["/containers/create", "/v1.41/containers/create?name=x"] {
            assert_eq!(found("POST", uri, 201, &body).as_deref(), Some(ID), "{uri}");
        }
    }

    #[test]
    fn nothing_else_does() {
        let create = "/v1.41/containers/create";
        let good = format!(r#"{{"Id":"{ID}"}}"#);
        for (method, uri, status, body) in [
            ("GET", create, 201, good.as_str()),
            ("POST", "/v1.41/containers/create/exec", 201, &good),
            ("POST", "/v1.41/services/create", 201, &good),
            ("POST", "containers/create", 201, &good),
            ("POST", create, 200, &good),
            ("POST", create, 404, r#"{"message":"No such image"}"#),
            ("POST", create, 0, ""),
            ("POST", create, 201, ""),
            ("POST", create, 201, "{}"),
            ("POST", create, 201, "[]"),
            ("POST", create, 201, r#"{"Id":"web"}"#),
            ("POST", create, 201, r#"{"Id":1}"#),
            ("POST", create, 201, &format!(r#"{{"Id":"{ID}","id":"{ID}"}}"#)),
        ] {
            assert_eq!(found(method, uri, status, body), None, "{method} {uri} {status} {body}");
        }
    }
}
