//! Logins, as `docker login` writes them down.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

/// A user name and password for one registry.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    username: String,
    password: String,
}

impl Credentials {
    /// Credentials known in the clear.
    ///
    /// # Errors
    /// Where HTTP's Basic scheme cannot carry the user name: empty, or with a colon.
    pub fn new(username: String, password: String) -> Result<Self, CredentialsError> {
        if username.is_empty() || username.contains(':') {
            return Err(CredentialsError::Username);
        }
        Ok(Self { username, password })
    }

    /// The credentials for `host` in the text of a docker `config.json`; none if it
    /// knows no login there.
    ///
    /// Entries may be written `host`, `https://host` or `https://host/v1/`, and those
    /// for `docker.io` as `index.docker.io`, as docker's own clients have done.
    ///
    /// # Errors
    /// Where there is a login that cannot be used from here, as its secret is kept by
    /// a helper program or is not a password.
    pub fn from_docker_config(config: &[u8], host: &str) -> Result<Option<Self>, CredentialsError> {
        let config: Config = serde_json::from_slice(config).map_err(|error| {
            CredentialsError::Malformed { line: error.line(), column: error.column() }
        })?;
        let host = canonical(host);
        if config.cred_helpers.keys().any(|key| canonical(key) == host) {
            return Err(unsupported("credHelpers", host));
        }
        // An entry of exactly this name goes before other spellings, as in docker.
        let entry = config.auths.get(host).or_else(|| {
            config.auths.iter().find(|(key, _)| canonical(key) == host).map(|(_, entry)| entry)
        });
        let Some(entry) = entry else { return Ok(None) };
        if !entry.identitytoken.is_empty() {
            return Err(unsupported("identitytoken", host));
        }
        if !entry.registrytoken.is_empty() {
            return Err(unsupported("registrytoken", host));
        }
        if !entry.auth.is_empty() {
            return decode(&entry.auth, host).map(Some);
        }
        if !entry.username.is_empty() {
            return Self::new(entry.username.clone(), entry.password.clone()).map(Some);
        }
        // With a store, `docker login` leaves an empty entry behind.
        if config.creds_store.is_empty() {
            Err(CredentialsError::Empty { host: host.to_owned() })
        } else {
            Err(unsupported("credsStore", host))
        }
    }

    /// The user name.
    pub fn username(&self) -> &str {
        &self.username
    }

    /// The value of an `Authorization` header of the Basic scheme (RFC 7617). Secret.
    pub(super) fn basic(&self) -> String {
        format!("Basic {}", STANDARD.encode(format!("{}:{}", self.username, self.password)))
    }
}

impl fmt::Debug for Credentials {
    /// Leaves the password out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

/// Why no credentials could be read. Never contains a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// Not a docker `config.json`. The text is not repeated: it may hold secrets.
    #[error("not a docker config.json (line {line}, column {column})")]
    Malformed {
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
    },
    /// The login is kept in a way that cannot be used here.
    #[error(
        "the login for {host} is kept in `{member}`, which is not supported: use an `auths` entry \
         with `auth`, or give user name and password"
    )]
    Unsupported {
        /// The member of `config.json`.
        member: &'static str,
        /// The registry.
        host: String,
    },
    /// The entry has neither `auth` nor `username`.
    #[error("the `auths` entry for {host} holds no credentials")]
    Empty {
        /// The registry.
        host: String,
    },
    /// `auth` is not the base64 of `user:password`.
    #[error("`auth` for {host} is not the base64 of user:password")]
    Auth {
        /// The registry.
        host: String,
    },
    /// The user name is empty or contains a colon.
    #[error("a user name must not be empty or contain ':'")]
    Username,
}

/// The parts of `config.json` that are about logins.
#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
    #[serde(default, rename = "credHelpers")]
    cred_helpers: BTreeMap<String, String>,
    #[serde(default, rename = "credsStore")]
    creds_store: String,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    auth: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    identitytoken: String,
    #[serde(default)]
    registrytoken: String,
}

/// The host a key of `auths` stands for (docker's `ConvertToHostname`).
fn canonical(key: &str) -> &str {
    let rest = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    match rest.split('/').next().unwrap_or(rest) {
        "index.docker.io" => "docker.io",
        host => host,
    }
}

