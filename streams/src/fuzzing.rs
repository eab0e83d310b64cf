//! Invariants that must hold for any external input: each function panics if one does not. Used by fuzz targets and
//! property tests. Not part of the public API: only available in tests and with the feature `fuzzing`.

use bytes::{Bytes, BytesMut};

use crate::{
    Criteria, Encoding, Frames, Schema,
    channel::{
        protocol::{Hello, Start},
        side::{self, Entry},
    },
    discovery::fuzzing as discovery,
    frames::{HEADER_LEN, scan},
    net::fuzzing::reassemble,
    schema::{TranscodeError, Transcoder},
};

pub use crate::tickets::fuzzing::ticket;
pub use discovery::{entry, snapshot};

/// Checks that frames are reassembled correctly from pieces of any size, and that no more is buffered than was
/// received.
///
/// The first byte determines the length limit, the second the piece length.
pub fn frames(input: &[u8]) {
    let [max_frame_len, cut, wire @ ..] = input else {
        return;
    };
    let max_frame_len = usize::from(*max_frame_len) * 8;
    let cut = usize::from(*cut).max(1);
    let (seen, error) = reassemble(wire, cut, max_frame_len);
    let (mut expected, mut rest, mut too_large) = (Vec::new(), wire, None);
    while let Some((header, after)) = rest.split_first_chunk::<HEADER_LEN>() {
        let len = u32::from_be_bytes(*header) as usize;
        if len > max_frame_len {
            too_large = Some(len);
            break;
        }
        let Some((datum, after)) = after.split_at_checked(len) else {
            break;
        };
        expected.push(datum.to_vec());
        rest = after;
    }
    assert_eq!(seen, expected);
    assert_eq!(error, too_large);
    let complete = &wire[..wire.len() - rest.len()];
    let whole = Frames::from_wire(Bytes::copy_from_slice(complete), max_frame_len);
    let whole = whole.expect("these are whole frames");
    assert_eq!(whole.count(), expected.len());
    assert!(whole.iter().eq(expected.iter().map(Vec::as_slice)));
    assert_eq!(scan(wire, max_frame_len).is_err(), too_large.is_some());
}

/// Checks that any 64 bytes or more decode as a handshake, fewer do not, and that decoding and encoding are inverse.
pub fn handshake(frame: &[u8]) {
    let hello = Hello::decode(frame);
    assert_eq!(hello.is_ok(), frame.len() >= 64);
    if let Ok(hello) = hello {
        let written = hello.encode();
        let again = Hello::decode(&written).expect("what was written is read");
        assert_eq!(again.encode(), written);
        assert_eq!((again.network, again.stream), (hello.network, hello.stream));
        assert_eq!((again.id, again.offer), (hello.id, hello.offer));
        assert_eq!(again.consumers, hello.consumers);
    }
    let start = Start::decode(frame);
    assert_eq!(start.is_ok(), frame.len() >= 64);
    if let Ok(start) = start {
        assert_eq!(Start::decode(&start.encode()), Ok(start));
    }
}

/// Checks that encoding an entry of the side channel, or last words, gives the bytes that were decoded.
pub fn side(payload: &[u8]) {
    let entry = Entry::decode(payload);
    if entry != Entry::Unknown {
        assert_eq!(entry.encode(), payload);
    }
    if let Some(words) = side::LastWords::decode(payload) {
        let written = words.encode();
        assert_eq!(side::LastWords::decode(written.as_bytes()), Some(words));
    }
}

/// Checks that criteria survive encoding in both forms, and evaluate any record without a panic, with the same result
/// alone as in a batch.
///
/// The first byte is the length of the criteria, which a record follows.
pub fn criteria(input: &[u8]) {
    let [len, rest @ ..] = input else { return };
    let (written, datum) = rest.split_at(rest.len().min(usize::from(*len)));
    if let Ok(criteria) = Criteria::from_wire(written) {
        let wire = criteria.to_wire().expect("what was within the bounds is");
        let again = Criteria::from_wire(&wire).expect("what was written is read");
        // Compared as bytes, because NaN is not equal to itself.
        assert_eq!(again.to_wire().as_ref(), Ok(&wire));
        check_matching(&criteria, datum);
    }
    if let Ok(criteria) = serde_json::from_slice::<Criteria>(written) {
        let text = serde_json::to_string(&criteria).expect("what was read can be written");
        let again: Criteria = serde_json::from_str(&text).expect("what was written is read");
        assert_eq!(again, criteria, "{text}");
        check_matching(&criteria, datum);
    }
}

