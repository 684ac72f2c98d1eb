//! Whom a TLS connection may end at: certificates, as registered or as the engine has
//! them.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::verifier::Verifier;

/// A TLS configuration, and what makes a certificate trusted under it.
pub(super) struct Tls {
    pub(super) config: ClientConfig,
    /// Completes "certificate of HOST is not signed by …".
    pub(super) trusted: String,
}

/// Why no TLS configuration could be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A bundle of CA certificates cannot be used.
    #[error("{origin}: {error}")]
    Bundle {
        /// Which bundle: a file, or the registered one.
        origin: String,
        /// What is wrong with it.
        #[source]
        error: BundleError,
    },
    /// A file or folder under certs.d cannot be read.
    #[error("{}: {error}", path.display())]
    Read {
        /// Which one.
        path: PathBuf,
        /// Why not.
        #[source]
        error: io::Error,
    },
    /// A client certificate without its key, or the other way round.
    #[error("{} has no {} beside it", path.display(), missing.display())]
    HalfPair {
        /// The half that is there.
        path: PathBuf,
        /// The half that is not.
        missing: PathBuf,
    },
    /// A client certificate or its key cannot be used.
    #[error("{}: {why}", path.display())]
    ClientCertificate {
        /// The certificate's or key's file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Nothing is registered, nothing is in certs.d, and the system trusts nobody.
    #[error("no CA is registered, and this system has no root certificates")]
    NoSystemRoots,
    /// The TLS library refuses the configuration.
    #[error("TLS cannot be set up: {0}")]
    Library(String),
}

/// Why a text is no bundle of certificates.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// There is no `-----BEGIN CERTIFICATE-----`.
    #[error("contains no certificate")]
    Empty,
    /// One of the certificates cannot be read.
    #[error("certificate {number} cannot be used: {why}")]
    Certificate {
        /// Which one, counted from 1.
        number: usize,
        /// What is wrong with it.
        why: String,
    },
}

/// The certificates of a PEM text, in order. Other PEM sections are skipped.
pub fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, BundleError> {
    let found = CertificateDer::pem_slice_iter(pem)
        .enumerate()
        .map(|(index, entry)| {
            entry.map_err(|error| BundleError::Certificate {
                number: index + 1,
                why: error.to_string(),
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    if found.is_empty() { Err(BundleError::Empty) } else { Ok(found) }
}

/// The TLS configuration for one host.
///
/// Trusted are the certificates of `ca` alone where it is given, else those of
/// `certs_d/HOST/*.crt` alone, as an engine administrator has put them there for this
/// registry, else the system's. A client certificate is taken from
/// `certs_d/HOST/*.cert` and its `.key`, as the engine does.
pub(super) fn configure(host: &str, ca: Option<&str>, certs_d: &Path) -> Result<Tls, TlsError> {
    let folder = certs_d.join(host);
    let files = list(&folder)?;
    let mut roots = Roots { store: RootCertStore::empty(), pinned: Vec::new() };
    let trusted = if let Some(ca) = ca {
        roots.add(ca.as_bytes(), &format!("the registered CA bundle of {host}"))?;
        "the registered CA".to_owned()
    } else {
        for path in with_extension(&files, "crt") {
            roots.add(&read(path)?, &path.display().to_string())?;
        }
        if roots.pinned.is_empty() {
            roots.store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            "a CA this system trusts".to_owned()
        } else {
            format!("a CA in {}", folder.display())
        }
    };
    if roots.store.is_empty() {
        return Err(TlsError::NoSystemRoots);
    }
    let provider = Arc::new(default_provider());
    let webpki =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots.store), provider.clone())
            .build()
            .map_err(|error| TlsError::Library(error.to_string()))?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Library(error.to_string()))?
        // "Dangerous" is what rustls calls every verifier but its own. This one asks it
        // first.
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Verifier::new(webpki, roots.pinned)));
    let config = match client_certificate(&files)? {
        Some((path, chain, key)) => builder
            .with_client_auth_cert(chain, key)
            .map_err(|error| TlsError::ClientCertificate { path, why: error.to_string() })?,
        None => builder.with_no_client_auth(),
    };
    Ok(Tls { config, trusted })
}

/// Trusted certificates: as anchors, and as they are.
struct Roots {
    store: RootCertStore,
    pinned: Vec<CertificateDer<'static>>,
}

impl Roots {
    fn add(&mut self, pem: &[u8], origin: &str) -> Result<(), TlsError> {
        let bundle = |error| TlsError::Bundle { origin: origin.to_owned(), error };
        for (index, certificate) in certificates(pem).map_err(bundle)?.into_iter().enumerate() {
            self.store.add(certificate.clone()).map_err(|error| {
                bundle(BundleError::Certificate { number: index + 1, why: error.to_string() })
            })?;
            self.pinned.push(certificate);
        }
        Ok(())
    }
}

