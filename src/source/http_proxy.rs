//! Which HTTP proxy leads to a server, if any.
//!
//! As the engine knows it, that is as Go's `httpproxy` reads the environment:
//! `HTTPS_PROXY` and `NO_PROXY`, or the same in small letters. This host itself is never
//! asked through a proxy that the environment names.

use std::fmt;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::Uri;
use hyper::header::HeaderValue;
use ipnet::IpNet;

use super::url;

/// How the servers of a registry are reached.
#[derive(Clone, Default)]
pub enum ProxySetting {
    /// As `HTTPS_PROXY` and `NO_PROXY` say.
    #[default]
    Environment,
    /// Without a proxy, whatever the environment says.
    Direct,
    /// Always through this one: `http://[USER:PASSWORD@]HOST[:PORT]`.
    Url(String),
}

impl fmt::Debug for ProxySetting {
    /// Leaves the URL out: it may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Environment => "Environment",
            Self::Direct => "Direct",
            Self::Url(_) => "Url(..)",
        })
    }
}

/// Why a text is no proxy that we could go through. Never repeats it, as it may hold a
/// password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyUrlError {
    /// Another kind of proxy.
    #[error("it must be an http:// URL; connections to it are HTTP CONNECT, and nothing else")]
    NotHttp,
    /// Not a URL, or one with a path.
    #[error("it must be a URL of this form: http://[USER:PASSWORD@]HOST[:PORT]")]
    Malformed,
    /// A user name or password that is not percent-encoded as in a URL.
    #[error("its user name or password is not percent-encoded text")]
    Credentials,
}

/// A proxy that connects us to servers (CONNECT).
pub(super) struct HttpProxy {
    /// Where it listens, without credentials.
    pub(super) uri: Uri,
    /// The value of `Proxy-Authorization`. Secret.
    pub(super) authorization: Option<HeaderValue>,
}

impl HttpProxy {
    fn parse(text: &str) -> Result<Self, ProxyUrlError> {
        let text = text.trim();
        let url: Uri = if text.contains("://") {
            text.parse().map_err(|_| ProxyUrlError::Malformed)?
        } else {
            format!("http://{text}").parse().map_err(|_| ProxyUrlError::Malformed)?
        };
        if url.scheme_str() != Some("http") {
            return Err(ProxyUrlError::NotHttp);
        }
        let authority = url::authority(&url);
        let (login, address) = match authority.rsplit_once('@') {
            Some((login, address)) => (Some(login), address),
            None => (None, authority.as_str()),
        };
        let host = url.host().unwrap_or_default();
        let port_fits = address == host || url.port_u16().is_some_and(|port| port != 0);
        let has_path = !matches!(url.path(), "" | "/") || url.query().is_some();
        if host.is_empty() || !port_fits || has_path || text.contains('#') {
            return Err(ProxyUrlError::Malformed);
        }
        let uri = format!("http://{address}").parse().map_err(|_| ProxyUrlError::Malformed)?;
        let authorization = login.map(basic).transpose()?;
        Ok(Self { uri, authorization })
    }

    /// Host and, where given, port.
    pub(super) fn name(&self) -> String {
        url::authority(&self.uri)
    }
}

/// The Basic credentials of `USER[:PASSWORD]`, percent-encoded.
fn basic(login: &str) -> Result<HeaderValue, ProxyUrlError> {
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let decode = |text| url::decode(text).ok_or(ProxyUrlError::Credentials);
    let pair = format!("{}:{}", decode(user)?, decode(password)?);
    let value = format!("Basic {}", STANDARD.encode(pair));
    let mut value = HeaderValue::from_str(&value).map_err(|_| ProxyUrlError::Credentials)?;
    value.set_sensitive(true);
    Ok(value)
}

/// The proxy of a registry's servers, and who is asked without it.
pub(super) struct Proxies {
    proxy: Option<HttpProxy>,
    except: Exceptions,
}