fn decode(auth: &str, host: &str) -> Result<Credentials, CredentialsError> {
    let wrong = || CredentialsError::Auth { host: host.to_owned() };
    let text =
        String::from_utf8(STANDARD.decode(auth).map_err(|_| wrong())?).map_err(|_| wrong())?;
    let (username, password) = text.split_once(':').ok_or_else(wrong)?;
    // Old clients padded the password with NULs; docker trims them.
    Credentials::new(username.to_owned(), password.trim_matches('\0').to_owned())
}

fn unsupported(member: &'static str, host: &str) -> CredentialsError {
    CredentialsError::Unsupported { member, host: host.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(config: &str, host: &str) -> Result<Option<Credentials>, CredentialsError> {
        Credentials::from_docker_config(config.as_bytes(), host)
    }

    fn pair(username: &str, password: &str) -> Credentials {
        Credentials { username: username.into(), password: password.into() }
    }

    #[test]
    fn reads_every_spelling_of_a_login() {
        // "dXNlcjpwYTpzcw==" is user:pa:ss.
        for key in ["h.io:5000", "https://h.io:5000", "https://h.io:5000/v1/", "http://h.io:5000"] {
            let config = format!(r#"{{"auths":{{"{key}":{{"auth":"dXNlcjpwYTpzcw=="}}}}}}"#);
            assert_eq!(read(&config, "h.io:5000"), Ok(Some(pair("user", "pa:ss"))), "{key}");
            assert_eq!(read(&config, "h.io"), Ok(None), "{key}");
        }
        let hub = r#"{"auths":{"https://index.docker.io/v1/":{"username":"u","password":"p"}}}"#;
        assert_eq!(read(hub, "docker.io"), Ok(Some(pair("u", "p"))));
        assert_eq!(read("{}", "h.io"), Ok(None));
    }

    #[test]
    fn prefers_the_exact_spelling() {
        let config = r#"{"auths":{
            "h.io":{"username":"exact","password":"p"},
            "https://h.io":{"username":"other","password":"p"}}}"#;
        assert_eq!(read(config, "h.io"), Ok(Some(pair("exact", "p"))));
    }

    #[test]
    fn says_what_cannot_be_used() {
        for (config, member) in [
            (r#"{"auths":{"h.io":{}},"credsStore":"pass"}"#, "credsStore"),
            (r#"{"credHelpers":{"h.io":"ecr-login"}}"#, "credHelpers"),
            (r#"{"auths":{"h.io":{"auth":"dTpw","identitytoken":"t"}}}"#, "identitytoken"),
            (r#"{"auths":{"h.io":{"registrytoken":"t"}}}"#, "registrytoken"),
        ] {
            assert_eq!(read(config, "h.io"), Err(unsupported(member, "h.io")), "{config}");
            assert_eq!(read(config, "other.io"), Ok(None), "{config}");
        }
        for (config, error) in [
            (r#"{"auths":{"h.io":{}}}"#, CredentialsError::Empty { host: "h.io".into() }),
            (
                r#"{"auths":{"h.io":{"auth":"%%%"}}}"#,
                CredentialsError::Auth { host: "h.io".into() },
            ),
            (
                r#"{"auths":{"h.io":{"auth":"dXNlcg=="}}}"#,
                CredentialsError::Auth { host: "h.io".into() },
            ),
            (r#"{"auths":{"h.io":{"auth":"OnB3"}}}"#, CredentialsError::Username),
            ("{\n  oops", CredentialsError::Malformed { line: 2, column: 3 }),
        ] {
            assert_eq!(read(config, "h.io"), Err(error), "{config}");
        }
    }

    #[test]
    fn never_shows_the_password() {
        let credentials = Credentials::new("user".into(), "s3cret".into()).unwrap();
        assert!(!format!("{credentials:?}").contains("s3cret"));
        assert_eq!(credentials.basic(), "Basic dXNlcjpzM2NyZXQ=");
        let broken = r#"{"auths":{"h.io":{"auth":"czNjcmV0LXMzY3JldA=="}}}"#;
        assert!(!format!("{:?}", read(broken, "h.io")).contains("s3cret"));
    }
}
