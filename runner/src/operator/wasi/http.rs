//! HTTP requests of an operator: to granted hosts only, over HTTP/1.1, with or without TLS.
//! Redirects are not followed: the guest requests the new location itself, and that request is
//! checked like any other.

use std::sync::Arc;

use http::Uri;
use http_body_util::BodyExt;
use tokio::sync::Semaphore;
use wasmtime_wasi_http::p2::bindings::http::types::{DnsErrorPayload, ErrorCode};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks, default_send_request};

use crate::operator::grants::HttpHost;

/// Maximum number of concurrent connections of an instance: 32. Further requests are refused with
/// `connection-limit-reached`.
const CONNECTIONS_MAX: usize = 32;

/// A response, and the future that has to be polled for it to arrive.
type Answer = Result<
    (
        http::Response<WasiBody>,
        Box<dyn Future<Output = Result<(), Error>> + Send>,
    ),
    Error,
>;

/// Sends the requests of one instance.
pub(super) struct Hooks {
    hosts: Vec<HttpHost>,
    connections: Arc<Semaphore>,
}

impl Hooks {
    pub(super) fn new(hosts: Vec<HttpHost>) -> Self {
        Self {
            hosts,
            connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
        }
    }
}

/// Returns true if a request to this URI is permitted.
fn allows(hosts: &[HttpHost], uri: &Uri) -> bool {
    let Some(authority) = uri.authority() else {
        return false;
    };
    // Credentials in front of the host would obscure the host.
    if authority.as_str().contains('@') {
        return false;
    }
    let own_port = match uri.scheme_str() {
        Some("http") => 80,
        Some("https") => 443,
        _ => return false,
    };
    let port = match authority.port() {
        Some(port) => port.as_u16(),
        // The port is not a number.
        None if authority.as_str() != authority.host() => return false,
        None => own_port,
    };
    hosts.iter().any(|granted| {
        granted.host.eq_ignore_ascii_case(authority.host())
            && port == granted.port.unwrap_or(own_port)
    })
}

impl WasiHttpHooks for Hooks {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Answer> + Send> {
        let permit = if allows(&self.hosts, request.uri()) {
            Arc::clone(&self.connections)
                .try_acquire_owned()
                .map_err(|_| Error::ConnectionLimitReached)
        } else {
            Err(Error::HttpRequestDenied)
        };
        Box::new(async move {
            let permit = permit?;
            let (response, connection) = default_send_request(request, options).await?;
            let connection = async move {
                let _permit = permit;
                connection.await
            };
            Ok((
                response.map(BodyExt::boxed_unsync),
                Box::new(connection) as Box<_>,
            ))
        })
    }

    // The guest logs errors of requests itself, within its limits. They are not logged here as
    // well.

    fn p2_error_from_hyper(&mut self, error: &hyper::Error) -> ErrorCode {
        if error.is_timeout() {
            ErrorCode::HttpResponseTimeout
        } else if error.is_incomplete_message() {
            ErrorCode::HttpResponseIncomplete
        } else {
            ErrorCode::HttpProtocolError
        }
    }

    fn p2_error_from_connect(&mut self, error: &std::io::Error) -> ErrorCode {
        use std::io::ErrorKind;
        match error.kind() {
            ErrorKind::ConnectionRefused => ErrorCode::ConnectionRefused,
            ErrorKind::TimedOut => ErrorCode::ConnectionTimeout,
            ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
                ErrorCode::DestinationUnavailable
            }
            _ => ErrorCode::DestinationNotFound,
        }
    }

    fn p2_error_from_tls(&mut self, error: &std::io::Error) -> ErrorCode {
        // The TLS library reports this only in the error's kind.
        if error.kind() == std::io::ErrorKind::InvalidData {
            ErrorCode::TlsCertificateError
        } else {
            ErrorCode::TlsProtocolError
        }
    }

    fn p2_error_from_dns(&mut self, _: &rustls::pki_types::InvalidDnsNameError) -> ErrorCode {
        ErrorCode::DnsError(DnsErrorPayload {
            rcode: Some("invalid dns name".to_owned()),
            info_code: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_listed_is_allowed() {
        let host = |host: &str, port| HttpHost {
            host: host.into(),
            port,
        };
        let hosts = [
            host("example.org", None),
            host("127.0.0.1", Some(8080)),
            host("[::1]", Some(8080)),
        ];
        for (uri, expected) in [
            ("http://example.org/a?b", true),
            ("https://EXAMPLE.org", true),
            ("http://example.org:80/", true),
            ("https://example.org:443/", true),
            ("http://example.org:443/", false),
            ("https://example.org:80/", false),
            ("http://example.org:8080/", false),
            ("http://example.org./", false),
            ("http://a.example.org/", false),
            ("http://example.org.evil.net/", false),
            ("http://example.org@evil.net/", false),
            ("http://evil.net@example.org/", false),
            ("ftp://example.org/", false),
            ("/example.org", false),
            ("http://127.0.0.1:8080/", true),
            ("https://127.0.0.1:8080/", true),
            ("http://127.0.0.1/", false),
            ("http://127.0.0.1:8081/", false),
            ("http://127.1:8080/", false),
            ("http://localhost:8080/", false),
            ("http://[::1]:8080/", true),
            ("http://[::1]/", false),
            ("http://example.org:/", false),
            ("http://example.org:99999/", false),
        ] {
            let uri: Uri = uri.parse().unwrap();
            assert_eq!(allows(&hosts, &uri), expected, "{uri}");
        }
    }
}
