//! Why a call is not read further: it is unknown, or it could be understood in two ways.

use crate::image::NameError;

/// Why a call is refused without asking who signed what.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The request target is not in the one form that all parsers read alike.
    #[error("the request target {fault}")]
    Target {
        /// What is wrong, as the end of a sentence.
        fault: &'static str,
    },
    /// The query string, or one parameter of it, is ambiguous or not understood.
    #[error("in the query, {name:?} {fault}")]
    Query {
        /// The parameter, or the piece of the query that is not one.
        name: String,
        /// What is wrong, as the end of a sentence.
        fault: &'static str,
    },
    /// No row of the endpoint table matches.
    #[error("{method} {route} is not a Docker API call that is known here")]
    UnknownRoute {
        /// The method, as sent.
        method: String,
        /// The path, without version and query.
        route: String,
    },
    /// A known route that no configuration opens.
    #[error("{route} is closed: {why}")]
    ClosedRoute {
        /// The route's pattern.
        route: &'static str,
        /// The reason, as a clause.
        why: &'static str,
    },
    /// A call that must have no body may have one, which would override the query.
    #[error("this call must come without a body, but {evidence}")]
    FormBody {
        /// The header and what it shows, as a clause.
        evidence: String,
    },
    /// The call has a body, or should have, and the engine does not show it.
    #[error("the engine did not show the body of this call, so what it asks for is unknown")]
    BodyWithheld,
    /// The body is not one unambiguous JSON document of the expected shape.
    #[error("{place} {fault}")]
    BodyMalformed {
        /// `the body`, or the path of a member in it.
        place: String,
        /// What is wrong, as the end of a sentence.
        fault: String,
    },
    /// A member name that engines take for a documented one, in another spelling.
    #[error("the body writes {written:?} where the API documents {place}")]
    AmbiguousName {
        /// The documented path.
        place: String,
        /// The name as written.
        written: String,
    },
    /// No image is named: the container would run whatever is copied into it.
    #[error("{place} names no image")]
    NoImage {
        /// The path of the member.
        place: String,
    },
    /// The name given for an image is none.
    #[error("{place} {written:?} is not an image name: {error}")]
    BadReference {
        /// The path of the member, or the query parameter.
        place: String,
        /// The name as written.
        written: String,
        /// The rule it breaks.
        error: NameError,
    },
    /// The parameters of a pull name more than one image.
    #[error("the pull is ambiguous: {fault}")]
    AmbiguousPull {
        /// What is given twice, as a clause.
        fault: &'static str,
    },
    /// A pull without tag and digest, which fetches every tag of the repository.
    #[error("pulling {repository} without a tag would fetch all its tags")]
    AllTags {
        /// The repository.
        repository: String,
    },
    /// A mount of another image's content into the container.
    #[error("{place} mounts the content of another image")]
    ImageMount {
        /// The path of the mount.
        place: String,
    },
    /// A start from a checkpoint, whose memory image no signature covers.
    #[error("a start from a checkpoint runs what no signature covers")]
    CheckpointStart,
    /// A container's new name that has the form of an ID.
    #[error("a container named like an ID could be taken for the one that has this ID")]
    IdAsName,
    /// A service whose image is not fixed by a digest.
    #[error("the service's image {written:?} is not fixed by a digest, so each node would choose")]
    ServiceNeedsDigest {
        /// The image as written.
        written: String,
    },
    /// An API version in which the engine rewrites a service's image itself.
    #[error("in API version {major}.{minor} the engine chooses a service's image by itself")]
    ServiceApiVersion {
        /// The major version.
        major: u32,
        /// The minor version.
        minor: u32,
    },
    /// A service that does not run containers.
    #[error("{place} makes this a service that does not run a container image")]
    PluginRuntime {
        /// The path of the member.
        place: String,
    },
}

impl Refusal {
    /// A stable word for messages, logs, metrics and documentation.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Target { .. } => "target-malformed",
            Self::Query { .. } => "query-malformed",
            Self::UnknownRoute { .. } => "unknown-route",
            Self::ClosedRoute { .. } => "closed-route",
            Self::FormBody { .. } => "form-body",
            Self::BodyWithheld => "body-withheld",
            Self::BodyMalformed { .. } => "body-malformed",
            Self::AmbiguousName { .. } => "ambiguous-name",
            Self::NoImage { .. } => "no-image",
            Self::BadReference { .. } => "bad-reference",
            Self::AmbiguousPull { .. } => "ambiguous-pull",
            Self::AllTags { .. } => "all-tags",
            Self::ImageMount { .. } => "image-mount",
            Self::CheckpointStart => "checkpoint-start",
            Self::IdAsName => "id-as-name",
            Self::ServiceNeedsDigest { .. } => "service-needs-digest",
            Self::ServiceApiVersion { .. } => "service-api-version",
            Self::PluginRuntime { .. } => "plugin-runtime",
        }
    }

    /// What an honest caller can do, in one sentence.
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Target { .. } => {
                "Send a plain path such as /v1.41/containers/json, with names of letters, digits \
                 and . _ : / @ - only."
            }
            Self::Query { .. } => {
                "Send each documented parameter once, percent-encoded, separated by '&'."
            }
            Self::UnknownRoute { .. } => {
                "Use a call of Docker Engine API 1.24 to 1.53; a newer one needs a newer plugin."
            }
            Self::ClosedRoute { .. } => "Do this on the host itself, without the Docker API.",
            Self::FormBody { .. } => {
                "Send an explicit 'Content-Length: 0' and no form type; with curl, \
                 -X POST -H 'Content-Length: 0'."
            }
            Self::BodyWithheld => {
                "Send the body as 'Content-Type: application/json'; if it is, and 1 MiB or larger, \
                 make it smaller or update the engine, which shows such bodies only since the fix \
                 of CVE-2026-34040."
            }
            Self::BodyMalformed { .. } => {
                "Send one JSON document in UTF-8, with every member once and of the documented \
                 type."
            }
            Self::AmbiguousName { .. } => "Spell member names exactly as the API documents them.",
            Self::NoImage { .. } => "Make the container of an image, by its name.",
            Self::BadReference { .. } => {
                "Write the image as name:tag or name@sha256:digest, in lower case."
            }
            Self::AmbiguousPull { .. } => {
                "Send the repository as fromImage and its tag or digest as tag, once each."
            }
            Self::AllTags { .. } => "Pull one tag or digest at a time, without --all-tags.",
            Self::ImageMount { .. } => "Leave the mount of type image out.",
            Self::CheckpointStart => "Start the container without a checkpoint.",
            Self::IdAsName => "Choose a name of other than 64 hex digits.",
            Self::ServiceNeedsDigest { .. } => {
                "Use 'docker service create' without --no-resolve-image, or write the image as \
                 name:tag@sha256:digest."
            }
            Self::ServiceApiVersion { .. } => {
                "Use a client that speaks API version 1.30 or newer, or unset DOCKER_API_VERSION."
            }
            Self::PluginRuntime { .. } => "Create services of container images only.",
        }
    }
}

/// The beginning of a caller's text, short enough for a message.
pub(super) fn excerpt(text: &str) -> String {
    const MOST: usize = 200;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut() {
        assert_eq!(excerpt("short"), "short");
        let cut = excerpt(&"é".repeat(1000));
        assert_eq!(cut, format!("{}…", "é".repeat(200)));
    }
}