type ClientCertificate = (PathBuf, Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// The client certificate among the files of a certs.d folder.
fn client_certificate(files: &BTreeSet<PathBuf>) -> Result<Option<ClientCertificate>, TlsError> {
    let halves = [("cert", "key"), ("key", "cert")];
    for (extension, other) in halves {
        for path in with_extension(files, extension) {
            let missing = path.with_extension(other);
            if !files.contains(&missing) {
                return Err(TlsError::HalfPair { path: path.clone(), missing });
            }
        }
    }
    let mut pairs = with_extension(files, "cert");
    let Some(path) = pairs.next() else { return Ok(None) };
    if let Some(second) = pairs.next() {
        tracing::warn!(
            used = %path.display(),
            unused = %second.display(),
            "several client certificates for one registry: only the first is used"
        );
    }
    let key_path = path.with_extension("key");
    let unusable =
        |path: &Path, why: String| TlsError::ClientCertificate { path: path.to_owned(), why };
    let chain = certificates(&read(path)?).map_err(|error| unusable(path, error.to_string()))?;
    let key = PrivateKeyDer::from_pem_slice(&read(&key_path)?)
        .map_err(|error| unusable(&key_path, error.to_string()))?;
    Ok(Some((path.clone(), chain, key)))
}

/// The files of a folder in the order of their names; none if there is no folder.
fn list(folder: &Path) -> Result<BTreeSet<PathBuf>, TlsError> {
    let failed = |error| TlsError::Read { path: folder.to_owned(), error };
    match fs::read_dir(folder) {
        Ok(entries) => {
            entries.map(|entry| entry.map(|entry| entry.path()).map_err(failed)).collect()
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeSet::new()),
        Err(error) => Err(failed(error)),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|error| TlsError::Read { path: path.to_owned(), error })
}

fn with_extension<'a>(
    files: &'a BTreeSet<PathBuf>,
    extension: &'a str,
) -> impl Iterator<Item = &'a PathBuf> {
    files.iter().filter(move |path| path.extension().is_some_and(|found| found == extension))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Authority, Server, fetch_root as ask, ok, settings};
    use super::super::{Remote, SettingsError, Unavailable};
    use super::*;

    #[tokio::test]
    async fn the_engines_folder_stands_in_for_a_bundle() {
        let (server_ca, client_ca) = (Authority::new(), Authority::new());
        let server =
            Server::start(server_ca.issue().config_for_clients_of(&client_ca), |_| ok("{}"));
        let certs_d = tempfile::tempdir().unwrap();
        let folder = certs_d.path().join(&server.host);
        fs::create_dir(&folder).unwrap();
        let mut settings = settings(&server.host, None);
        settings.certs_d = certs_d.path().to_owned();

        fs::write(folder.join("ca.crt"), Authority::new().pem()).unwrap();
        let error = ask(settings.clone()).await.unwrap_err();
        let trusted = format!("not signed by a CA in {} (UnknownIssuer)", folder.display());
        assert!(error.to_string().ends_with(&trusted), "{error}");

        fs::write(folder.join("other.crt"), server_ca.pem()).unwrap();
        let error = ask(settings.clone()).await.unwrap_err();
        assert_eq!(error.kind(), "tls", "no client certificate yet: {error}");

        let client = client_ca.issue();
        fs::write(folder.join("client.cert"), &client.pem).unwrap();
        let error = Remote::new(settings.clone()).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("client.cert has no") && error.contains("client.key"), "{error}");

        fs::write(folder.join("client.key"), &client.key_pem).unwrap();
        assert!(ask(settings.clone()).await.is_ok());

        // A registered bundle replaces the folder's authorities.
        settings.ca = Some(client_ca.pem());
        let error = ask(settings.clone()).await.unwrap_err();
        assert!(matches!(error, Unavailable::UnknownIssuer { .. }), "{error}");
        assert!(error.to_string().contains("the registered CA"), "{error}");

        fs::remove_file(folder.join("client.cert")).unwrap();
        let error = Remote::new(settings).map(|_| ()).unwrap_err();
        assert!(
            matches!(error, SettingsError::Tls(TlsError::HalfPair { ref path, .. })
                if path.ends_with("client.key")),
            "{error}"
        );
    }

    #[test]
    fn bad_bundles_are_named() {
        let good = Authority::new().pem();
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (bundle, said) in [
            (String::new(), "contains no certificate"),
            (good[..100].to_owned(), "certificate 1 cannot be used"),
            (format!("{good}{broken}"), "certificate 2 cannot be used"),
            (broken.replace("AAAA", "%"), "certificate 1 cannot be used"),
        ] {
            let error = Remote::new(settings("h.io", Some(bundle))).map(|_| ()).unwrap_err();
            let text = error.to_string();
            assert!(text.starts_with("the registered CA bundle of h.io: "), "{text}");
            assert!(text.contains(said), "{text}");
        }
    }

    #[test]
    fn bundles_read_in_order() {
        let (first, second) = (Authority::new(), Authority::new());
        let both = certificates(format!("{}{}", first.pem(), second.pem()).as_bytes()).unwrap();
        let alone = |authority: &Authority| certificates(authority.pem().as_bytes()).unwrap();
        assert_eq!(both, [alone(&first), alone(&second)].concat());
    }
}
