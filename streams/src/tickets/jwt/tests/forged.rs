//! Forged tokens, and input that is not a token.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

#[test]
fn the_key_says_which_algorithm_it_is_of() {
    let validator = Jwt::with_key(SECRET);
    assert!(accepts(
        &validator,
        &signed(SECRET, r#"{"alg":"HS256"}"#, &claims())
    ));
    for header in [
        r#"{"alg":"none"}"#,
        r#"{"alg":"None"}"#,
        r#"{"alg":""}"#,
        r#"{"alg":"hs256"}"#,
        r#"{"alg":"HS256 "}"#,
        r#"{"alg":"HS384"}"#,
        r#"{"alg":["HS256"]}"#,
        r#"{"alg":null}"#,
        r#"{"typ":"JWT"}"#,
        r#"{"alg":"none","alg":"HS256"}"#,
        r#"{"alg":"HS256","alg":"HS256"}"#,
        r#"{"alg":"HS256","crit":["exp"],"exp":1}"#,
        r#"{"alg":"HS256","crit":[]}"#,
        r#"{"alg":"HS256","b64":false,"crit":["b64"]}"#,
        r#""HS256""#,
        "[]",
        "",
    ] {
        assert!(
            !accepts(&validator, &signed(SECRET, header, &claims())),
            "{header}"
        );
    }
    // Without a signature, and with an empty one.
    let unsigned = |header: &str| {
        let message = format!(
            "{}.{}",
            BASE64URL_NOPAD.encode(header.as_bytes()),
            BASE64URL_NOPAD.encode(claims().as_bytes())
        );
        Ticket::new(Jwt::CLASS, message + ".")
    };
    assert!(!accepts(&validator, &unsigned(r#"{"alg":"none"}"#)));
    assert!(!accepts(&validator, &unsigned(HEADER)));
}

/// A known attack: the public key used as an HMAC secret.
#[test]
fn a_public_key_is_no_secret() {
    let key = EdDsaSigningKey::random();
    let public: Hs256 = key.verifying_key().to_string().parse().unwrap();
    let ecdsa = Es256SigningKey::random();
    let validator = Jwt::with_key(key.verifying_key()).add_key(ecdsa.verifying_key());
    for header in [HEADER, r#"{"alg":"EdDSA"}"#, r#"{"alg":"ES256"}"#] {
        assert!(!accepts(
            &validator,
            &signed(public.clone(), header, &claims())
        ));
    }
    assert!(accepts(
        &validator,
        &signed(key, r#"{"alg":"EdDSA"}"#, &claims())
    ));
    // A valid signature with another key's algorithm name is invalid.
    assert!(!accepts(
        &validator,
        &signed(ecdsa.clone(), r#"{"alg":"EdDSA"}"#, &claims())
    ));
    assert!(accepts(
        &validator,
        &signed(ecdsa, r#"{"alg":"ES256"}"#, &claims())
    ));
}

#[test]
fn members_named_twice_are_refused() {
    let validator = Jwt::with_key(SECRET);
    let twice = format!(
        r#"{{"sub":"{0:?}","sub":"{0:?}","exp":{1}}}"#,
        peer(),
        NOW + 60
    );
    assert!(!accepts(&validator, &signed(SECRET, HEADER, &twice)));
    let escaped = format!(
        r#"{{"sub":"{:?}","exp":{},"e\u0078p":{}}}"#,
        peer(),
        NOW + 60,
        NOW + 99
    );
    assert!(!accepts(&validator, &signed(SECRET, HEADER, &escaped)));
}

#[test]
fn there_is_one_way_to_write_a_token() {
    let validator = Jwt::with_key(SECRET);
    let good = ticket(&issuer());
    let text = std::str::from_utf8(&good.data).unwrap();
    let (message, signature) = text.rsplit_once('.').unwrap();
    for other in [
        format!("{text}="),
        format!("{text}."),
        format!(".{text}"),
        format!("{text}\n"),
        format!(" {text}"),
        format!("{message}..{signature}"),
        format!("{message}.{}", &signature[1..]),
        format!("{message}.{signature}AA"),
        message.to_owned(),
        String::new(),
        "..".to_owned(),
        ".".to_owned(),
        text.replace('.', ","),
    ] {
        assert!(
            !accepts(&validator, &Ticket::new(Jwt::CLASS, other.clone())),
            "{other}"
        );
    }
    assert!(accepts(&validator, &good));
}

#[test]
fn a_token_has_a_largest_size() {
    let validator = Jwt::with_key(SECRET);
    let filled = |len: usize| ticket(&issuer().claim("x", "x".repeat(len)));
    let mut len = MAX_TOKEN_LEN / 2;
    while filled(len + 1).data.len() <= MAX_TOKEN_LEN {
        len += 1;
    }
    assert!(filled(len).data.len() > MAX_TOKEN_LEN - 4);
    assert!(accepts(&validator, &filled(len)));
    assert!(!accepts(&validator, &filled(len + 1)));
    let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(2000), "]".repeat(2000));
    assert!(!accepts(&validator, &signed(SECRET, HEADER, &deep)));
}

static GOOD: LazyLock<[(Jwt, Ticket); 3]> = LazyLock::new(|| {
    let (es256, eddsa) = (
        Es256SigningKey::from_bytes([5; 32]),
        EdDsaSigningKey::from_bytes([5; 32]),
    );
    let ticket_by = |key: SigningKey| ticket(&JwtTicketBuilder::new(key).issued_at(at(NOW)));
    [
        (Jwt::with_key(SECRET), ticket_by(SECRET.into())),
        (
            Jwt::with_key(es256.verifying_key()),
            ticket_by(es256.into()),
        ),
        (
            Jwt::with_key(eddsa.verifying_key()),
            ticket_by(eddsa.into()),
        ),
    ]
});

/// Every byte of a token replaced by every other one: 50,000 tokens, none of which is valid.
#[test]
fn no_byte_of_a_token_can_be_another() {
    let (validator, good) = &GOOD[0];
    assert!(accepts(validator, good));
    for index in 0..good.data.len() {
        let mut data = good.data.to_vec();
        for flip in 1..=255 {
            data[index] = good.data[index] ^ flip;
            assert!(
                validator.check(&data, &peer(), NOW).is_err(),
                "byte {index} as {}",
                data[index]
            );
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(data in prop::collection::vec(any::<u8>(), 0..400)) {
        for (validator, _) in GOOD.iter() {
            prop_assert!(validator.check(&data, &peer(), NOW).is_err());
        }
    }

    #[test]
    fn no_header_and_claims_make_it_panic(header in "[{\\[\"a-z:,0-9\\]}]{0,40}", claims in "\\PC{0,80}", signature in prop::collection::vec(any::<u8>(), 0..140)) {
        let message = format!(
            "{}.{}",
            BASE64URL_NOPAD.encode(header.as_bytes()),
            BASE64URL_NOPAD.encode(claims.as_bytes())
        );
        let data = token::finish(message, &signature);
        prop_assert!(GOOD[0].0.check(data.as_bytes(), &peer(), NOW).is_err());
    }

    #[test]
    fn a_flipped_byte_makes_it_bad(which in 0..3_usize, index: prop::sample::Index, flip in 1..=255_u8) {
        let (validator, good) = &GOOD[which];
        let mut data = good.data.to_vec();
        prop_assert!(validator.check(&data, &peer(), NOW).is_ok());
        let index = index.index(data.len());
        data[index] ^= flip;
        prop_assert!(validator.check(&data, &peer(), NOW).is_err());
    }

    #[test]
    fn what_is_issued_is_taken(role in "\\PC{0,40}", level: i64, lifetime in 1..1_000_000_i64) {
        let issuer = issuer().claim("role", role.clone()).claim("level", level);
        let ticket = issuer.build(&peer(), Expiration::At(at(NOW + lifetime)));
        let validator = Jwt::with_key(SECRET).require_claim("role", role).require_claim("level", level);
        prop_assert_eq!(check(&validator, &ticket), Ok(Expiration::At(at(NOW + lifetime))));
    }
}
