//! Endpoints and links over loopback.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use tokio::{sync::mpsc, time::timeout};

use super::*;
use crate::frames::Frames;

const ALPN: &[u8] = b"/test/1";
const LIMIT: Duration = Duration::from_secs(100);

fn loopback() -> BTreeSet<SocketAddr> {
    BTreeSet::from([SocketAddr::from((Ipv4Addr::LOCALHOST, 0))])
}

struct Node {
    endpoint: Endpoint,
    addr: EndpointAddr,
    incoming: mpsc::Receiver<Link>,
}

fn node_with(config: EndpointConfig) -> Node {
    let secret = SecretKey::generate();
    let endpoint = Endpoint::bind(secret.clone(), &loopback(), config).unwrap();
    let (tx, incoming) = mpsc::channel(16);
    let handler = move |link| {
        let tx = tx.clone();
        Box::pin(async move { tx.send(link).await.unwrap_or(()) })
            as futures::future::BoxFuture<'static, ()>
    };
    endpoint.register(ALPN, Arc::new(handler)).unwrap();
    let addr = EndpointAddr {
        id: secret.public(),
        addrs: endpoint.local_addrs(),
    };
    Node {
        endpoint,
        addr,
        incoming,
    }
}

fn node() -> Node {
    node_with(EndpointConfig::default())
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(LIMIT, future).await.expect("it ends within 100 s")
}

/// Both ends of a link; the dialling side has sent `hello`.
async fn linked(config: EndpointConfig) -> (Link, Link, Node, Node) {
    let (dialler, mut acceptor) = (node(), node_with(config));
    let mut link = within(dialler.endpoint.connect(&acceptor.addr, ALPN))
        .await
        .unwrap();
    within(link.tx.send_frame(b"hello")).await.unwrap();
    let mut other = within(acceptor.incoming.recv()).await.unwrap();
    assert_eq!(
        within(other.rx.recv_frame()).await.unwrap().unwrap(),
        "hello"
    );
    assert_eq!(
        (link.conn.peer(), other.conn.peer()),
        (acceptor.addr.id, dialler.addr.id)
    );
    assert_ne!(link.conn.stable_id(), other.conn.stable_id());
    (link, other, dialler, acceptor)
}

#[tokio::test]
async fn batches_go_both_ways_and_end_with_a_fin() {
    let (mut link, mut other, ..) = linked(EndpointConfig::default()).await;
    let sent: Vec<Vec<u8>> = (0..20_000u32)
        .map(|n| n.to_le_bytes().repeat(1 + n as usize % 30))
        .collect();
    let batches: Vec<Bytes> = sent
        .chunks(700)
        .map(|chunk| chunk.iter().collect::<Frames>().into_wire())
        .collect();
    let writer = tokio::spawn(async move {
        let mut batches = batches;
        other.tx.send_wire(&mut batches).await.unwrap();
        assert!(batches.iter().all(Bytes::is_empty));
        other.tx.finish();
        other.conn.closed().await
    });
    let (mut seen, mut reads) = (Vec::new(), 0);
    while let Some(frames) = within(link.rx.recv_frames()).await.unwrap() {
        assert!(!frames.is_empty());
        seen.extend(frames.iter().map(<[u8]>::to_vec));
        reads += 1;
    }
    assert_eq!(seen, sent);
    assert!(
        reads < sent.len() / 4,
        "{reads} reads for {} frames",
        sent.len()
    );
    link.conn.close(CloseReason::EndOfStream);
    assert_eq!(within(writer).await.unwrap(), CloseReason::EndOfStream);
    assert!(link.conn.is_closed());
}

#[tokio::test]
async fn a_cancelled_read_loses_nothing() {
    let (mut link, mut other, ..) = linked(EndpointConfig::default()).await;
    let wire = Frames::from_iter([vec![1; 3000], vec![2; 10]]).into_wire();
    for piece in [wire.slice(..2), wire.slice(2..2000), wire.slice(2000..)] {
        for _ in 0..20 {
            let unfinished = timeout(Duration::from_millis(1), link.rx.recv_frames()).await;
            assert!(unfinished.is_err());
        }
        within(other.tx.send_wire(&mut [piece])).await.unwrap();
    }
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let frames = within(link.rx.recv_frames()).await.unwrap().unwrap();
        seen.extend(frames.iter().map(<[u8]>::to_vec));
    }
    assert_eq!(seen, [vec![1; 3000], vec![2; 10]]);
}

