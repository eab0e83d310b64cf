//! Tests syncs between processes that have one key.

use std::{collections::BTreeSet, net::SocketAddr};

use super::*;
use crate::{
    SecretKey,
    discovery::Config,
    frames::DEFAULT_MAX_FRAME_LEN,
    net::{Endpoint, EndpointConfig},
};

/// A process with this key and start time that answers syncs, and its address.
fn process(key: &SecretKey, started_ms: i64) -> (Arc<Shared>, EndpointAddr) {
    let (network, config) = ("net".into(), Config::default());
    let shared = Shared::new(network, key.clone(), config, DEFAULT_MAX_FRAME_LEN);
    let shared = Arc::new(shared);
    shared.update_local(true, |entry| entry.version.started_ms = started_ms);
    let listen = BTreeSet::from([SocketAddr::from(([127, 0, 0, 1], 0))]);
    let endpoint = Endpoint::bind(key.clone(), &listen, EndpointConfig::default()).unwrap();
    let served = shared.clone();
    let handler = Arc::new(move |link| -> futures::future::BoxFuture<'static, ()> {
        Box::pin(serve(served.clone(), link))
    });
    endpoint.register(ALPN, handler).unwrap();
    let addr = EndpointAddr::new(key.public(), endpoint.local_addrs());
    shared.endpoint.send_replace(Some(endpoint));
    (shared, addr)
}

#[tokio::test]
async fn processes_with_one_key_and_start_time_are_told_apart() {
    let (key, started_ms) = (SecretKey::generate(), now_ms());
    let (one, one_addr) = process(&key, started_ms);
    let (two, _) = process(&key, started_ms);
    assert_eq!(one.life().started_ms, two.life().started_ms);

    assert!(!is_another_me(&one, &one_addr).await.unwrap(), "itself");
    assert_eq!(one.problems(), []);

    assert!(is_another_me(&two, &one_addr).await.unwrap());
    assert_eq!(one.problems(), [Problem::OwnKeyShared]);
}
