//! Tests every algorithm with the examples of its specification.

use ::hmac::Mac;
use data_encoding::{BASE64URL_NOPAD, HEXLOWER_PERMISSIVE};

use super::*;

fn base64(text: &str) -> Vec<u8> {
    BASE64URL_NOPAD.decode(text.as_bytes()).unwrap()
}

fn padded<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut padded = [0; N];
    padded[..bytes.len()].copy_from_slice(bytes);
    padded
}

/// Checks that a signature is valid, and invalid after changing any bit of it or of the message.
#[track_caller]
fn assert_signs(key: &VerifyingKey, message: &[u8], signature: &[u8]) {
    assert!(key.verify(message, signature));
    for index in 0..signature.len() {
        let mut other = signature.to_vec();
        other[index] ^= 1 << (index % 8);
        assert!(!key.verify(message, &other), "byte {index}");
    }
    assert!(!key.verify(&message[1..], signature));
    assert!(!key.verify(message, &signature[1..]));
    assert!(!key.verify(message, &[signature, &[0]].concat()));
    assert!(!key.verify(message, &vec![0; signature.len()]));
    assert!(!key.verify(message, &[]));
}

/// RFC 7515 appendix A, as `header.claims` and the signature.
const JOE: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

#[test]
fn hs256_is_that_of_rfc_7515() {
    let secret = base64(
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
    );
    let key = VerifyingKey {
        verifier: Verifier::Hs256(hmac::Sha256Mac::new_from_slice(&secret).unwrap()),
        fingerprint: Digest::zero(),
    };
    let message = format!("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{JOE}");
    assert_signs(
        &key,
        message.as_bytes(),
        &base64("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
    );
}

/// RFC 4231 test case 2. A key shorter than a block is padded with zeros.
#[test]
fn hmac_is_that_of_rfc_4231() {
    let (secret, message) = (b"Jefe", b"what do ya want for nothing?");
    for (signing, verifying, mac) in [
        (
            SigningKey::from(Hs256::new(padded(secret))),
            VerifyingKey::from(Hs256::new(padded(secret))),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        (
            Hs384::new(padded(secret)).into(),
            Hs384::new(padded(secret)).into(),
            "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649",
        ),
        (
            Hs512::new(padded(secret)).into(),
            Hs512::new(padded(secret)).into(),
            "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
        ),
    ] {
        let mac = HEXLOWER_PERMISSIVE.decode(mac.as_bytes()).unwrap();
        assert_eq!(signing.sign(message), mac);
        assert_signs(&verifying, message, &mac);
    }
}

#[test]
fn es256_is_that_of_rfc_7515() {
    let point = [
        vec![4],
        base64("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"),
        base64("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"),
    ];
    let key = Es256::from_sec1(&point.concat()).unwrap();
    let secret = base64("jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI");
    let signing = Es256SigningKey::from_bytes(secret.try_into().unwrap());
    assert_eq!(signing.verifying_key(), key);
    let message = format!("eyJhbGciOiJFUzI1NiJ9.{JOE}");
    let theirs = base64(
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
    );
    assert_signs(&key.into(), message.as_bytes(), &theirs);
    let ours = SigningKey::from(signing).sign(message.as_bytes());
    assert_signs(&key.into(), message.as_bytes(), &ours);
}

/// RFC 6979 appendix A.2.6: the signature is deterministic.
#[test]
fn es384_is_that_of_rfc_6979() {
    let secret = hex::<48>(
        "6B9D3DAD2E1B8C1C05B19875B6659F4DE23C3B667BF297BA9AA47740787137D896D5724E4C70A825F872C9EA60D2EDF5",
    );
    let signing = Es384SigningKey::from_bytes(secret);
    let key = VerifyingKey::from(signing.verifying_key());
    let signature = hex::<96>(concat!(
        "94EDBB92A5ECB8AAD4736E56C691916B3F88140666CE9FA73D64C4EA95AD133C81A648152E44ACF96E36DD1E80FABE46",
        "99EF4AEB15F178CEA1FE40DB2603138F130E740A19624526203B6351D0A3A94FA329C145786E679E7B82C71A38628AC8"
    ));
    assert_eq!(SigningKey::from(signing).sign(b"sample"), signature);
    assert_signs(&key, b"sample", &signature);
}

#[test]
fn es512_is_that_of_rfc_7515() {
    let point = [
        vec![4],
        base64(
            "AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk",
        ),
        base64(
            "ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2",
        ),
    ];
    let key = Es512::from_sec1(&point.concat()).unwrap();
    let secret = base64(
        "AY5pb7A0UFiB3RELSD64fTLOSV_jazdF7fLYyuTw8lOfRhWg6Y6rUrPAxerEzgdRhajnu0ferB0d53vM9mE15j2C",
    );
    let signing = Es512SigningKey::from_bytes(secret.try_into().unwrap());
    assert_eq!(signing.verifying_key(), key);
    let message = b"eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA";
    let theirs = base64(concat!(
        "AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCA",
        "PZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn"
    ));
    assert_signs(&key.into(), message, &theirs);
    let ours = SigningKey::from(signing).sign(message);
    assert_signs(&key.into(), message, &ours);
}

#[test]
fn eddsa_is_that_of_rfc_8037() {
    let secret = base64("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A");
    let signing = EdDsaSigningKey::from_bytes(secret.try_into().unwrap());
    let public = base64("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
    let key = EdDsa::new(public.try_into().unwrap());
    assert_eq!(signing.verifying_key(), key);
    let message = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    let signature = base64(
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
    );
    assert_eq!(SigningKey::from(signing).sign(message), signature);
    assert_signs(&key.into(), message, &signature);
}

#[test]
fn new_keys_go_with_their_public_keys() {
    let pairs: [(SigningKey, VerifyingKey); 4] = {
        let (es256, es384) = (Es256SigningKey::random(), Es384SigningKey::random());
        let (es512, eddsa) = (Es512SigningKey::random(), EdDsaSigningKey::random());
        [
            (es256.clone().into(), es256.verifying_key().into()),
            (es384.clone().into(), es384.verifying_key().into()),
            (es512.clone().into(), es512.verifying_key().into()),
            (eddsa.clone().into(), eddsa.verifying_key().into()),
        ]
    };
    for (signing, verifying) in pairs {
        assert_eq!(signing.algorithm(), verifying.algorithm());
        assert_signs(&verifying, b"a message", &signing.sign(b"a message"));
    }
}

#[test]
fn keys_are_read_from_hex_digits_of_their_length() {
    const POINT: &str = "0298a82ebe69ad57e0f7d5c2809a05188ff58572c5a5009015f26643f91e0d3236";
    const KEY: Hs256 =
        Hs256::hex("87e50edd90e2f9d53a7f2a9bd51c1069a454b827f0e1002577c54e1c2a598568");
    assert_eq!(
        "87E50EDD90e2f9d53a7f2a9bd51c1069a454b827f0e1002577c54e1c2a598568".parse(),
        Ok(KEY)
    );
    let error = "87e5".parse::<Hs256>().unwrap_err().to_string();
    assert_eq!(error, "not a key for HS256: expected 64 hex digits");
    assert!("é".repeat(32).parse::<Hs256>().is_err());
    assert!("ab".repeat(47).parse::<Hs384>().is_err());
    assert!("ab".repeat(64).parse::<Hs512>().is_ok());
    assert!("zz".repeat(64).parse::<Hs512>().is_err());

    assert_eq!(POINT.parse(), Ok(Es256::hex(POINT)));
    assert_eq!(Es256::hex(POINT).to_string(), POINT);
    let key = EdDsaSigningKey::random().verifying_key();
    assert_eq!(key.to_string().parse(), Ok(key));
    let point = p256::ecdsa::VerifyingKey::from_sec1_bytes(&hex::<33>(POINT)).unwrap();
    let long = data_encoding::HEXLOWER.encode(point.to_encoded_point(false).as_bytes());
    assert_eq!((long.len(), long.parse()), (130, Ok(Es256::hex(POINT))));
    assert!("02".repeat(33).parse::<Es384>().is_err());
    assert!("ff".repeat(33).parse::<Es256>().is_err());
    assert!("".parse::<Es512>().is_err());
    let (off_the_curve, weak) = ("02".to_owned() + &"00".repeat(31), "00".repeat(32));
    assert!(off_the_curve.parse::<EdDsa>().is_err());
    assert!(weak.parse::<EdDsa>().is_err());
}

#[test]
fn secrets_are_not_shown() {
    let secret = Hs256::new([0xab; 32]);
    assert_eq!(format!("{secret:?}"), "Hs256(***)");
    assert_eq!(
        format!("{:?}", VerifyingKey::from(secret.clone())),
        "VerifyingKey(HS256)"
    );
    assert_eq!(
        format!("{:?}", SigningKey::from(secret)),
        "SigningKey(HS256)"
    );
    assert_eq!(
        format!("{:?}", Es256SigningKey::random()),
        "Es256SigningKey(***)"
    );
    assert_eq!(
        format!("{:?}", EdDsaSigningKey::random()),
        "EdDsaSigningKey(***)"
    );
}
