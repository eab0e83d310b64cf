//! Numbers are compared by their exact values.

use super::*;

#[test]
fn whole_numbers_are_compared_exactly() {
    let wanted = Criteria::field("n").eq(9_007_199_254_740_993_i64);
    assert_eq!(json_matches(&wanted, r#"{"n":9007199254740993}"#), Ok(true));
    assert_eq!(
        json_matches(&wanted, r#"{"n":9007199254740992}"#),
        Ok(false)
    );
    assert_eq!(
        json_matches(&Criteria::field("n").gt(f64::MAX), r#"{"n":1e400}"#),
        Ok(true)
    );
}

#[test]
fn numbers_of_any_length_are_compared_exactly() {
    let read = |text: &str| serde_json::from_str::<Criteria>(text).unwrap();
    for (criteria, equal, others) in [
        (
            r#"{"n":100000000000000000001}"#,
            &["100000000000000000001", "1.00000000000000000001e20"][..],
            &["100000000000000000000", "100000000000000000002", "1e20"][..],
        ),
        (
            r#"{"n":{"gte":18446744073709551616}}"#,
            &["18446744073709551616", "18446744073709551617"],
            &["18446744073709551615"],
        ),
        (
            r#"{"n":[0.30000000000000000001]}"#,
            &["0.30000000000000000001"],
            &["0.3", "0.30000000000000000002"],
        ),
        (r#"{"n":1.10}"#, &["1.1", "1.10", "11e-1"], &["1.11"]),
        (
            r#"{"n":100}"#,
            &["1e2", "100.0"],
            &["100.00000000000000000001"],
        ),
    ] {
        let criteria = read(criteria);
        assert_eq!(read(&serde_json::to_string(&criteria).unwrap()), criteria);
        assert_eq!(
            Criteria::from_wire(&criteria.to_wire().unwrap()),
            Ok(criteria.clone())
        );
        let value: Value = serde_json::from_str(r#"{"a":{"gt":1}}"#).unwrap();
        assert!(serde_json::from_value::<Criteria>(value).is_ok());
        for (numbers, matches) in [(equal, true), (others, false)] {
            for number in numbers {
                let datum = format!("{{\"n\":{number}}}");
                assert_eq!(json_matches(&criteria, &datum), Ok(matches), "{datum}");
            }
        }
    }
    assert_eq!(
        Criteria::field("n").eq(u64::MAX),
        read(r#"{"n":18446744073709551615}"#)
    );
}

#[test]
fn a_number_on_the_wire_is_one() {
    // One alternative with one condition on `a`: one value, which is a number as text.
    let of = |spelled: &str| {
        let mut bytes = vec![1, 1, 1, 1, b'a', 0, 0, 1, 5, spelled.len() as u8];
        bytes.extend_from_slice(spelled.as_bytes());
        Criteria::from_wire(&bytes)
    };
    assert!(of("100000000000000000001").is_ok());
    for text in ["", "x", "1e1234567890123456789"] {
        assert_eq!(of(text), Err(WireError::Malformed), "{text}");
    }
}
