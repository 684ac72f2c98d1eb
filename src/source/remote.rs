//! A registered registry: its two servers, and how to reach them.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::auth::Session;
use super::credentials::Credentials;
use super::http_proxy::{HttpProxy, Proxies, ProxySetting, ProxyUrlError};
use super::https::HttpsClient;
use super::registry::Registry;
use super::tls::{self, TlsError};
use super::trust_server::TrustServer;
use super::unavailable::{Place, Role};
use super::url::{Base, UrlError};
use crate::image::Repository;

/// What there is to know about a registry before asking it anything.
#[derive(Clone)]
pub struct RegistrySettings {
    /// Host and, if not 443, port: as in an image's name.
    pub host: String,
    /// The URL below which the trust server answers; `https://HOST` where not given.
    pub trust_server: Option<String>,
    /// The CA certificates (PEM, one or more) to trust here, and no others: for the
    /// registry, its trust server, and where they send us for tokens.
    pub ca: Option<String>,
    /// The engine's folder of certificates, `/etc/docker/certs.d`.
    pub certs_d: PathBuf,
    /// The login, for the registry and its trust server alike, as docker has it. The
    /// password is shown to these two, if they ask for it, and to the https realms they
    /// name.
    pub credentials: Option<Credentials>,
    /// The HTTP proxy that leads to them, and to where they send us for tokens.
    pub proxy: ProxySetting,
}

impl fmt::Debug for RegistrySettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A bundle fills a screen and tells nobody anything.
        f.debug_struct("RegistrySettings")
            .field("host", &self.host)
            .field("trust_server", &self.trust_server)
            .field("ca", &self.ca.as_ref().map(|_| ".."))
            .field("certs_d", &self.certs_d)
            .field("credentials", &self.credentials)
            .field("proxy", &self.proxy)
            .finish()
    }
}

/// Why a registry's settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// No image name could contain this host.
    #[error("{host:?} is not a registry host: write it as in an image's name")]
    Host {
        /// As given.
        host: String,
    },
    /// The trust server's URL cannot be used.
    #[error("trust server {url:?} of {host}: {error}")]
    TrustServer {
        /// The registry.
        host: String,
        /// As given.
        url: String,
        /// What is wrong with it.
        #[source]
        error: UrlError,
    },
    /// The HTTP proxy cannot be used.
    #[error("the proxy that {set_by} names for {host} cannot be used: {error}")]
    Proxy {
        /// The registry.
        host: String,
        /// `proxy`, or the variable of the environment.
        set_by: &'static str,
        /// What is wrong with it.
        #[source]
        error: ProxyUrlError,
    },
    /// Its certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A registered registry and its trust server.
///
/// Keeps connections and tokens, so it is to be made once and shared.
pub struct Remote {
    registry: Registry,
    trust_server: TrustServer,
    /// The proxy on the way to the trust server.
    proxy: Option<String>,
    /// The proxy on the way to the registry.
    registry_proxy: Option<String>,
}

impl Remote {
    /// Prepares to ask a registry. Reads certificate files, and connects to nothing.
    pub fn new(settings: RegistrySettings) -> Result<Self, SettingsError> {
        let RegistrySettings { host, trust_server, ca, certs_d, credentials, proxy } = settings;
        let (registry, notary) = defaults(&host);
        let registry = match Base::new(&registry) {
            Ok(base) if is_registry(&host) => base,
            _ => return Err(SettingsError::Host { host }),
        };
        let url = trust_server.unwrap_or(notary);
        let notary = match Base::new(&url) {
            Ok(base) => base,
            Err(error) => return Err(SettingsError::TrustServer { host, url, error }),
        };
        let proxies = match Proxies::new(&proxy, |name| std::env::var(name).ok()) {
            Ok(proxies) => Arc::new(proxies),
            Err((set_by, error)) => return Err(SettingsError::Proxy { host, set_by, error }),
        };
        let ca = ca.as_deref();
        let client = |host: &str| {
            let tls = tls::configure(host, ca, &certs_d)?;
            Ok::<_, TlsError>(Arc::new(HttpsClient::new(tls, Arc::clone(&proxies))))
        };
        let leading_to = |base: &Base| proxies.leading_to(&base.join("")?).map(HttpProxy::name);
        let (proxy, registry_proxy) = (leading_to(&notary), leading_to(&registry));
        let registry_client = client(registry.host())?;
        // One server under two names shares its connections.
        let notary_client = if notary.host() == registry.host() {
            Arc::clone(&registry_client)
        } else {
            client(notary.host())?
        };
        let at = Place::new(Role::Registry, registry.host());
        let session = Session::new(at, registry_client, credentials.clone());
        let registry = Registry::new(registry, session);
        let at = Place::new(Role::TrustServer, notary.host());
        let session = Session::new(at, notary_client, credentials);
        Ok(Self {
            registry,
            trust_server: TrustServer::new(notary, session),
            proxy,
            registry_proxy,
        })
    }

    /// Where images come from.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Where trust data comes from.
    pub fn trust_server(&self) -> &TrustServer {
        &self.trust_server
    }

    /// The HTTP proxy through which the trust server is asked: its host and, where given,
    /// port.
    pub fn proxy(&self) -> Option<&str> {
        self.proxy.as_deref()
    }

    /// The HTTP proxy through which the registry is asked, likewise.
    pub fn registry_proxy(&self) -> Option<&str> {
        self.registry_proxy.as_deref()
    }
}

/// Whether an image's name can start with this host.
fn is_registry(host: &str) -> bool {
    format!("{host}/image").parse::<Repository>().is_ok_and(|name| name.host() == host)
}

/// The URLs of a registry and its trust server. Docker Hub alone answers under other
/// names than its own; these are the ones docker's clients know.
fn defaults(host: &str) -> (String, String) {
    if host == "docker.io" {
        ("https://registry-1.docker.io".to_owned(), "https://notary.docker.io".to_owned())
    } else {
        (format!("https://{host}"), format!("https://{host}"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Authority, settings};
    use super::*;

    #[test]
    fn refuses_settings_no_server_could_fit() {
        for host in [
            "",
            "plain",
            "https://h.io",
            "H.io",
            "h.io/x",
            "h.io:",
            "h.io:99999",
            "u@h.io",
            "h.io\n",
        ] {
            let error = Remote::new(settings(host, None)).map(|_| ()).unwrap_err();
            assert!(matches!(error, SettingsError::Host { .. }), "{host:?}: {error}");
        }
        let mut settings = settings("h.io", Some(Authority::new().pem()));
        settings.trust_server = Some("http://h.io".to_owned());
        let error = Remote::new(settings).map(|_| ()).unwrap_err().to_string();
        assert_eq!(error, r#"trust server "http://h.io" of h.io: it must start with https://"#);
    }

    #[test]
    fn docker_hub_answers_under_other_names() {
        let remote = Remote::new(settings("docker.io", Some(Authority::new().pem()))).unwrap();
        assert_eq!(remote.trust_server().host(), "notary.docker.io");
    }
}
