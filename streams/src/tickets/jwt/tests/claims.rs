//! Accepted claims and times, and the form of issued tokens.

use chrono::TimeDelta;
use serde_json::json;

use super::*;

#[test]
fn what_is_issued_is_good_until_it_expires() {
    let validator = Jwt::with_key(SECRET);
    let ticket = ticket(&issuer());
    assert_eq!(ticket.class, Jwt::CLASS);
    assert_eq!(check(&validator, &ticket), Ok(Expiration::At(at(NOW + 60))));
    let at_time = |now| validator.check(&ticket.data, &peer(), now);
    assert_eq!(at_time(NOW + 59), Ok(Expiration::At(at(NOW + 60))));
    assert_eq!(at_time(NOW + 60), Err(InvalidTicket));
    assert_eq!(at_time(i64::MAX), Err(InvalidTicket));
    // With the clock of this machine, through the trait.
    let entry = PeerEntry::new("net", EndpointAddr::from(peer()));
    let soon = JwtTicketBuilder::new(SECRET).build(&peer(), Expiration::after(LEEWAY));
    assert!(validator.validate(&soon.data, &entry).is_ok());
    let past = Expiration::At(Utc::now() - TimeDelta::seconds(1));
    let over = JwtTicketBuilder::new(SECRET).build(&peer(), past);
    assert!(validator.validate(&over.data, &entry).is_err());
}

/// Header and claims equal those of Mosaik's issuer: names, forms, and a subject of 64 hex digits.
#[test]
fn the_form_of_tokens_is_that_of_mosaik() {
    let ticket = issuer()
        .issuer("me")
        .audience("you")
        .not_before(at(NOW))
        .token_id("1")
        .claim("role", "feed")
        .build(&peer(), Expiration::At(at(NOW + 60)));
    let token = Token::parse(&ticket.data).unwrap();
    let header = token.message.split_once('.').unwrap().0;
    assert_eq!(
        BASE64URL_NOPAD.decode(header.as_bytes()).unwrap(),
        HEADER.as_bytes()
    );
    let claims = token.message.split_once('.').unwrap().1;
    let claims: Value =
        serde_json::from_slice(&BASE64URL_NOPAD.decode(claims.as_bytes()).unwrap()).unwrap();
    let subject = data_encoding::HEXLOWER.encode(peer().as_bytes());
    assert_eq!(
        claims,
        json!({
            "iss": "me", "sub": subject, "aud": "you", "exp": NOW + 60, "nbf": NOW, "iat": NOW - 10,
            "jti": "1", "role": "feed",
        })
    );
}

/// Computed with Mosaik's formula: a change would make equal validators differ.
#[test]
fn signatures_tell_settings_apart() {
    let plain = Jwt::with_key(SECRET);
    let by_hand = Jwt::CLASS
        .derive("HS256")
        .derive(id!("hs256").derive([7; 32]))
        .derive([0])
        .derive("")
        .derive("")
        .derive("")
        .derive(0_u64.to_le_bytes())
        .derive(0_u64.to_le_bytes());
    assert_eq!(plain.signature(), by_hand);
    assert_eq!(plain.clone().signature(), plain.signature());
    let minute = Duration::from_mins(1);
    let others = [
        Jwt::with_key(Hs256::new([8; 32])),
        plain.clone().add_key(Hs256::new([8; 32])),
        plain.clone().allow_issuer("a"),
        plain.clone().allow_audience("a"),
        plain.clone().require_subject("a"),
        plain.clone().require_claim("a", 1),
        plain.clone().allow_non_expiring(),
        plain.clone().max_lifetime(minute),
        plain.clone().max_age(minute),
    ];
    let signatures: std::collections::BTreeSet<_> =
        others.iter().chain([&plain]).map(Jwt::signature).collect();
    assert_eq!(signatures.len(), others.len() + 1);
}