impl Proxies {
    /// What a setting means, where `variable` reads the environment. An error comes with
    /// the name of what is wrong.
    pub(super) fn new(
        setting: &ProxySetting,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, (&'static str, ProxyUrlError)> {
        let first = |names: [&'static str; 2]| {
            names.into_iter().find_map(|name| {
                let text = variable(name)?;
                (!text.trim().is_empty()).then_some((name, text))
            })
        };
        let (found, except) = match setting {
            ProxySetting::Direct => (None, Exceptions::default()),
            ProxySetting::Url(url) => (Some(("proxy", url.clone())), Exceptions::default()),
            ProxySetting::Environment => {
                let except = first(["NO_PROXY", "no_proxy"]);
                let mut except =
                    except.map_or_else(Exceptions::default, |(_, text)| Exceptions::parse(&text));
                except.loopback = true;
                (first(["HTTPS_PROXY", "https_proxy"]), except)
            }
        };
        let proxy = found
            .map(|(name, text)| HttpProxy::parse(&text).map_err(|error| (name, error)))
            .transpose()?;
        Ok(Self { proxy, except })
    }

    /// The proxy that leads to a server.
    pub(super) fn leading_to(&self, server: &Uri) -> Option<&HttpProxy> {
        let proxy = self.proxy.as_ref()?;
        (!self.except.has(server)).then_some(proxy)
    }
}

/// `NO_PROXY`.
#[derive(Default)]
struct Exceptions {
    /// Whether this host itself is one.
    loopback: bool,
    all: bool,
    networks: Vec<IpNet>,
    addresses: Vec<(IpAddr, Option<u16>)>,
    names: Vec<Name>,
}

/// A domain: `example.com` and all below it, or with a dot in front only those.
struct Name {
    /// With a dot in front.
    suffix: String,
    itself: bool,
    port: Option<u16>,
}

impl Exceptions {
    /// Entries that mean nothing are left out, as the engine leaves them out.
    fn parse(text: &str) -> Self {
        let mut found = Self::default();
        for entry in text.split(',') {
            let entry = entry.trim().to_ascii_lowercase();
            if entry == "*" {
                found.all = true;
            } else if let Ok(network) = entry.parse() {
                found.networks.push(network);
            } else if let Some((host, port)) = host_and_port(&entry) {
                match host.parse() {
                    Ok(address) => found.addresses.push((address, port)),
                    Err(_) => found.names.push(Name::parse(host, port)),
                }
            }
        }
        found
    }

    fn has(&self, server: &Uri) -> bool {
        let host = server.host().unwrap_or_default().to_ascii_lowercase();
        let port = server.port_u16().unwrap_or(443);
        let same = |wanted: Option<u16>| wanted.is_none_or(|wanted| wanted == port);
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&host);
        let by_address = |address: IpAddr| {
            self.loopback && address.is_loopback()
                || self.networks.iter().any(|network| network.contains(&address))
                || self.addresses.iter().any(|(one, port)| *one == address && same(*port))
        };
        self.all
            || self.loopback && host == "localhost"
            || bare.parse().is_ok_and(by_address)
            || self.names.iter().any(|name| name.has(&host) && same(name.port))
    }
}

/// `HOST`, `HOST:PORT`, `[ADDRESS]:PORT`; nothing where no host stands there.
fn host_and_port(entry: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match entry.rsplit_once(':') {
        // An IPv6 address has colons of its own.
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            (host, Some(port.parse().ok()?))
        }
        _ => (entry, None),
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    (!host.is_empty()).then_some((host, port))
}

impl Name {
    fn parse(host: &str, port: Option<u16>) -> Self {
        let host = host.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(host);
        let itself = !host.starts_with('.');
        let suffix = if itself { format!(".{host}") } else { host.to_owned() };
        Self { suffix, itself, port }
    }

