//! Tickets of every algorithm, made by either implementation and judged by the other. Nothing here touches a network.

use std::time::{Duration, SystemTime};

use mosaik::tickets as theirs;
use mosaik_streams::{
    EndpointAddr, SecretKey,
    discovery::PeerEntry,
    tickets::{self as ours, TicketValidator as _},
};
use theirs::TicketValidator as _;

const ISSUER: &str = "desk";

/// Asserts that each judges the other's as it should, of one algorithm.
fn assert_understood(
    (ours_signs, ours_checks): (ours::SigningKey, ours::VerifyingKey),
    (theirs_signs, theirs_checks): (theirs::SigningKey, theirs::VerifyingKey),
) {
    let peer = SecretKey::from_bytes([9; 32]).public();
    let entry = PeerEntry::new("tokens", EndpointAddr::from(peer));
    let stranger = PeerEntry::new("tokens", EndpointAddr::from(SecretKey::generate().public()));
    let in_their_words = |entry: &PeerEntry| -> mosaik::discovery::PeerEntry {
        let bytes = postcard::to_stdvec(entry).expect("it can be encoded");
        postcard::from_bytes(&bytes).expect("Mosaik reads it")
    };
    let their_peer = *in_their_words(&entry).id();
    let hour = Duration::from_hours(1);
    let now = SystemTime::now();

    let issue = ours::JwtTicketBuilder::new(ours_signs).issuer(ISSUER);
    let judge = theirs::Jwt::with_key(theirs_checks).allow_issuer(ISSUER);
    let good = issue.build(&peer, ours::Expiration::At((now + hour).into()));
    assert_eq!(*good.class.as_bytes(), *judge.class().as_bytes());
    assert!(judge.validate(good.data(), &in_their_words(&entry)).is_ok());
    assert!(
        judge
            .validate(good.data(), &in_their_words(&stranger))
            .is_err()
    );
    let expired = issue.build(&peer, ours::Expiration::At((now - hour).into()));
    assert!(
        judge
            .validate(expired.data(), &in_their_words(&entry))
            .is_err()
    );

    let issue = theirs::JwtTicketBuilder::new(theirs_signs).issuer(ISSUER);
    let judge = ours::Jwt::with_key(ours_checks).allow_issuer(ISSUER);
    let good = issue.build(&their_peer, theirs::Expiration::At((now + hour).into()));
    assert!(judge.validate(good.data(), &entry).is_ok());
    assert!(judge.validate(good.data(), &stranger).is_err());
    let expired = issue.build(&their_peer, theirs::Expiration::At((now - hour).into()));
    assert!(judge.validate(expired.data(), &entry).is_err());
    let mut forged = good.data().to_vec();
    let last = forged.len() - 8;
    forged[last] = if forged[last] == b'A' { b'B' } else { b'A' };
    assert!(judge.validate(&forged, &entry).is_err());
}

macro_rules! symmetric {
    ($($test:ident: $key:ident, $len:literal;)*) => {$(
        #[test]
        fn $test() {
            let (ours, theirs) = (ours::$key::new, theirs::$key::new);
            let secret = [7; $len];
            assert_understood(
                (ours(secret).into(), ours(secret).into()),
                (theirs(secret).into(), theirs(secret).into()),
            );
        }
    )*};
}

macro_rules! asymmetric {
    ($($test:ident: $key:ident, $len:literal;)*) => {$(
        #[test]
        fn $test() {
            let mut secret = [7; $len];
            // Below the order of every curve.
            secret[0] = 0;
            let (ours, theirs) = (ours::$key::from_bytes(secret), theirs::$key::from_bytes(secret));
            let checks = (ours.verifying_key(), theirs.verifying_key());
            assert_understood((ours.into(), checks.0.into()), (theirs.into(), checks.1.into()));
        }
    )*};
}

symmetric! {
    hs256: Hs256, 32;
    hs384: Hs384, 48;
    hs512: Hs512, 64;
}

asymmetric! {
    es256: Es256SigningKey, 32;
    es384: Es384SigningKey, 48;
    es512: Es512SigningKey, 66;
    eddsa: EdDsaSigningKey, 32;
}
