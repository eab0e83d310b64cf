//! TLS 1.3 with raw Ed25519 public keys (RFC 7250) on both sides: the key of a node is its certificate. No I/O.

use std::{fmt, sync::Arc};

use data_encoding::BASE32_DNSSEC;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError,
    PeerIncompatible, SignatureScheme,
    client::{
        AlwaysResolvesClientRawPublicKeys, Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{
        CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls13_signature_with_raw_key,
    },
    pki_types::{
        CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime,
    },
    server::{
        AlwaysResolvesServerRawPublicKeys,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::CertifiedKey,
};

use super::identity::{PeerId, SecretKey};

/// The prefix of the 32 key bytes in an Ed25519 SubjectPublicKeyInfo, RFC 8410.
const SPKI_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// The prefix of the 32 secret bytes in an Ed25519 PKCS#8 version 1 document, RFC 8410.
const PKCS8_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

const SERVER_NAME_SUFFIX: &str = ".iroh.invalid";

/// Returns the server name with which a peer is dialled, and against which its key is verified.
pub(super) fn server_name(peer: &PeerId) -> String {
    format!(
        "{}{SERVER_NAME_SUFFIX}",
        BASE32_DNSSEC.encode(peer.as_bytes())
    )
}

fn peer_of_server_name(name: &ServerName<'_>) -> Option<PeerId> {
    let ServerName::DnsName(name) = name else {
        return None;
    };
    let label = name.as_ref().strip_suffix(SERVER_NAME_SUFFIX)?;
    let bytes = BASE32_DNSSEC.decode(label.as_bytes()).ok()?;
    PeerId::from_bytes(bytes.try_into().ok()?).ok()
}

/// Returns the peer id of a raw public key "certificate".
pub(super) fn peer_of_certificate(spki: &[u8]) -> Option<PeerId> {
    let key = spki.strip_prefix(&SPKI_PREFIX)?;
    PeerId::from_bytes(key.try_into().ok()?).ok()
}

fn certified_key(secret: &SecretKey) -> Result<Arc<CertifiedKey>, Error> {
    let pkcs8 = [PKCS8_PREFIX.as_slice(), &secret.to_bytes()].concat();
    let key = ring::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(pkcs8))?;
    let spki = [SPKI_PREFIX.as_slice(), secret.public().as_bytes()].concat();
    Ok(Arc::new(CertifiedKey::new(
        vec![CertificateDer::from(spki)],
        key,
    )))
}

/// Creates the settings for dialling with this key and protocol name.
pub(super) fn client_config(
    secret: &SecretKey,
    alpn: &[u8],
) -> Result<rustls::ClientConfig, Error> {
    let provider = Arc::new(ring::default_provider());
    let verifier = Arc::new(RawKeyVerifier::new(&provider));
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(
            certified_key(secret)?,
        )));
    config.alpn_protocols = vec![alpn.to_vec()];
    // Every connection proves both keys again, so that there is no second way in and no session ticket to protect.
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// Creates the settings for accepting with this key and these protocol names.
pub(super) fn server_config(
    secret: &SecretKey,
    alpns: Vec<Vec<u8>>,
) -> Result<rustls::ServerConfig, Error> {
    let provider = Arc::new(ring::default_provider());
    let verifier = Arc::new(RawKeyVerifier::new(&provider));
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(
            certified_key(secret)?,
        )));
    config.alpn_protocols = alpns;
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// Accepts any Ed25519 raw public key from a client. From a server, accepts only the key that its name contains.
#[derive(Debug)]
struct RawKeyVerifier {
    algorithms: WebPkiSupportedAlgorithms,
}

impl RawKeyVerifier {
    fn new(provider: &CryptoProvider) -> Self {
        Self {
            algorithms: provider.signature_verification_algorithms,
        }
    }

    fn verify(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = SubjectPublicKeyInfoDer::from(key.as_ref());
        verify_tls13_signature_with_raw_key(message, &key, signed, &self.algorithms)
    }
}

fn only_key(
    certificate: &CertificateDer<'_>,
    more: &[CertificateDer<'_>],
) -> Result<PeerId, Error> {
    if !more.is_empty() {
        return Err(Error::InvalidCertificate(CertificateError::UnknownIssuer));
    }
    peer_of_certificate(certificate).ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))
}

/// A server presented this key instead of the one in its name.
#[derive(Clone, Copy)]
struct OtherKey(PeerId);

/// The marker that [`found_key`] searches for: quinn reports a handshake error only as text.
const OTHER_KEY: &str = "the peer has another key: ";

impl fmt::Display for OtherKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{OTHER_KEY}{}", self.0)
    }
}

impl fmt::Debug for OtherKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for OtherKey {}

impl From<OtherKey> for Error {
    fn from(error: OtherKey) -> Self {
        Self::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(error))))
    }
}

/// Returns the key that a dialled peer presented instead of its own, if the handshake failed because of that. The peer
/// has not proven that it holds the key.
pub(super) fn found_key(error: &quinn::ConnectionError) -> Option<PeerId> {
    let quinn::ConnectionError::TransportError(error) = error else {
        return None;
    };
    let (_, key) = error.reason.split_once(OTHER_KEY)?;
    key.get(..64)?.parse().ok()
}

impl ServerCertVerifier for RawKeyVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let key = only_key(end_entity, intermediates)?;
        if peer_of_server_name(server_name) != Some(key) {
            return Err(OtherKey(key).into());
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls13RequiredForQuic.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for RawKeyVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        only_key(end_entity, intermediates).map(|_| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls13RequiredForQuic.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_name_stands_for_one_peer() {
        let peer = SecretKey::generate().public();
        let name = server_name(&peer);
        assert!(name.len() <= 63 + SERVER_NAME_SUFFIX.len() && name.to_lowercase() == name);
        assert_eq!(
            peer_of_server_name(&ServerName::try_from(name).unwrap()),
            Some(peer)
        );
        assert_eq!(
            peer_of_server_name(&ServerName::try_from("example.org").unwrap()),
            None
        );
    }

    #[test]
    fn only_ed25519_keys_are_read() {
        let peer = SecretKey::generate().public();
        let spki = [SPKI_PREFIX.as_slice(), peer.as_bytes()].concat();
        assert_eq!(peer_of_certificate(&spki), Some(peer));
        assert_eq!(peer_of_certificate(&spki[..43]), None);
        assert_eq!(peer_of_certificate(&[spki.as_slice(), b"!"].concat()), None);
        assert_eq!(peer_of_certificate(b""), None);
    }
}
