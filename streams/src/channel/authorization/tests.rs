//! Tests of authorization and its duration, without a socket.

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use chrono::TimeDelta;
use futures::FutureExt;

use super::*;
use crate::{
    EndpointAddr, Network, SecretKey, UniqueId,
    peer::{InvalidTicket, Ticket, TicketClass},
};

/// Accepts tickets that contain a number, for this many milliseconds. Panics on others.
struct Milliseconds(Arc<AtomicUsize>);

impl TicketValidator for Milliseconds {
    fn class(&self) -> TicketClass {
        "ms".into()
    }

    fn signature(&self) -> UniqueId {
        self.class()
    }

    fn validate(&self, ticket: &[u8], peer: &PeerEntry) -> Result<Expiration, InvalidTicket> {
        self.0.fetch_add(1, Ordering::Relaxed);
        let text = std::str::from_utf8(ticket).expect("not text");
        let lasts = TimeDelta::milliseconds(text.parse().expect("not a number"));
        Ok(Expiration::At(peer.updated_at() + lasts))
    }
}

async fn node() -> Network {
    let network = Network::builder("test").lazy(true).build().await;
    network.expect("it needs no socket")
}

fn key() -> SecretKey {
    SecretKey::from_bytes([1; 32])
}

fn entry(ticket: Option<&'static str>) -> PeerEntry {
    let entry = PeerEntry::new("test", EndpointAddr::from(key().public()));
    match ticket {
        Some(ticket) => entry.add_ticket(Ticket::new("ms", ticket)),
        None => entry,
    }
}

/// Changes the peer's ticket.
fn say(network: &Network, ticket: Option<&'static str>) {
    static LAST: Mutex<Option<PeerEntryVersion>> = Mutex::new(None);
    let mut last = LAST.lock().unwrap();
    let mut entry = entry(ticket);
    while last.is_some_and(|last| entry.update_version() <= last) {
        entry = entry.renewed();
    }
    *last = Some(entry.update_version());
    assert!(network.discovery().feed(entry.sign(&key()).unwrap()));
}

fn authorizer() -> (Authorizer, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let requirements = Requirements::new().require_ticket(Milliseconds(asked.clone()));
    (Authorizer::new(requirements), asked)
}

#[tokio::test]
async fn only_what_the_peer_signed_counts_where_tickets_are_asked_for() {
    let network = node().await;
    let (authorizer, _) = authorizer();
    let peer = key().public();
    network.discovery().insert(entry(Some("60000")));
    let catalog = network.discovery().catalog();
    assert!(Authorizer::default().entry(&catalog, &peer).is_some());
    assert!(authorizer.entry(&catalog, &peer).is_none());
    say(&network, None);
    let catalog = network.discovery().catalog();
    assert!(
        authorizer
            .authorize(authorizer.entry(&catalog, &peer).unwrap())
            .is_none()
    );
}

#[test]
fn without_rules_everyone_may_pass_and_with_them_all_must_hold() {
    assert!(Authorizer::default().authorize(&entry(None)).is_some());
    let (authorizer, asked) = authorizer();
    assert!(authorizer.authorize(&entry(None)).is_none());
    assert!(authorizer.authorize(&entry(Some("60000"))).is_some());
    assert!(authorizer.authorize(&entry(Some("-1"))).is_none());
    let ticket = || Requirements::new().require_ticket(Milliseconds(asked.clone()));
    let tagged = || ticket().require(|peer| !peer.tags().is_empty());
    authorizer.replace(tagged());
    let before = asked.load(Ordering::Relaxed);
    assert!(authorizer.authorize(&entry(Some("60000"))).is_none());
    assert_eq!(asked.load(Ordering::Relaxed), before);
    assert!(
        authorizer
            .authorize(&entry(Some("60000")).add_tag("a"))
            .is_some()
    );
    authorizer.replace(tagged().require_ticket(Milliseconds(asked.clone())));
    assert!(
        authorizer
            .authorize(&entry(Some("60000")).add_tag("a"))
            .is_some()
    );
}

#[test]
fn a_panic_refuses() {
    let (authorizer, asked) = authorizer();
    assert!(authorizer.authorize(&entry(Some("soon"))).is_none());
    assert!(authorizer.authorize(&entry(Some("60000"))).is_some());
    let ticket = Requirements::new().require_ticket(Milliseconds(asked));
    authorizer.replace(ticket.require(|_| panic!("as it should")));
    assert!(authorizer.authorize(&entry(Some("60000"))).is_none());
}

#[test]
fn a_stranger_cannot_have_any_number_of_tickets_checked() {
    let (authorizer, asked) = authorizer();
    let many = (0..1000).fold(entry(None), |entry, number: u32| {
        entry.add_ticket(Ticket::new("ms", format!("-{number}")))
    });
    assert!(authorizer.authorize(&many).is_none());
    assert_eq!(
        asked.load(Ordering::Relaxed),
        crate::discovery::MAX_TICKETS_JUDGED
    );
}

#[tokio::test]
async fn a_peer_may_stay_until_its_last_ticket_is_over() {
    let network = node().await;
    let (authorizer, _) = authorizer();
    let peer = key().public();
    let watch = || network.discovery().catalog_watch();
    let check = || {
        let catalog = network.discovery().catalog();
        authorizer.authorize(authorizer.entry(&catalog, &peer).unwrap())
    };
    say(&network, Some("200"));
    let grant = check().unwrap();
    let closed = authorizer.closed(watch(), &peer, grant);
    say(&network, Some("600"));
    let before = std::time::Instant::now();
    closed.await;
    let lasted = before.elapsed();
    assert!(lasted > Duration::from_millis(400), "{lasted:?}");

    // A change before the first check counts, and so does a revocation.
    say(&network, Some("60000"));
    let grant = check().unwrap();
    let mut closed = Box::pin(authorizer.closed(watch(), &peer, grant));
    assert!(closed.as_mut().now_or_never().is_none());
    say(&network, None);
    closed.await;
    authorizer.closed(watch(), &peer, grant).await;

    // A peer that is no longer in the catalog may stay until its ticket expires.
    say(&network, Some("300"));
    let grant = check().unwrap();
    network.discovery().remove(peer);
    let before = std::time::Instant::now();
    authorizer.closed(watch(), &peer, grant).await;
    assert!(before.elapsed() > Duration::from_millis(100));
    let anyone = Authorizer::default();
    let closed = anyone.closed(watch(), &peer, grant);
    assert!(closed.now_or_never().is_none());
}
