//! Why bytes could not be had.

use std::fmt;
use std::time::Duration;

/// What was asked: its part in the question, and its host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    role: Role,
    host: String,
}

/// The part a server plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Registry,
    TokenServer,
    TrustServer,
}

impl Place {
    pub(super) fn new(role: Role, host: &str) -> Self {
        Self { role, host: host.to_owned() }
    }

    /// The server's host and, where given, port.
    pub fn host(&self) -> &str {
        &self.host
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = match self.role {
            Role::Registry => "registry",
            Role::TokenServer => "token server",
            Role::TrustServer => "trust server",
        };
        write!(f, "{role} {}", self.host)
    }
}

/// Why a server's bytes could not be had: one sentence that names the host and the
/// cause, fit for the person whose command is refused.
///
/// None of this says anything about the image. Only [`Unavailable::NotFound`] is an
/// answer to the question asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// The server answered, and has nothing at this name.
    #[error("{at} has nothing at this name (404)")]
    NotFound {
        /// Who was asked.
        at: Place,
    },
    /// The deadline, or the time allowed to connect, passed.
    #[error("{at} did not answer in {}", Seconds(*allowed))]
    Timeout {
        /// Who was asked.
        at: Place,
        /// How long was waited.
        allowed: Duration,
    },
    /// Nothing listens there.
    #[error("{at} cannot be reached: connection refused")]
    ConnectionRefused {
        /// Who was asked.
        at: Place,
    },
    /// DNS knows no such name, or does not answer.
    #[error("{at} cannot be reached: the name does not resolve ({cause})")]
    UnknownHost {
        /// Who was asked.
        at: Place,
        /// What the resolver says.
        cause: String,
    },
    /// No connection, for another reason.
    #[error("{at} cannot be reached: {cause}")]
    Unreachable {
        /// Who was asked.
        at: Place,
        /// What the system says.
        cause: String,
    },
    /// The HTTP proxy on the way does not lead there.
    #[error("{at} cannot be reached through the proxy {proxy}, which {cause}")]
    Proxy {
        /// Who was to be asked.
        at: Place,
        /// The proxy's host and, where given, port.
        proxy: String,
        /// What it did: completes "the proxy, which …".
        cause: String,
    },
    /// The connection ended before the answer did.
    #[error("{at} closed the connection before its answer was complete ({cause})")]
    Interrupted {
        /// Who was asked.
        at: Place,
        /// What was seen.
        cause: String,
    },
    /// The certificate chains to none of the trusted ones.
    #[error("certificate of {at} is not signed by {trusted} (UnknownIssuer)")]
    UnknownIssuer {
        /// Who was asked.
        at: Place,
        /// What would have been trusted: "the registered CA".
        trusted: String,
    },
    /// The certificate is past its last day.
    #[error("certificate of {at} has expired")]
    CertificateExpired {
        /// Who was asked.
        at: Place,
    },
    /// The certificate names other hosts.
    #[error("certificate of {at} is made out to another name")]
    CertificateName {
        /// Who was asked.
        at: Place,
    },
    /// The TLS handshake failed for another reason.
    #[error("TLS with {at} failed: {cause}")]
    Tls {
        /// Who was asked.
        at: Place,
        /// What the TLS library says.
        cause: String,
    },
    /// The credentials do not open this.
    #[error("{at} refused the credentials ({status})")]
    Unauthorized {
        /// Who was asked.
        at: Place,
        /// 401 or 403.
        status: u16,
    },
    /// It takes credentials, and none are configured.
    #[error("{at} asks for credentials, and none are configured ({status})")]
    NoCredentials {
        /// Who was asked.
        at: Place,
        /// 401 or 403.
        status: u16,
    },
    /// The server points elsewhere.
    #[error("{at} redirects to {to}, which is not followed")]
    Redirect {
        /// Who was asked.
        at: Place,
        /// Where to; quoted and cut, as the server is not to be trusted.
        to: String,
    },
    /// The body is larger than the caller takes.
    #[error("{at} gave an answer larger than {max} bytes")]
    TooLarge {
        /// Who was asked.
        at: Place,
        /// The limit in bytes.
        max: u64,
    },
    /// The answer breaks the protocol.
    #[error("{at} gave a bad answer: {what}")]
    BadAnswer {
        /// Who was asked.
        at: Place,
        /// What is wrong with it.
        what: String,
    },
    /// A registry that does not say which digest a tag has.
    #[error("{at} sends no Docker-Content-Digest header")]
    NoDigest {
        /// Who was asked.
        at: Place,
    },
    /// It wants fewer requests (429), or none for a while (503 with `Retry-After`).
    #[error("{at} takes no more requests for now{}", Again(*retry_after))]
    RateLimited {
        /// Who was asked.
        at: Place,
        /// How long it asks to be left alone, within what it is granted.
        retry_after: Option<Duration>,
    },
    /// A status nothing can be done with: 5xx and whatever else.
    #[error("{at} answered {status}")]
    Status {
        /// Who was asked.
        at: Place,
        /// The HTTP status.
        status: u16,
    },
}

