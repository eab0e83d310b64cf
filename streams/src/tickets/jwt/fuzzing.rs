//! Invariants that must hold for any bytes received as a token; see [`crate::fuzzing`].

use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;

use super::{EdDsaSigningKey, Hs256, Jwt, SigningKey, token};
use crate::{SecretKey, peer::Expiration};

const NOW: i64 = 1_800_000_000;
const SECRET: [u8; 32] = [7; 32];

/// Checks that a token is accepted only if its claims are signed and have the required values, and then until a later
/// time.
pub fn ticket(input: &[u8]) {
    let peer = SecretKey::from_bytes([1; 32]).public();
    let others = Jwt::with_key(EdDsaSigningKey::from_bytes([9; 32]).verifying_key());
    assert!(others.check(input, &peer, NOW).is_err());

    let message = format!(
        "{}.{}",
        BASE64URL_NOPAD.encode(br#"{"alg":"HS256"}"#),
        BASE64URL_NOPAD.encode(input)
    );
    let signature = SigningKey::from(Hs256::new(SECRET)).sign(message.as_bytes());
    let token = token::finish(message, &signature);
    let strict = Jwt::with_key(Hs256::new(SECRET))
        .require_subject("s")
        .max_lifetime(Duration::from_hours(1));
    let lenient = Jwt::with_key(Hs256::new(SECRET))
        .require_subject("s")
        .allow_non_expiring();
    let checked = strict.check(token.as_ref(), &peer, NOW);
    let said = serde_json::from_slice::<serde_json::Value>(input);
    if let Ok(until) = checked {
        let Expiration::At(until) = until else {
            panic!("it must expire");
        };
        assert!((1..=3600).contains(&(until.timestamp() - NOW)), "{until}");
        assert_eq!(said.expect("it is JSON")["sub"], "s");
        assert!(lenient.check(token.as_ref(), &peer, NOW).is_ok());
    } else if lenient.check(token.as_ref(), &peer, NOW).is_ok() {
        assert_eq!(said.expect("it is JSON")["sub"], "s");
    }
}
