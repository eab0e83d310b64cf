//! Tests of HTTP requests to granted hosts, with servers on loopback.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;

use super::probes::*;
use super::*;

/// Serves connections one after the other with this answer, and reports the requests. Ends with its
/// last client.
fn serve(answer: &'static str) -> (u16, std::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (heads, asked) = std::sync::mpsc::channel();
    thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut request = [0; 4096];
            let len = connection.read(&mut request).unwrap_or(0);
            let head = String::from_utf8_lossy(&request[..len]).into_owned();
            let _ = connection.write_all(answer.as_bytes());
            if heads.send(head).is_err() {
                return;
            }
        }
    });
    (port, asked)
}

#[test]
fn only_granted_hosts_are_contacted() {
    let (port, asked) = serve("HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n");
    let (other, not_asked) = serve("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let probe = http("/prices?of=IBM");
    let authority = |host: &str, port: u16| format!("{host}:{port}").into_bytes();
    let seen = run(
        &probe.guest(),
        hosts(&[("127.0.0.1", Some(port))]),
        &[
            &authority("127.0.0.1", port),
            &authority("127.0.0.1", other),
            &authority("localhost", port),
            b"127.0.0.1",
            b"example.org",
        ],
    );
    let denied = [HTTP_REQUEST_DENIED].to_vec();
    assert_eq!(
        seen.concat(),
        [
            b"\0\xcc".to_vec(),
            denied.clone(),
            denied.clone(),
            denied.clone(),
            denied
        ]
    );
    let request = asked.recv_timeout(Duration::from_mins(1)).unwrap();
    assert!(
        request.starts_with("GET /prices?of=IBM HTTP/1.1\r\n"),
        "{request}"
    );
    assert!(asked.try_recv().is_err(), "asked once");
    assert!(not_asked.try_recv().is_err(), "never asked");
}

#[test]
fn a_redirect_is_not_followed() {
    let (other, not_asked) = serve("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let answer = format!(
        "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:{other}/\r\ncontent-length: 0\r\n\r\n"
    );
    let (port, asked) = serve(answer.leak());
    let probe = http("/");
    let seen = run(
        &probe.guest(),
        hosts(&[("127.0.0.1", Some(port)), ("127.0.0.1", Some(other))]),
        &[format!("127.0.0.1:{port}").as_bytes()],
    );
    assert_eq!(seen.concat(), [302_u16.to_be_bytes()]);
    asked.recv_timeout(Duration::from_mins(1)).unwrap();
    assert!(not_asked.try_recv().is_err());
}

#[test]
fn an_unresponsive_server_is_abandoned_in_time() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let probe = http("/");
    let authority = format!("127.0.0.1:{port}");
    ends_in_time(
        &probe.guest(),
        hosts(&[("127.0.0.1", Some(port))]),
        authority.as_bytes(),
    );
}

#[test]
fn a_refused_connection_is_reported_to_the_guest() {
    let port = {
        let gone = TcpListener::bind("127.0.0.1:0").unwrap();
        gone.local_addr().unwrap().port()
    };
    let probe = http("/");
    let authority = format!("127.0.0.1:{port}");
    let seen = run(
        &probe.guest(),
        hosts(&[("127.0.0.1", Some(port))]),
        &[authority.as_bytes()],
    );
    assert_eq!(seen.concat(), [[CONNECTION_REFUSED]]);
}

#[test]
fn a_server_without_tls_fails_https() {
    let (port, asked) = serve("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let probe = https("/");
    let authority = format!("127.0.0.1:{port}");
    let seen = run(
        &probe.guest(),
        hosts(&[("127.0.0.1", Some(port))]),
        &[authority.as_bytes()],
    );
    assert!(
        matches!(seen[0][0][..], [TLS_PROTOCOL_ERROR | TLS_CERTIFICATE_ERROR]),
        "{seen:?}"
    );
    let hello = asked.recv_timeout(Duration::from_mins(1)).unwrap();
    assert_eq!(hello.as_bytes()[..2], [0x16, 3], "a TLS handshake");
}
