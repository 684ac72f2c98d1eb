//! Whether a server's certificate will do.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, OtherError, SignatureScheme};

/// webpki's verdict, except that a server may show the very certificate that was
/// registered for it.
///
/// Registries with a self-signed certificate are common, `openssl req -x509` marks it
/// as a CA, and Go, hence the engine, takes it; webpki refuses a CA's certificate as a
/// server's, and a registered leaf whose issuer is not registered too.
#[derive(Debug)]
pub(super) struct Verifier {
    webpki: Arc<WebPkiServerVerifier>,
    pinned: Vec<CertificateDer<'static>>,
}

impl Verifier {
    /// A verifier that asks `webpki`, and takes the `pinned` certificates themselves.
    pub(super) fn new(
        webpki: Arc<WebPkiServerVerifier>,
        pinned: Vec<CertificateDer<'static>>,
    ) -> Self {
        Self { webpki, pinned }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verdict = self.webpki.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        match verdict {
            // webpki reads the dates before it asks who issued the certificate and for
            // what, so none of these errors hides a bad date. The tests hold it to that.
            Err(error) if only_unvouched(&error) && self.pinned.contains(end_entity) => {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            // Signed by a CA of the right name and another key, or by itself. Said so, it
            // cannot be taken for a bad signature in the handshake.
            Err(error) if only_unvouched(&error) => Err(CertificateError::UnknownIssuer.into()),
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.webpki.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.webpki.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}

/// Whether all that is wrong with a certificate is that nobody vouches for it, or that
/// it is a CA's own.
fn only_unvouched(error: &rustls::Error) -> bool {
    match error {
        rustls::Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        ) => true,
        rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(other))) => {
            matches!(other.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Unavailable;
    use super::super::testing::{
        Authority, Identity, Server, expired, fetch_root, local, ok, settings,
    };
    use rcgen::{BasicConstraints, CertificateParams, IsCa};
    use rustls::ServerConfig;

    /// What becomes of a server with this certificate where `ca` is registered.
    async fn meet(config: ServerConfig, ca: String) -> Result<Vec<u8>, Unavailable> {
        fetch_root(settings(&Server::start(config, |_| ok("{}")).host, Some(ca))).await
    }

    fn marked_as_ca(mut params: CertificateParams) -> CertificateParams {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    }

    fn elsewhere() -> CertificateParams {
        CertificateParams::new(["elsewhere.example".to_owned()]).unwrap()
    }

    #[tokio::test]
    async fn the_registered_authority_decides() {
        let (ours, other) = (Authority::new(), Authority::new());
        assert!(meet(ours.issue().config(), ours.pem()).await.is_ok());
        let both = format!("our CAs:\n{}\n{}", other.pem(), ours.pem());
        assert!(meet(ours.issue().config(), both).await.is_ok());
        let error = meet(ours.issue().config(), other.pem()).await.unwrap_err();
        assert!(
            error.to_string().ends_with("is not signed by the registered CA (UnknownIssuer)"),
            "{error}"
        );
        let identity = ours.issue_as(&expired(local()));
        let error = meet(identity.config(), ours.pem()).await.unwrap_err();
        assert!(matches!(error, Unavailable::CertificateExpired { .. }), "{error}");
        let identity = ours.issue_as(&elsewhere());
        let error = meet(identity.config(), ours.pem()).await.unwrap_err();
        assert!(matches!(error, Unavailable::CertificateName { .. }), "{error}");
        assert_eq!(error.kind(), "tls");
    }

    #[tokio::test]
    async fn an_authority_is_more_than_its_name() {
        let (ours, other) = (Authority::named("CA"), Authority::named("CA"));
        let error = meet(other.issue().config(), ours.pem()).await.unwrap_err();
        assert!(matches!(error, Unavailable::UnknownIssuer { .. }), "{error}");
        let both = ours.pem() + &other.pem();
        assert!(meet(other.issue().config(), both).await.is_ok());
        let leaf = other.issue();
        assert!(meet(leaf.config(), ours.pem() + &leaf.pem).await.is_ok());
    }

    #[tokio::test]
    async fn a_registered_certificate_may_be_the_servers_own() {
        let authority = Authority::new();
        let kinds: [(&str, &dyn Fn(CertificateParams) -> Identity); 3] = [
            ("self-signed", &|params| Identity::self_signed(&params)),
            ("self-signed CA", &|params| Identity::self_signed(&marked_as_ca(params))),
            ("of an unregistered CA", &|params| authority.issue_as(&params)),
        ];
        for (kind, make) in kinds {
            let good = make(local());
            assert!(meet(good.config(), good.pem.clone()).await.is_ok(), "{kind}");

            let old = make(expired(local()));
            let error = meet(old.config(), old.pem.clone()).await.unwrap_err();
            assert!(matches!(error, Unavailable::CertificateExpired { .. }), "{kind}: {error}");

            let mut params = local();
            params.not_before = rcgen::date_time_ymd(4000, 1, 1);
            params.not_after = rcgen::date_time_ymd(4001, 1, 1);
            let future = make(params);
            let error = meet(future.config(), future.pem.clone()).await.unwrap_err();
            assert!(matches!(error, Unavailable::Tls { .. }), "{kind}: {error}");

            let named = make(elsewhere());
            let error = meet(named.config(), named.pem.clone()).await.unwrap_err();
            assert!(matches!(error, Unavailable::CertificateName { .. }), "{kind}: {error}");

            // The same in every word but the key.
            let twin = make(local());
            let error = meet(twin.config(), good.pem).await.unwrap_err();
            assert_eq!(error.kind(), "tls", "{kind}: {error}");
        }
    }

    #[tokio::test]
    async fn showing_a_certificate_is_not_owning_it() {
        let good = Identity::self_signed(&marked_as_ca(local()));
        let thief = good.config_without_key(&Identity::self_signed(&local()));
        let error = meet(thief, good.pem).await.unwrap_err();
        assert_eq!(error.kind(), "tls", "{error}");
    }
}