#[tokio::test]
async fn an_oversize_header_and_a_cut_frame_are_told_apart() {
    let config = EndpointConfig {
        max_frame_len: 100,
        ..EndpointConfig::default()
    };
    let (mut link, mut other, ..) = linked(config.clone()).await;
    within(
        link.tx
            .send_wire(&mut [Bytes::from_static(&[0, 0, 0, 101])]),
    )
    .await
    .unwrap();
    let refused = within(other.rx.recv_frames()).await.unwrap_err();
    assert_eq!(refused, LinkError::TooLarge { len: 101, max: 100 });
    other.rx.set_max_frame_len(101);
    within(link.tx.send_wire(&mut [Bytes::from_static(&[7; 101])]))
        .await
        .unwrap();
    assert_eq!(
        within(other.rx.recv_frame()).await.unwrap().unwrap().len(),
        101
    );
    within(
        link.tx
            .send_wire(&mut [Bytes::from_static(&[0, 0, 0, 5, 1])]),
    )
    .await
    .unwrap();
    link.tx.finish();
    assert_eq!(
        within(other.rx.recv_frames()).await.unwrap_err(),
        LinkError::Truncated
    );
}

#[tokio::test]
async fn the_other_sides_reason_is_understood_everywhere() {
    let (mut link, mut other, ..) = linked(EndpointConfig::default()).await;
    other.conn.close(CloseReason::TooSlow);
    other.conn.close(CloseReason::Success);
    assert_eq!(within(link.conn.closed()).await, CloseReason::TooSlow);
    assert_eq!(within(other.conn.closed()).await, CloseReason::TooSlow);
    let ended = LinkError::Closed(CloseReason::TooSlow);
    assert_eq!(within(link.rx.recv_frame()).await.unwrap_err(), ended);
    assert_eq!(within(link.tx.send_frame(b"x")).await.unwrap_err(), ended);
    assert_eq!(within(other.rx.recv_frames()).await.unwrap_err(), ended);
}

#[tokio::test]
async fn a_dropped_link_says_that_it_was_given_up() {
    let (link, other, ..) = linked(EndpointConfig::default()).await;
    let Link { conn, tx, rx } = link;
    drop((conn, rx));
    assert!(!other.conn.is_closed());
    drop(tx);
    assert_eq!(within(other.conn.closed()).await, CloseReason::Cancelled);
}

#[tokio::test]
async fn a_reader_that_does_not_read_holds_the_writer_back() {
    let (_link, mut other, ..) = linked(EndpointConfig::default()).await;
    let batch = Frames::single(&vec![0; 1024 * 1024]).into_wire();
    let mut written = 0;
    while timeout(
        Duration::from_millis(500),
        other.tx.send_wire(&mut [batch.clone()]),
    )
    .await
    .is_ok()
    {
        written += 1;
        assert!(written < 64, "the windows bound what is in flight");
    }
    assert!(written >= 4, "{written} MiB");
}

#[tokio::test]
async fn the_wrong_key_is_refused() {
    let (dialler, acceptor) = (node(), node());
    let wrong = EndpointAddr {
        id: SecretKey::generate().public(),
        addrs: acceptor.addr.addrs.clone(),
    };
    let refused = within(dialler.endpoint.connect(&wrong, ALPN))
        .await
        .unwrap_err();
    assert!(
        matches!(refused, ConnectError::OtherKey { addr, found }
            if found == acceptor.addr.id && acceptor.addr.addrs.contains(&addr)),
        "{refused:?}"
    );
}