#[test]
fn every_algorithm_signs_tickets_that_only_its_key_takes() {
    let (es256, es384) = (Es256SigningKey::random(), Es384SigningKey::random());
    let (es512, eddsa) = (Es512SigningKey::random(), EdDsaSigningKey::random());
    let validators = [
        Jwt::with_key(SECRET),
        Jwt::with_key(Hs384::new([7; 48])),
        Jwt::with_key(Hs512::new([7; 64])),
        Jwt::with_key(es256.verifying_key()),
        Jwt::with_key(es384.verifying_key()),
        Jwt::with_key(es512.verifying_key()),
        Jwt::with_key(eddsa.verifying_key()),
    ];
    let issuers = [
        JwtTicketBuilder::new(SECRET),
        JwtTicketBuilder::new(Hs384::new([7; 48])),
        JwtTicketBuilder::new(Hs512::new([7; 64])),
        JwtTicketBuilder::new(es256),
        JwtTicketBuilder::new(es384),
        JwtTicketBuilder::new(es512),
        JwtTicketBuilder::new(eddsa),
    ];
    let all = validators
        .iter()
        .skip(1)
        .fold(validators[0].clone(), |all, one| {
            one.keys.iter().cloned().fold(all, Jwt::add_key)
        });
    for (number, issuer) in issuers.iter().enumerate() {
        let ticket = ticket(&issuer.clone().issued_at(at(NOW)));
        let takers: Vec<_> = (0..validators.len())
            .filter(|taker| accepts(&validators[*taker], &ticket))
            .collect();
        assert_eq!(takers, [number]);
        assert!(accepts(&all, &ticket));
    }
}

#[test]
fn keys_change_without_a_gap() {
    let (old, new) = (Hs256::new([1; 32]), Hs256::new([2; 32]));
    let validator = Jwt::with_key(new.clone()).add_key(old.clone());
    for key in [old, new] {
        assert!(accepts(
            &validator,
            &ticket(&JwtTicketBuilder::new(key).issued_at(at(NOW)))
        ));
    }
    let stranger = JwtTicketBuilder::new(Hs256::new([3; 32]));
    assert!(!accepts(&validator, &ticket(&stranger.issued_at(at(NOW)))));
}