/// Checks transcoding with a schema that contains every kind of type. A postcard record becomes JSON or is refused; the
/// JSON becomes the same value again unless it contains NaN or an infinity. A JSON record becomes readable postcard or
/// is refused.
pub fn transcode(datum: &[u8]) {
    let list = |item| Schema::Sequence(Box::new(item));
    let named = |fields: Vec<(&str, Schema)>| {
        let fields = fields.into_iter();
        Schema::Struct(
            fields
                .map(|(name, field)| (name.to_owned(), field))
                .collect(),
        )
    };
    let side = Schema::Enum(vec![
        ("A".to_owned(), None),
        (
            "B".to_owned(),
            Some(Schema::Tuple(vec![Schema::Bool, Schema::Char])),
        ),
        (
            "C".to_owned(),
            Some(named(vec![
                ("a", Schema::Unsigned(128)),
                ("b", Schema::F32),
            ])),
        ),
    ]);
    let map = Schema::Map(Box::new(Schema::Signed(16)), Box::new(side));
    let schema = named(vec![
        ("a", Schema::Option(Box::new(map))),
        ("b", list(named(Vec::new()))),
        ("c", Schema::Array(Box::new(Schema::F64), 2)),
        ("d", Schema::Option(Box::new(list(Schema::String)))),
        ("e", Schema::Bytes),
    ]);
    let transcoder = Transcoder::new(&schema).expect("it is a type's");
    let transcoder = transcoder.with_max_datum_bytes(datum.len() * 64 + 1024);
    let (mut json, mut postcard, mut again) = (BytesMut::new(), BytesMut::new(), BytesMut::new());
    if transcoder.to_json(datum, &mut json).is_ok() {
        let number = !json.windows(4).any(|text| text == b"null");
        let back = transcoder.to_postcard(&json, &mut postcard);
        assert!(back.is_ok() || !number, "{back:?}");
        if back.is_ok() {
            transcoder
                .to_json(&postcard, &mut again)
                .expect("it was read before");
            assert_eq!(again, json);
        }
    }
    postcard.clear();
    if transcoder.to_postcard(datum, &mut postcard).is_ok() {
        again.clear();
        match transcoder.to_json(&postcard, &mut again) {
            Ok(()) | Err(TranscodeError::TooLarge { .. }) => {}
            Err(error) => panic!("what was made cannot be read: {error}"),
        }
    }
}

fn check_matching(criteria: &Criteria, datum: &[u8]) {
    let list = Schema::Sequence(Box::new(Schema::Option(Box::new(Schema::Signed(128)))));
    let schema = Schema::Struct(vec![
        ("a".to_owned(), Schema::Unsigned(64)),
        (
            "b".to_owned(),
            Schema::Struct(vec![("c".to_owned(), Schema::String)]),
        ),
        ("d".to_owned(), Schema::Option(Box::new(Schema::F64))),
        ("e".to_owned(), list),
    ]);
    for encoding in [Encoding::Json, Encoding::Postcard(schema)] {
        let Ok(selector) = criteria.selector(&encoding) else {
            continue;
        };
        let matched = selector.matches(datum);
        let (wanted, malformed) = selector.select(&Frames::single(datum));
        assert_eq!(wanted.count(), usize::from(matched == Ok(true)));
        assert_eq!(malformed, usize::from(matched.is_err()));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    fn bytes(max: usize) -> impl Strategy<Value = Vec<u8>> {
        // Small numbers are plausible lengths and counts.
        prop::collection::vec(prop_oneof![0u8..9, any::<u8>()], 0..max)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn any_bytes_are_cut_into_frames(input in bytes(200)) {
            super::frames(&input);
        }

        #[test]
        fn any_frame_is_a_handshake_or_none(mut frame in bytes(160), ours: bool) {
            if ours && frame.len() > 64 {
                frame.splice(64..64, b"MSX1\0\0\0\x20\0\x01\0\0\0\x10".iter().copied());
            } else if ours {
                frame.resize(64, 0);
                frame.extend(b"MSX1\0\0\0\x3e\0\x08\0\0\0\x38");
                frame.resize(64 + 14 + 56, 7);
            }
            super::handshake(&frame);
        }

        #[test]
        fn any_bytes_are_an_entry_of_the_side_channel_or_none(mut payload in bytes(20), known in 0..3) {
            match known {
                0 => {}
                1 => _ = payload.splice(..0, [0, 1]),
                _ => _ = payload.splice(..0, b" at ".iter().copied()),
            }
            super::side(&payload);
        }

        #[test]
        fn any_frame_is_a_snapshot_or_none(frame in bytes(200)) {
            super::snapshot(&frame);
        }

        #[test]
        fn any_bytes_are_an_entry_or_none(entry in bytes(300)) {
            super::entry(&entry);
        }

        #[test]
        fn any_bytes_are_criteria_or_none(input in bytes(120)) {
            super::criteria(&input);
        }

        #[test]
        fn any_bytes_are_postcard_of_a_schema_or_none(input in bytes(80)) {
            super::transcode(&input);
        }

        #[test]
        fn text_is_json_of_a_schema_or_none(
            a in prop_oneof![Just(String::new()), "\"a\":(null|\\{\"-?[0-9]{1,5}\":(\"A\"|\\{\"B\":\\[true,\"b\"\\]\\})\\},)"],
            c in "[0-9]{1,3}(\\.[0-9])?(e[0-9])?,-?[0-9]", more in "[\\[\\]{},:\"\\\\ 0-9a-e.\\-]{0,6}",
        ) {
            let text = format!("{{{a}\"e\":[7],\"b\":[{{}}],\"c\":[{c}]{more}}}");
            super::transcode(text.as_bytes());
        }

        #[test]
        fn any_bytes_are_a_good_token_or_none(input in bytes(120)) {
            super::ticket(&input);
        }

        #[test]
        fn claims_are_good_or_not(sub in "s?", exp in prop_oneof![any::<i64>(), 1_800_000_000i64..1_800_007_200], more in "[\\[\\]{},:\" 0-9e.\\-]{0,9}") {
            super::ticket(format!("{{\"sub\":\"{sub}\",\"exp\":{exp}{more}}}").as_bytes());
        }

        #[test]
        fn text_is_criteria_or_none(text in "[\\[\\]{},:\"\\\\ 0-9a-e.\\-]{0,40}", datum in "[\\[\\]{},:\"\\\\ 0-9a-e.\\-]{0,30}") {
            let len = u8::try_from(text.len()).expect("short");
            super::criteria(&[&[len][..], text.as_bytes(), datum.as_bytes()].concat());
        }
    }
}