#[tokio::test]
async fn an_unknown_protocol_is_refused() {
    let (dialler, acceptor) = (node(), node());
    let refused = within(dialler.endpoint.connect(&acceptor.addr, b"/other/1"))
        .await
        .unwrap_err();
    assert!(
        matches!(
            refused,
            ConnectError::Closed {
                reason: CloseReason::InvalidAlpn,
                ..
            }
        ),
        "{refused:?}"
    );
}

#[tokio::test]
async fn every_address_is_tried_and_none_is_an_error() {
    let (dialler, mut acceptor) = (node(), node());
    let dead = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut addr = acceptor.addr.clone();
    addr.addrs
        .extend([dead.local_addr().unwrap(), "[::1]:9".parse().unwrap()]);
    let mut link = within(dialler.endpoint.connect(&addr, ALPN)).await.unwrap();
    within(link.tx.send_frame(b"")).await.unwrap();
    assert!(within(acceptor.incoming.recv()).await.is_some());
    let nowhere = within(dialler.endpoint.connect(&addr.id.into(), ALPN))
        .await
        .unwrap_err();
    assert!(
        matches!(nowhere, ConnectError::NoAddress(id) if id == addr.id),
        "{nowhere:?}"
    );
}

#[tokio::test]
async fn nobody_there_is_a_time_out() {
    let config = EndpointConfig {
        connect_timeout: Duration::from_millis(300),
        ..EndpointConfig::default()
    };
    let dialler = node_with(config);
    let dead = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = EndpointAddr::new(SecretKey::generate().public(), [dead.local_addr().unwrap()]);
    let refused = within(dialler.endpoint.connect(&addr, ALPN))
        .await
        .unwrap_err();
    assert!(matches!(refused, ConnectError::TimedOut(_)), "{refused:?}");
}

#[tokio::test]
async fn silent_clients_are_dropped_capped_and_hold_up_nobody() {
    let config = EndpointConfig {
        handshake_timeout: Duration::from_secs(6),
        pending_max: 4,
        retry_above: 1,
        ..EndpointConfig::default()
    };
    let mut acceptor = node_with(config);
    let dialler = node();
    let mut silent = Vec::new();
    for _ in 0..3 {
        silent.push(
            within(dialler.endpoint.connect(&acceptor.addr, ALPN))
                .await
                .unwrap(),
        );
    }
    let mut link = within(dialler.endpoint.connect(&acceptor.addr, ALPN))
        .await
        .unwrap();
    within(link.tx.send_frame(b"I speak")).await.unwrap();
    let mut served = within(acceptor.incoming.recv()).await.unwrap();
    assert_eq!(
        within(served.rx.recv_frame()).await.unwrap().unwrap(),
        "I speak"
    );
    // A connection that has sent a frame holds no seat any more: there is one for another silent one, and then one too
    // few.
    for _ in 0..2 {
        silent.push(
            within(dialler.endpoint.connect(&acceptor.addr, ALPN))
                .await
                .unwrap(),
        );
    }
    let displaced = silent.remove(0);
    let closed = timeout(Duration::from_secs(5), displaced.conn.closed()).await;
    assert_eq!(closed, Ok(CloseReason::Cancelled));
    assert!(silent.iter().all(|link| !link.conn.is_closed()));
    for link in silent {
        assert_eq!(within(link.conn.closed()).await, CloseReason::Cancelled);
    }
    assert!(!link.conn.is_closed());
}