impl Unavailable {
    pub(super) fn bad_answer(at: &Place, what: impl Into<String>) -> Self {
        Self::BadAnswer { at: at.clone(), what: what.into() }
    }

    /// A stable word for the kind of failure, for logs and metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "not-found",
            Self::Timeout { .. } => "timeout",
            Self::ConnectionRefused { .. }
            | Self::UnknownHost { .. }
            | Self::Unreachable { .. }
            | Self::Interrupted { .. } => "unreachable",
            Self::Proxy { .. } => "proxy",
            Self::UnknownIssuer { .. }
            | Self::CertificateExpired { .. }
            | Self::CertificateName { .. }
            | Self::Tls { .. } => "tls",
            Self::Unauthorized { .. } | Self::NoCredentials { .. } => "unauthorized",
            Self::TooLarge { .. } => "too-large",
            Self::RateLimited { .. } => "rate-limited",
            Self::Status { status: 500.., .. } => "server-error",
            Self::Redirect { .. }
            | Self::BadAnswer { .. }
            | Self::NoDigest { .. }
            | Self::Status { .. } => "bad-answer",
        }
    }

    /// Whether it concerns the server as a whole, not the one thing asked for: no
    /// connection to it could be made, or it did not answer in time.
    pub fn is_of_the_server(&self) -> bool {
        matches!(
            self,
            Self::Timeout { .. }
                | Self::ConnectionRefused { .. }
                | Self::UnknownHost { .. }
                | Self::Unreachable { .. }
                | Self::Proxy { .. }
                | Self::UnknownIssuer { .. }
                | Self::CertificateExpired { .. }
                | Self::CertificateName { .. }
                | Self::Tls { .. }
        )
    }

    /// Whether it is what an attack looks like, rather than neglect or an accident: no
    /// honest server has more of a file than its role can have.
    pub fn is_attack_like(&self) -> bool {
        matches!(self, Self::TooLarge { .. })
    }

    /// How long the server asks not to be asked again, from its answer on; an hour at
    /// most, whatever it says.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether the server answered that there is nothing, which is no failure of its own.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }
}

/// A duration as people write it: `5 s`, `0.2 s`.
pub(super) struct Seconds(pub(super) Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s", self.0.as_secs_f64())
    }
}

/// When to come again: `; it says to try again in 30 s (Retry-After)`.
struct Again(Option<Duration>);

impl fmt::Display for Again {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(wait) => write!(f, "; it says to try again in {} (Retry-After)", Seconds(wait)),
            None => Ok(()),
        }
    }
}

/// Text of a server's choosing, made fit for a log line and a terminal: escaped,
/// quoted and cut.
pub(super) fn quote(text: &str) -> String {
    /// Enough to recognise a URL or a message by.
    const LONGEST: usize = 200;
    let cut: String = text.chars().take(LONGEST).collect();
    let more = if cut.len() < text.len() { "…" } else { "" };
    format!("{cut:?}{more}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_who_and_why() {
        let at = Place::new(Role::TrustServer, "reg.example.com:4443");
        for (error, text, kind) in [
            (
                Unavailable::Timeout { at: at.clone(), allowed: Duration::from_secs(5) },
                "trust server reg.example.com:4443 did not answer in 5 s",
                "timeout",
            ),
            (
                Unavailable::UnknownIssuer { at: at.clone(), trusted: "the registered CA".into() },
                "certificate of trust server reg.example.com:4443 is not signed by the \
                 registered CA (UnknownIssuer)",
                "tls",
            ),
            (
                Unavailable::Status { at: at.clone(), status: 503 },
                "trust server reg.example.com:4443 answered 503",
                "server-error",
            ),
            (
                Unavailable::RateLimited { at: at.clone(), retry_after: None },
                "trust server reg.example.com:4443 takes no more requests for now",
                "rate-limited",
            ),
            (
                Unavailable::RateLimited {
                    at: at.clone(),
                    retry_after: Some(Duration::from_secs(30)),
                },
                "trust server reg.example.com:4443 takes no more requests for now; it says to try \
                 again in 30 s (Retry-After)",
                "rate-limited",
            ),
            (
                Unavailable::Status { at: at.clone(), status: 400 },
                "trust server reg.example.com:4443 answered 400",
                "bad-answer",
            ),
        ] {
            assert_eq!(error.to_string(), text);
            assert_eq!(error.kind(), kind);
            assert!(!error.is_not_found());
        }
        assert!(Unavailable::NotFound { at }.is_not_found());
    }

    #[test]
    fn waits_read_naturally() {
        assert_eq!(Seconds(Duration::from_millis(200)).to_string(), "0.2 s");
        assert_eq!(Seconds(Duration::from_secs(10)).to_string(), "10 s");
    }

    #[test]
    fn hostile_text_cannot_draw_on_a_terminal() {
        assert_eq!(quote("a\u{1b}[2J\nb"), r#""a\u{1b}[2J\nb""#);
        assert!(quote(&"x".repeat(500)).chars().count() < 210);
    }
}