    fn has(&self, host: &str) -> bool {
        host.ends_with(&self.suffix) || self.itself && self.suffix.strip_prefix('.') == Some(host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(pairs: &[(&str, &str)]) -> Result<Proxies, (&'static str, ProxyUrlError)> {
        Proxies::new(&ProxySetting::Environment, |name| {
            let found = pairs.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    fn way(proxies: &Proxies, url: &str) -> Option<String> {
        proxies.leading_to(&url.parse().unwrap()).map(HttpProxy::name)
    }

    #[test]
    fn the_environment_is_read_as_the_engine_reads_it() {
        for (pairs, expected) in [
            (&[][..], None),
            (&[("HTTPS_PROXY", "http://one:3128")], Some("one:3128")),
            (&[("https_proxy", "http://two:3128/")], Some("two:3128")),
            (&[("HTTPS_PROXY", "http://one"), ("https_proxy", "http://two")], Some("one")),
            (&[("HTTPS_PROXY", ""), ("https_proxy", "http://two")], Some("two")),
            (&[("HTTPS_PROXY", "bare:8080")], Some("bare:8080")),
            (&[("HTTPS_PROXY", "http://[fd00::1]:8080")], Some("[fd00::1]:8080")),
            (&[("HTTPS_PROXY", "http://ann:pw@one:80")], Some("one:80")),
            // These are for other schemes.
            (&[("HTTP_PROXY", "http://one"), ("ALL_PROXY", "http://one")], None),
            (&[("HTTPS_PROXY", "http://one"), ("NO_PROXY", "h.io")], None),
            (&[("HTTPS_PROXY", "http://one"), ("no_proxy", "h.io")], None),
            (
                &[("HTTPS_PROXY", "http://one"), ("NO_PROXY", "x"), ("no_proxy", "h.io")],
                Some("one"),
            ),
        ] {
            assert_eq!(
                way(&from(pairs).unwrap(), "https://h.io").as_deref(),
                expected,
                "{pairs:?}"
            );
        }
    }

    #[test]
    fn exceptions() {
        for (list, url, is_exception) in [
            ("", "https://h.io", false),
            ("", "https://localhost:5000", true),
            ("", "https://127.8.8.8:5000", true),
            ("", "https://[::1]:5000", true),
            ("*", "https://h.io", true),
            ("other, *", "https://h.io", true),
            ("h.io", "https://h.io", true),
            ("H.IO", "https://h.io", true),
            ("h.io", "https://a.b.h.io", true),
            ("h.io", "https://oh.io", false),
            (".h.io", "https://h.io", false),
            (".h.io", "https://a.h.io", true),
            ("*.h.io", "https://h.io", false),
            ("*.h.io", "https://a.h.io", true),
            ("h.io:443", "https://h.io", true),
            ("h.io:444", "https://h.io", false),
            ("h.io:444", "https://h.io:444", true),
            ("h.io:x", "https://h.io", false),
            (" a , h.io ,", "https://h.io", true),
            ("10.0.0.0/8", "https://10.1.2.3", true),
            ("10.0.0.0/8", "https://11.1.2.3", false),
            ("10.1.2.3", "https://10.1.2.3:5000", true),
            ("10.1.2.3:5000", "https://10.1.2.3:5000", true),
            ("10.1.2.3:5000", "https://10.1.2.3", false),
            ("fd00::/16", "https://[fd00::1]", true),
            ("fd00::1", "https://[fd00::1]:5", true),
            ("[fd00::1]:5", "https://[fd00::1]:5", true),
            ("[fd00::1]:5", "https://[fd00::1]:6", false),
            ("h", "https://h.io", false),
            (":443", "https://h.io", false),
            (".", "https://h.io", false),
        ] {
            let proxies = from(&[("HTTPS_PROXY", "http://p"), ("NO_PROXY", list)]).unwrap();
            assert_eq!(way(&proxies, url).is_none(), is_exception, "{list:?} and {url}");
        }
    }

    #[test]
    fn a_registered_proxy_stands_above_the_environment() {
        let environment = |name: &str| match name {
            "HTTPS_PROXY" => Some("http://environment".to_owned()),
            "NO_PROXY" => Some("*".to_owned()),
            _ => None,
        };
        let set = |setting| Proxies::new(&setting, environment).unwrap();
        let url = set(ProxySetting::Url("http://own:1".to_owned()));
        assert_eq!(way(&url, "https://localhost").as_deref(), Some("own:1"));
        assert_eq!(way(&set(ProxySetting::Direct), "https://h.io"), None);
        assert_eq!(way(&set(ProxySetting::Environment), "https://h.io"), None);
    }

    #[test]
    fn credentials_are_read_and_never_told() {
        for (url, authorization) in [
            ("http://p:1", None),
            ("http://ann:secret@p:1", Some("Basic YW5uOnNlY3JldA==")),
            ("http://ann:s%40c%2F:t@p:1", Some("Basic YW5uOnNAYy86dA==")),
            ("http://ann@p:1", Some("Basic YW5uOg==")),
            ("ann:secret@p:1", Some("Basic YW5uOnNlY3JldA==")),
        ] {
            let proxy = HttpProxy::parse(url).unwrap();
            let shown = proxy.authorization.as_ref().map(|value| value.to_str().unwrap());
            assert_eq!(shown, authorization, "{url}");
            assert_eq!(
                (proxy.name().as_str(), proxy.uri.to_string().as_str()),
                ("p:1", "http://p:1/")
            );
            assert!(!format!("{:?}", proxy.authorization).contains("YW5u"), "{url}");
        }
        let setting = ProxySetting::Url("http://ann:secret@p".to_owned());
        assert_eq!(format!("{setting:?}"), "Url(..)");
    }

    #[test]
    fn refuses_what_it_could_not_go_through() {
        for (url, error) in [
            ("https://ann:secret@p", ProxyUrlError::NotHttp),
            ("socks5://p:1080", ProxyUrlError::NotHttp),
            ("", ProxyUrlError::Malformed),
            ("http://", ProxyUrlError::Malformed),
            ("http://p:99999", ProxyUrlError::Malformed),
            ("http://p:0", ProxyUrlError::Malformed),
            ("http://p:", ProxyUrlError::Malformed),
            ("http://p/path", ProxyUrlError::Malformed),
            ("http://p?q", ProxyUrlError::Malformed),
            ("http://p#f", ProxyUrlError::Malformed),
            ("http://ann:secret word@p", ProxyUrlError::Malformed),
            ("http://ann:%zz@p", ProxyUrlError::Credentials),
            ("http://ann:%ff@p", ProxyUrlError::Credentials),
        ] {
            let set = Proxies::new(&ProxySetting::Url(url.to_owned()), |_| None);
            let found = set.map(|_| ()).unwrap_err();
            assert_eq!(found, ("proxy", error), "{url:?}");
            assert!(!found.1.to_string().contains("secret"), "{url}");
        }
        let named = from(&[("https_proxy", "socks5://p")]).map(|_| ()).unwrap_err();
        assert_eq!(named, ("https_proxy", ProxyUrlError::NotHttp));
    }
}
