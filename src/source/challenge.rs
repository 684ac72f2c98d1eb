//! `WWW-Authenticate`: how a server wants to be asked.

use hyper::Uri;
use hyper::header::{HeaderMap, WWW_AUTHENTICATE};

use super::url::{self, UrlError};

/// Longest realm, service or scope. A GUN has at most 255 characters, and real realms
/// and services are host names with a little around them.
const MAX_VALUE: usize = 1024;

/// A way to log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// User name and password in every request (RFC 7617).
    Basic,
    /// A token, fetched from the realm (the Docker registry's token protocol).
    Bearer {
        /// Where tokens are had. Always https.
        realm: Uri,
        /// Whom the token shall be for.
        service: Option<String>,
        /// What it shall open, where the server says so and it is no more than a pull.
        scope: Option<String>,
    },
}

/// Why a challenge cannot be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ChallengeError {
    #[error("its WWW-Authenticate header breaks the grammar")]
    Malformed,
    #[error("its WWW-Authenticate header names no realm")]
    NoRealm,
    #[error("its WWW-Authenticate header has a value of more than {MAX_VALUE} characters")]
    TooLong,
    #[error("the realm in its WWW-Authenticate header cannot be used: {0}")]
    Realm(UrlError),
}

/// The way to log in to take, of those a 401 offers: a token if there is one to be had,
/// so that the password goes where tokens are made and nowhere else. None if it offers
/// nothing we know.
pub(super) fn choose(headers: &HeaderMap) -> Result<Option<Challenge>, ChallengeError> {
    let mut offers = Vec::new();
    for value in headers.get_all(WWW_AUTHENTICATE) {
        parse(value.to_str().map_err(|_| ChallengeError::Malformed)?, &mut offers)?;
    }
    let offers_scheme = |scheme| offers.iter().find(|offer: &&Offer| offer.scheme == scheme);
    match (offers_scheme("bearer"), offers_scheme("basic")) {
        (Some(offer), _) => bearer(offer).map(Some),
        (None, Some(_)) => Ok(Some(Challenge::Basic)),
        (None, None) => Ok(None),
    }
}

fn bearer(offer: &Offer) -> Result<Challenge, ChallengeError> {
    if offer.params.iter().any(|(_, value)| value.len() > MAX_VALUE) {
        return Err(ChallengeError::TooLong);
    }
    let realm = offer.param("realm").ok_or(ChallengeError::NoRealm)?;
    Ok(Challenge::Bearer {
        realm: url::https(realm).map_err(ChallengeError::Realm)?,
        service: offer.param("service").map(ToOwned::to_owned),
        // Some servers say "*" here; a token that can do more than pull is not one we
        // want to hold, so their word is not taken then.
        scope: offer.param("scope").filter(|scope| is_pull(scope)).map(ToOwned::to_owned),
    })
}

/// `repository:NAME:pull`, where NAME may contain a port's colon.
fn is_pull(scope: &str) -> bool {
    scope
        .strip_prefix("repository:")
        .and_then(|rest| rest.strip_suffix(":pull"))
        .is_some_and(|name| !name.is_empty() && !name.contains(char::is_whitespace))
}

/// One challenge as written, its names in lower case.
struct Offer {
    scheme: String,
    params: Vec<(String, String)>,
}

impl Offer {
    fn param(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

/// Reads the challenges of one header field (RFC 9110, 11.6.1). A name followed by `=`
/// belongs to the challenge before it; any other starts one.
fn parse(text: &str, offers: &mut Vec<Offer>) -> Result<(), ChallengeError> {
    let before = offers.len();
    let mut rest = text.trim_start_matches([' ', '\t', ',']);
    while !rest.is_empty() {
        let end = rest.find(|c| !is_token(c)).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        if name.is_empty() {
            return Err(ChallengeError::Malformed);
        }
        let name = name.to_ascii_lowercase();
        rest = if let Some(written) = after.trim_start().strip_prefix('=') {
            let (value, after) = value(written.trim_start())?;
            let offer = offers.get_mut(before..).and_then(<[Offer]>::last_mut);
            let offer = offer.ok_or(ChallengeError::Malformed)?;
            if offer.param(&name).is_some() {
                return Err(ChallengeError::Malformed);
            }
            offer.params.push((name, value));
            let after = after.trim_start();
            if !after.is_empty() && !after.starts_with(',') {
                return Err(ChallengeError::Malformed);
            }
            after
        } else {
            if !after.is_empty() && !after.starts_with([' ', '\t', ',']) {
                return Err(ChallengeError::Malformed);
            }
            offers.push(Offer { scheme: name, params: Vec::new() });
            after
        }
        .trim_start_matches([' ', '\t', ',']);
    }
    Ok(())
}

/// A parameter's value, quoted or not, and what follows it.
fn value(text: &str) -> Result<(String, &str), ChallengeError> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(|c| !is_token(c)).unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        let value = (!value.is_empty()).then(|| value.to_owned());
        return value.map(|value| (value, rest)).ok_or(ChallengeError::Malformed);
    };
    let mut value = String::new();
    let mut chars = quoted.chars();
    loop {
        match chars.next().ok_or(ChallengeError::Malformed)? {
            '"' => return Ok((value, chars.as_str())),
            '\\' => value.push(chars.next().ok_or(ChallengeError::Malformed)?),
            c => value.push(c),
        }
    }
}

