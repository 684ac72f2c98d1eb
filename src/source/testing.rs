//! Servers for tests: real sockets, real TLS, and answers written out byte by byte, so
//! that they can be as wrong as a test needs.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::clock::Deadline;
use super::credentials::Credentials;
use super::engine::Engine;
use super::http_proxy::ProxySetting;
use super::remote::{RegistrySettings, Remote};
use super::unavailable::Unavailable;

/// A deadline no working test comes near.
pub(super) fn patient() -> Deadline {
    Deadline::after(Duration::from_secs(60))
}

/// A certificate authority.
pub(super) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// One with a name of its own.
    pub(super) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        Self::named(&format!("CA {}", COUNT.fetch_add(1, Ordering::SeqCst)))
    }

    pub(super) fn named(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(super) fn pem(&self) -> String {
        self.0.as_ref().pem()
    }

    /// A certificate for `127.0.0.1`.
    pub(super) fn issue(&self) -> Identity {
        self.issue_as(&local())
    }

    pub(super) fn issue_as(&self, params: &CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        Identity::new(&params.signed_by(&key, &self.0).unwrap(), &key)
    }
}

/// What is in a certificate for `127.0.0.1`.
pub(super) fn local() -> CertificateParams {
    CertificateParams::new(["127.0.0.1".to_owned()]).unwrap()
}

/// The same, long expired.
pub(super) fn expired(mut params: CertificateParams) -> CertificateParams {
    params.not_before = rcgen::date_time_ymd(2001, 1, 1);
    params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    params
}

/// A certificate and its key.
pub(super) struct Identity {
    pub(super) pem: String,
    pub(super) key_pem: String,
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    fn new(certificate: &rcgen::Certificate, key: &KeyPair) -> Self {
        Self {
            pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            certificate: certificate.der().clone(),
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        }
    }

    pub(super) fn self_signed(params: &CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        Self::new(&params.self_signed(&key).unwrap(), &key)
    }

    pub(super) fn config(&self) -> ServerConfig {
        server_config()
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], self.key.clone_key())
            .unwrap()
    }

    /// This certificate, shown by someone who has another's key.
    pub(super) fn config_without_key(&self, other: &Identity) -> ServerConfig {
        let key = rustls::crypto::ring::sign::any_supported_type(&other.key).unwrap();
        let stolen = CertifiedKey::new(vec![self.certificate.clone()], key);
        server_config()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(stolen)))
    }

    /// As [`Identity::config`], for clients with a certificate of `authority` alone.
    pub(super) fn config_for_clients_of(&self, authority: &Authority) -> ServerConfig {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(authority.0.as_ref().der().clone()).unwrap();
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
            Arc::new(roots),
            Arc::new(rustls::crypto::ring::default_provider()),
        );
        server_config()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(vec![self.certificate.clone()], self.key.clone_key())
            .unwrap()
    }
}

fn server_config() -> rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier> {
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
}

/// The head of a request as it came.
#[derive(Clone, Debug)]
pub(super) struct Asked(String);

