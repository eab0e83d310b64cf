use std::cmp::Ordering;

use proptest::prelude::*;

use super::*;

fn canonical(text: &str) -> Option<String> {
    let mut written = Vec::new();
    write_canonical(text, &mut written).ok()?;
    String::from_utf8(written).ok()
}

#[test]
fn a_number_has_one_spelling() {
    for (spellings, written) in [
        (&["7", "7.0", "7e0", "70e-1", "0.7E+1"][..], "7"),
        (&["0", "-0", "0.0", "-0.0", "0e99999999999999999999"], "0"),
        (&["1.10", "1.1", "11e-1"], "1.1"),
        (&["1e2", "100", "100.0", "1E+02"], "100"),
        (&["-0.5", "-5e-1"], "-0.5"),
        (&["100000000000000000001"], "100000000000000000001"),
        (&["100000000000000000000", "1e20"], "100000000000000000000"),
        (&["12.917521550408112"], "12.917521550408112"),
        (&["0.000001", "1e-6"], "0.000001"),
        (&["0.0000001", "1e-7"], "1e-7"),
        (&["1.5e300", "15e299"], "1.5e300"),
        (&["1e999", "10e998"], "1e999"),
    ] {
        for text in spellings {
            assert_eq!(canonical(text).as_deref(), Some(written), "{text}");
        }
    }
    for text in [
        "",
        "-",
        "1.",
        ".5",
        "x",
        "1e",
        "1e+",
        "+1",
        "1e1234567890123456789",
        "0x10",
        "1_0",
    ] {
        assert_eq!(canonical(text), None, "{text}");
    }
}

#[test]
fn floats_stand_for_the_decimal_that_they_are_printed_as() {
    let compare = |value, text| Number::Float(value).compare(Number::of(text));
    assert_eq!(compare(0.1, "0.1"), Some(Ordering::Equal));
    assert_eq!(compare(0.1, "0.10"), Some(Ordering::Equal));
    assert_eq!(
        compare(0.1, "0.1000000000000000000001"),
        Some(Ordering::Less)
    );
    assert_eq!(compare(1e20, "100000000000000000001"), Some(Ordering::Less));
    assert_eq!(compare(f64::INFINITY, "1e999"), Some(Ordering::Greater));
    assert_eq!(compare(f64::NEG_INFINITY, "-1e999"), Some(Ordering::Less));
    assert_eq!(compare(f64::NAN, "0"), None);
    // Two decimals are equally near; JSON is written with the even one.
    assert_eq!(
        compare(-647_981_208_008_093.2_f64, "-647981208008093.2"),
        Some(Ordering::Equal)
    );
    assert_eq!(compare(0.0, "1e-999"), Some(Ordering::Less));
    let tenth = Number::Single(0.1);
    assert_eq!(tenth.compare(Number::Text("0.1")), Some(Ordering::Equal));
    assert_eq!(tenth.compare(Number::Float(0.1)), Some(Ordering::Equal));
    assert_eq!(
        Number::Float(0.100_000_001).compare(tenth),
        Some(Ordering::Greater)
    );
    assert_eq!(tenth.compare(Number::Int(1)), Some(Ordering::Less));
    assert_eq!(
        Number::Single(f32::INFINITY).compare(Number::Text("1e300")),
        Some(Ordering::Greater)
    );
}

#[test]
fn integers_are_told_from_their_neighbours() {
    for (one, other) in [
        ("100000000000000000000", "100000000000000000001"),
        ("9007199254740992", "9007199254740993"),
        ("18446744073709551615", "18446744073709551616"),
        ("-100000000000000000001", "-100000000000000000000"),
        ("1e300", "1.00000000000000000000000000001e300"),
    ] {
        assert_eq!(
            Number::of(one).compare(Number::of(other)),
            Some(Ordering::Less)
        );
        assert_eq!(
            Number::of(other).compare(Number::of(one)),
            Some(Ordering::Greater)
        );
    }
    let wide = Number::from(u128::MAX);
    assert_eq!(
        wide.compare(Number::of("340282366920938463463374607431768211455")),
        Some(Ordering::Equal)
    );
    assert_eq!(
        wide.compare(Number::of("340282366920938463463374607431768211456")),
        Some(Ordering::Less)
    );
}

#[test]
fn floors() {
    let floor = |text, places| Digits::of(text).unwrap().floor(places);
    assert_eq!(floor("1.001", 3), Some(1001));
    assert_eq!(floor("1714557599.9996", 3), Some(1_714_557_599_999));
    assert_eq!(floor("-0.0001", 3), Some(-1));
    assert_eq!(floor("-1", -3), Some(-1));
    assert_eq!(floor("1999", -3), Some(1));
    assert_eq!(floor("0e50", 3), Some(0));
    assert_eq!(floor("1e-30", 3), Some(0));
    assert_eq!(floor("1e40", 0), None);
    assert_eq!(
        Digits::of("-170141183460469231731687303715884105728")
            .unwrap()
            .as_integer(),
        Some(i128::MIN)
    );
    assert_eq!(
        Digits::of("170141183460469231731687303715884105728")
            .unwrap()
            .as_integer(),
        None
    );
    assert_eq!(Digits::of("1.50e1").unwrap().as_integer(), Some(15));
    assert_eq!(Digits::of("1.5").unwrap().as_integer(), None);
}

/// Returns one of the forms of `value` times ten to the power of `-places`.
fn spell(value: i64, places: u32, way: u8) -> String {
    let sign = if value < 0 { "-" } else { "" };
    let digits = format!(
        "{:0>width$}",
        value.unsigned_abs(),
        width = places as usize + 1
    );
    let (whole, fraction) = digits.split_at(digits.len() - places as usize);
    match way % 4 {
        0 if places == 0 => format!("{sign}{whole}"),
        0 => format!("{sign}{whole}.{fraction}"),
        1 => format!("{sign}{whole}.{fraction}00"),
        2 => format!("{value}e-{places}"),
        _ => format!("{sign}0.{}e{}", digits, digits.len() - places as usize),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn decimals_compare_as_the_integers_that_they_scale(
        one in prop_oneof![any::<i64>(), -30i64..30], near in -2i64..3, other: i64, is_near: bool,
        places in 0u32..25, ways in (0u8..4, 0u8..4),
    ) {
        let other = if is_near { one.saturating_add(near) } else { other };
        let (a, b) = (spell(one, places, ways.0), spell(other, places, ways.1));
        prop_assert_eq!(Number::of(&a).compare(Number::of(&b)), Some(one.cmp(&other)), "{} {}", a, b);
        prop_assert_eq!(canonical(&a) == canonical(&b), one == other, "{} {}", a, b);
        let written = canonical(&a).unwrap();
        prop_assert_eq!(Digits::of(&written), Digits::of(&a));
        let scale = 10_i128.pow(places);
        prop_assert_eq!(Digits::of(&a).unwrap().floor(0), Some(i128::from(one).div_euclid(scale)));
    }

    #[test]
    fn a_float_compares_as_its_printed_form(value: f64, other: f64) {
        prop_assume!(value.is_finite() && other.is_finite());
        let text = serde_json::to_string(&other).unwrap();
        prop_assert_eq!(Number::Float(value).compare(Number::of(&text)), value.partial_cmp(&other));
        prop_assert_eq!(Number::of(&text).compare(Number::Float(other)), Some(Ordering::Equal));
        prop_assert!(is_float_of(other, &text));
    }

    #[test]
    fn no_text_panics(text in "[-+0-9.eE]{0,24}") {
        let _ = canonical(&text);
        let _ = Number::of(&text).compare(Number::Int(1));
    }
}