/// RFC 9110's `tchar`.
fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn read(fields: &[&str]) -> Result<Option<Challenge>, ChallengeError> {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_str(field).unwrap());
        }
        choose(&headers)
    }

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        Challenge::Bearer {
            realm: realm.parse().unwrap(),
            service: service.map(ToOwned::to_owned),
            scope: scope.map(ToOwned::to_owned),
        }
    }

    #[test]
    fn reads_what_servers_send() {
        let notary = bearer(
            "https://h.io:5001/auth",
            Some("notary"),
            Some("repository:h.io:5443/qa/app:pull"),
        );
        for (fields, challenge) in [
            (
                &[
                    r#"Bearer realm="https://h.io:5001/auth",service="notary",scope="repository:h.io:5443/qa/app:pull""#,
                ][..],
                Some(notary.clone()),
            ),
            (
                &[
                    r#"bearer  Realm = "https://h.io:5001/auth" , service=notary,,scope="repository:h.io:5443/qa/app:pull", error="invalid_token""#,
                ],
                Some(notary),
            ),
            (&[r#"Basic realm="Registry Realm""#], Some(Challenge::Basic)),
            (&["Basic"], Some(Challenge::Basic)),
            (
                &[r#"Basic realm="a, b=c", Bearer realm="https://h.io/t""#],
                Some(bearer("https://h.io/t", None, None)),
            ),
            (
                &["Basic", r#"Bearer realm="https://h.io/t?x=1""#],
                Some(bearer("https://h.io/t?x=1", None, None)),
            ),
            (
                &[r#"Bearer realm="https://h.io/t",scope="*""#],
                Some(bearer("https://h.io/t", None, None)),
            ),
            (
                &[r#"Bearer realm="https://h.io/t",scope="repository:a:pull,push""#],
                Some(bearer("https://h.io/t", None, None)),
            ),
            (
                &[r#"Bearer realm="https://h.io/t",service="a\"b""#],
                Some(bearer("https://h.io/t", Some("a\"b"), None)),
            ),
            (&["Negotiate"], None),
            (&[], None),
        ] {
            assert_eq!(read(fields), Ok(challenge), "{fields:?}");
        }
    }

    #[test]
    fn refuses_what_it_cannot_read_for_sure() {
        let long = format!(r#"Bearer realm="https://h.io/{}""#, "x".repeat(MAX_VALUE));
        for (field, error) in [
            (r#"realm="https://h.io""#, ChallengeError::Malformed),
            (r#"Bearer realm="https://h.io"#, ChallengeError::Malformed),
            (r#"Bearer realm="https://h.io\"#, ChallengeError::Malformed),
            (r#"Bearer realm="https://a.io",realm="https://b.io""#, ChallengeError::Malformed),
            (r#"Bearer realm="https://a.io"service="x""#, ChallengeError::Malformed),
            ("Bearer realm=,service=x", ChallengeError::Malformed),
            ("Bearer/x", ChallengeError::Malformed),
            ("Bearer", ChallengeError::NoRealm),
            (r#"Bearer service="x""#, ChallengeError::NoRealm),
            (r#"Bearer realm="http://h.io/t""#, ChallengeError::Realm(UrlError::NotHttps)),
            (r#"Bearer realm="https://u:p@h.io/t""#, ChallengeError::Realm(UrlError::UserInfo)),
            (&long, ChallengeError::TooLong),
        ] {
            assert_eq!(read(&[field]), Err(error), "{field}");
        }
    }
}