impl Asked {
    /// Method and target: `GET /v2/`.
    pub(super) fn line(&self) -> &str {
        self.0.lines().next().unwrap().strip_suffix(" HTTP/1.1").unwrap()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.0.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

/// One step of an answer.
pub(super) enum Step {
    Send(Vec<u8>),
    Pause(Duration),
    /// Ends the connection. Without it, it is kept for the next request.
    Close,
}

/// A whole answer: status line and more header lines, then a body with its length.
pub(super) fn answer(status: &str, headers: &[&str], body: &str) -> Vec<Step> {
    let mut text = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n", body.len());
    for header in headers {
        text.push_str(header);
        text.push_str("\r\n");
    }
    vec![Step::Send(format!("{text}\r\n{body}").into_bytes())]
}

pub(super) fn ok(body: &str) -> Vec<Step> {
    answer("200 OK", &[], body)
}

/// What a server has seen.
#[derive(Clone, Default)]
pub(super) struct Seen {
    connections: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<Asked>>>,
}

impl Seen {
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub(super) fn requests(&self) -> Vec<Asked> {
        self.requests.lock().unwrap().clone()
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.requests().iter().map(|asked| asked.line().to_owned()).collect()
    }

    fn serve(&self, mut stream: impl Read + Write, script: &impl Fn(&Asked) -> Vec<Step>) {
        self.connections.fetch_add(1, Ordering::SeqCst);
        // Every error is the client's leaving, which is what some tests are about.
        while let Some(asked) = read_head(&mut stream) {
            self.requests.lock().unwrap().push(asked.clone());
            for step in script(&asked) {
                let sent = match step {
                    Step::Send(bytes) => stream.write_all(&bytes).and_then(|()| stream.flush()),
                    Step::Pause(time) => {
                        thread::sleep(time);
                        Ok(())
                    }
                    Step::Close => return,
                };
                if sent.is_err() {
                    return;
                }
            }
        }
    }
}

fn read_head(stream: &mut impl Read) -> Option<Asked> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    Some(Asked(String::from_utf8(head).unwrap()))
}

/// An HTTPS server on a free port of `127.0.0.1`, for as long as the test process lives.
pub(super) struct Server {
    /// `127.0.0.1:PORT`
    pub(super) host: String,
    pub(super) seen: Seen,
}

impl Server {
    pub(super) fn start(
        config: ServerConfig,
        script: impl Fn(&Asked) -> Vec<Step> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let (config, script, seen) = (Arc::new(config), Arc::new(script), Seen::default());
        let accepting = seen.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (config, script, seen) = (config.clone(), script.clone(), accepting.clone());
                thread::spawn(move || {
                    let tls = ServerConnection::new(config).unwrap();
                    seen.serve(StreamOwned::new(tls, stream.unwrap()), &*script);
                });
            }
        });
        Self { host, seen }
    }

    /// A server with a certificate of a new authority, and a [`Remote`] that trusts it
    /// and has no credentials.
    pub(super) fn trusted(
        script: impl Fn(&Asked) -> Vec<Step> + Send + Sync + 'static,
    ) -> (Self, Remote) {
        Self::trusted_with(None, script)
    }

    pub(super) fn trusted_with(
        credentials: Option<(&str, &str)>,
        script: impl Fn(&Asked) -> Vec<Step> + Send + Sync + 'static,
    ) -> (Self, Remote) {
        let authority = Authority::new();
        let server = Self::start(authority.issue().config(), script);
        let mut settings = settings(&server.host, Some(authority.pem()));
        settings.credentials = credentials
            .map(|(user, password)| Credentials::new(user.into(), password.into()).unwrap());
        (server, Remote::new(settings).unwrap())
    }
}

/// Settings with nothing but a host and a CA.
pub(super) fn settings(host: &str, ca: Option<String>) -> RegistrySettings {
    RegistrySettings {
        host: host.to_owned(),
        trust_server: None,
        ca,
        certs_d: "/nonexistent/certs.d".into(),
        credentials: None,
        proxy: ProxySetting::Direct,
    }
}

/// Fetches any file from the trust server of these settings.
pub(super) async fn fetch_root(settings: RegistrySettings) -> Result<Vec<u8>, Unavailable> {
    let remote = Remote::new(settings).unwrap();
    let gun = "h.io/app".parse().unwrap();
    remote.trust_server().fetch(&gun, "root.json", 100, patient()).await
}

/// An engine that runs this script. The folder must outlive it.
pub(super) fn start_engine(
    script: impl Fn(&Asked) -> Vec<Step> + Send + Sync + 'static,
) -> (tempfile::TempDir, Seen, Engine) {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("docker.sock");
    let seen = engine(&socket, script);
    (folder, seen, Engine::new(&socket).unwrap())
}

/// An HTTP server on a unix socket, as an engine is.
pub(super) fn engine(
    socket: &Path,
    script: impl Fn(&Asked) -> Vec<Step> + Send + Sync + 'static,
) -> Seen {
    let listener = UnixListener::bind(socket).unwrap();
    let (script, seen) = (Arc::new(script), Seen::default());
    let accepting = seen.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (script, seen) = (script.clone(), accepting.clone());
            thread::spawn(move || seen.serve(stream.unwrap(), &*script));
        }
    });
    seen
}