#[test]
fn a_token_is_good_only_in_the_hands_of_its_subject() {
    let validator = Jwt::with_key(SECRET);
    let ticket_of_peer = ticket(&issuer());
    let other = SecretKey::from_bytes([2; 32]).public();
    assert!(validator.check(&ticket_of_peer.data, &other, NOW).is_err());
    let upper = format!("{:?}", peer()).to_uppercase();
    assert!(!accepts(&validator, &ticket(&issuer().subject(upper))));

    let named = Jwt::with_key(SECRET).require_subject("desk");
    assert!(accepts(&named, &ticket(&issuer().subject("desk"))));
    assert!(!accepts(&named, &ticket(&issuer().subject("feed"))));
    assert!(!accepts(&named, &ticket_of_peer));
    let without = signed(SECRET, HEADER, &format!(r#"{{"exp":{}}}"#, NOW + 60));
    assert!(!accepts(&validator, &without));
    assert!(!accepts(&named, &without));
}

#[test]
fn claims_are_what_is_asked_for() {
    let validator = Jwt::with_key(SECRET)
        .allow_issuer("a")
        .allow_issuer("b")
        .allow_audience("x")
        .allow_audience("y")
        .require_claim("role", "feed")
        .require_claim("level", 3);
    let good = issuer()
        .issuer("b")
        .audience("y")
        .claim("role", "feed")
        .claim("level", 3);
    assert!(accepts(&validator, &ticket(&good)));
    let list = good.clone().claim("aud", json!(["z", "x"]));
    assert!(accepts(&validator, &ticket(&list)));
    for bad in [
        good.clone().issuer("c"),
        good.clone().claim("iss", json!(["a"])),
        good.clone().claim("iss", Value::Null),
        good.clone().audience("z"),
        good.clone().claim("aud", json!(["z"])),
        good.clone().claim("aud", json!([["x"]])),
        good.clone().claim("aud", json!({"x": "x"})),
        good.clone().claim("role", "feeds"),
        good.clone().claim("level", "3"),
        good.clone().claim("level", 4),
        issuer()
            .audience("x")
            .claim("role", "feed")
            .claim("level", 3),
        issuer().issuer("a").claim("role", "feed").claim("level", 3),
        issuer().issuer("a").audience("x").claim("role", "feed"),
    ] {
        assert!(!accepts(&validator, &ticket(&bad)), "{bad:?}");
    }
}

#[test]
fn times_are_checked_with_their_leeway() {
    let leeway = whole_seconds(LEEWAY);
    let validator = Jwt::with_key(SECRET);
    let build = |issuer: JwtTicketBuilder| accepts(&validator, &ticket(&issuer));
    assert!(build(issuer().not_before(at(NOW + leeway))));
    assert!(!build(issuer().not_before(at(NOW + leeway + 1))));
    assert!(build(issuer().issued_at(at(NOW + leeway))));
    assert!(!build(issuer().issued_at(at(NOW + leeway + 1))));
    assert!(build(issuer().issued_at(at(-5))));

    let never = issuer().build(&peer(), Expiration::Never);
    assert!(!accepts(&validator, &never));
    let forever = validator.clone().allow_non_expiring();
    assert_eq!(check(&forever, &never), Ok(Expiration::Never));
    assert_eq!(
        check(&forever, &ticket(&issuer())),
        Ok(Expiration::At(at(NOW + 60)))
    );
    let over = issuer().build(&peer(), Expiration::At(at(NOW)));
    assert!(!accepts(&forever, &over));

    let short = |seconds| validator.clone().max_lifetime(Duration::from_secs(seconds));
    assert!(accepts(&short(60), &ticket(&issuer())));
    assert!(!accepts(&short(59), &ticket(&issuer())));

    let young = |seconds| validator.clone().max_age(Duration::from_secs(seconds));
    assert_eq!(
        check(&young(30), &ticket(&issuer())),
        Ok(Expiration::At(at(NOW + 20)))
    );
    assert_eq!(
        check(&young(100), &ticket(&issuer())),
        Ok(Expiration::At(at(NOW + 60)))
    );
    assert!(!accepts(&young(10), &ticket(&issuer())));
    assert!(!accepts(&young(30), &signed(SECRET, HEADER, &claims())));
    assert_eq!(
        check(&young(u64::MAX), &ticket(&issuer())),
        Ok(Expiration::At(at(NOW + 60)))
    );
}

#[test]
fn times_that_are_no_dates_are_refused() {
    let validator = Jwt::with_key(SECRET).allow_non_expiring();
    let with = |name: &str, value: &str| {
        let claims = format!(r#"{{"sub":"{:?}","{name}":{value}}}"#, peer());
        check(&validator, &signed(SECRET, HEADER, &claims))
    };
    for value in [
        "null",
        "true",
        "\"1800000060\"",
        "[1800000060]",
        "{}",
        "18446744073709551615",
        "9223372036854775807",
        "1e300",
        "-1e300",
        "-1",
    ] {
        assert_eq!(with("exp", value), Err(InvalidTicket), "{value}");
    }
    for name in ["nbf", "iat"] {
        for value in ["null", "\"0\"", "1e300", "18446744073709551615"] {
            assert_eq!(with(name, value), Err(InvalidTicket), "{name} {value}");
        }
    }
    // Fractions of a second never extend validity.
    assert_eq!(
        with("exp", "1800000060.9"),
        Ok(Expiration::At(at(NOW + 60)))
    );
    assert_eq!(with("exp", "1800000000.9"), Err(InvalidTicket));
    assert_eq!(with("nbf", "1800000050.0"), Ok(Expiration::Never));
    assert_eq!(with("nbf", "1800000050.1"), Err(InvalidTicket));
}