#[tokio::test]
async fn no_more_links_than_so_many_are_held() {
    let config = EndpointConfig {
        established_max: 3,
        ..EndpointConfig::default()
    };
    let mut acceptor = node_with(config);
    // Serves its links while they exist.
    let (tx, mut served) = mpsc::channel(8);
    let handler = move |mut link: Link| {
        let tx = tx.clone();
        Box::pin(async move {
            let _ = link.rx.recv_frame().await;
            let _ = tx.send(()).await;
            link.conn.closed().await;
        }) as futures::future::BoxFuture<'static, ()>
    };
    acceptor.endpoint.register(ALPN, Arc::new(handler)).unwrap();
    acceptor.incoming.close();
    let dialler = node();
    let mut links = Vec::new();
    for _ in 0..3 {
        let mut link = within(dialler.endpoint.connect(&acceptor.addr, ALPN))
            .await
            .unwrap();
        within(link.tx.send_frame(b"hello")).await.unwrap();
        assert!(within(served.recv()).await.is_some());
        links.push(link);
    }
    let refused = within(dialler.endpoint.connect(&acceptor.addr, ALPN)).await;
    assert!(
        matches!(refused, Err(ConnectError::Failed { .. })),
        "{refused:?}"
    );
    assert!(links.iter().all(|link| !link.conn.is_closed()));
    links.pop();
    let again = async {
        while dialler
            .endpoint
            .connect(&acceptor.addr, ALPN)
            .await
            .is_err()
        {
            tokio::task::yield_now().await;
        }
    };
    within(again).await;
}

#[tokio::test]
async fn closing_tells_the_peers() {
    let (link, _other, _dialler, acceptor) = linked(EndpointConfig::default()).await;
    within(acceptor.endpoint.close(CloseReason::GracefulShutdown)).await;
    assert_eq!(
        within(link.conn.closed()).await,
        CloseReason::GracefulShutdown
    );
    let refused = within(acceptor.endpoint.connect(&acceptor.addr, ALPN))
        .await
        .unwrap_err();
    assert!(
        matches!(refused, ConnectError::EndpointClosed),
        "{refused:?}"
    );
}

#[test]
fn a_taken_address_is_an_error() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let _guard = runtime.enter();
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let listen = BTreeSet::from([taken.local_addr().unwrap()]);
    let refused = Endpoint::bind(SecretKey::generate(), &listen, EndpointConfig::default())
        .err()
        .unwrap();
    assert!(matches!(refused, BindError::Socket { .. }), "{refused}");
}

#[tokio::test]
async fn a_closed_endpoints_address_is_free_though_connections_are_still_dying() {
    let nobody = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let dead = EndpointAddr::new(
        SecretKey::generate().public(),
        [nobody.local_addr().unwrap()],
    );
    for _ in 0..3 {
        let node = node();
        let addr = node.addr.clone();
        // quinn takes seconds to give up a handshake without an answer.
        let unanswered = timeout(
            Duration::from_millis(20),
            node.endpoint.connect(&dead, ALPN),
        )
        .await;
        assert!(unanswered.is_err());
        within(node.endpoint.close(CloseReason::GracefulShutdown)).await;
        let again = Endpoint::bind(
            SecretKey::generate(),
            &addr.addrs,
            EndpointConfig::default(),
        );
        assert_eq!(again.unwrap().local_addrs(), addr.addrs);
    }
}

#[tokio::test]
async fn a_connection_sends_as_it_was_told_to() {
    use quinn::congestion::{Bbr, Cubic, NewReno};
    for congestion in [Congestion::Cubic, Congestion::NewReno, Congestion::Bbr] {
        let transport = Transport {
            congestion,
            ..Transport::default()
        };
        let config = EndpointConfig {
            transport,
            ..EndpointConfig::default()
        };
        let (_link, other, ..) = linked(config).await;
        let controller = other.conn.quic().congestion_state().into_any();
        assert!(
            match congestion {
                Congestion::Cubic => controller.is::<Cubic>(),
                Congestion::NewReno => controller.is::<NewReno>(),
                Congestion::Bbr => controller.is::<Bbr>(),
            },
            "{congestion:?}"
        );
    }
}

#[tokio::test]
async fn who_sends_much_asks_for_few_acknowledgements() {
    let (mut link, mut other, ..) = linked(EndpointConfig::default()).await;
    let payload = vec![0; 100_000];
    for _ in 0..20 {
        within(other.tx.send_frame(&payload)).await.unwrap();
        within(link.rx.recv_frame()).await.unwrap().unwrap();
    }
    assert!(other.conn.quic().stats().frame_tx.ack_frequency > 0);
    assert!(link.conn.quic().stats().frame_rx.ack_frequency > 0);
}
