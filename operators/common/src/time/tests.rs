use super::*;
use crate::civil::DAY_MS;
use proptest::prelude::*;

const Y2004: i64 = 1_072_915_200_000;

#[test]
fn texts() {
    for text in [
        "2004-01-01",
        "2004-01-01T00:00Z",
        "2004-01-01 00:00:00",
        "2004-01-01T01:00:00+01:00",
        "2003-12-31T23:00:00.000-0100",
        "2004-01-01t00:00:00z",
        "Jan 1 2004",
        "Jan 01, 2004",
        "january 1 2004",
        "1 Jan 2004",
        "1-JAN-2004 00:00",
        "Jan. 1 2004 00:00:00 Z",
        " 2004-01-01 ",
        "Thu, 01 Jan 2004 00:00:00 GMT",
        "Thu, 1 Jan 2004 01:00:00 +0100",
        "Wed, 31 Dec 2003 16:00:00 -0800 (PST)",
        "Wed, 31 Dec 03 19:00 EST",
        "Thursday, 01-Jan-04 00:00:00 GMT",
        "Thu Jan  1 00:00:00 2004",
        "01/Jan/2004:00:00:00 +0000",
        "[31/Dec/2003:17:00:00 -0700]",
        "2004-01-01T00:00:00 UTC",
    ] {
        assert_eq!(parse(text), Ok(Y2004), "{text}");
    }
    assert_eq!(parse("2004-01-01T00:00:01.2345Z"), Ok(Y2004 + 1234));
    assert_eq!(parse("10/Oct/2000:13:55:36 -0700"), Ok(971_211_336_000));
    assert_eq!(parse("Sun, 06 Nov 1994 08:49:37 GMT"), Ok(784_111_777_000));
    assert_eq!(parse("2004-02-29"), Ok(Y2004 + 59 * DAY_MS));
}

#[test]
fn what_is_no_time() {
    for text in [
        "",
        "x",
        "2004",
        "2004-1-1",
        "2004-01-01T",
        "2004-01-01T00",
        "Jann 1 2004",
        "Jan1 2004",
        "2004-01-01 00:00 CET",
        "01/02/2004",
        "Jan 1 04",
        "Thu",
        "Thu, ",
        "Jan 1 00:00:00",
        "Jan 1 00:00:00 04",
        "1/Jan/004",
        "10 Oct 13:05:36.123",
        "10/Oct 13:05:36",
        "10 Oct 13:05",
        "10 Oct 04:13:05:36",
        "Sun, 10 Oct 13:05:36",
        "é",
    ] {
        assert_eq!(parse(text), Err(NoTime::Format), "{text}");
    }
    for text in [
        "2003-02-29",
        "2004-13-01",
        "2004-00-01",
        "Feb 30 2004",
        "2004-01-01T24:00",
        "2004-01-01T00:00+24:00",
    ] {
        assert_eq!(parse(text), Err(NoTime::Date), "{text}");
    }
    let error = parse("Mon, 06 Nov 1994 08:49:37 GMT").unwrap_err();
    assert_eq!(error, NoTime::Weekday(6));
    assert_eq!(
        error.to_string(),
        "has the wrong day of the week: that date is a Sunday"
    );
    assert_eq!(parse("9999-01-01"), Err(NoTime::Range));
    assert_eq!(parse("0000-12-31"), Err(NoTime::Range));
}

#[test]
fn numbers() {
    assert_eq!(from_number("1072915200", None), Ok(Y2004));
    assert_eq!(from_number("1072915200000", None), Ok(Y2004));
    assert_eq!(from_number("1072915200000999", None), Ok(Y2004));
    assert_eq!(from_number("1072915200000999999", None), Ok(Y2004));
    assert_eq!(from_number("1072915200.001", None), Ok(Y2004 + 1));
    assert_eq!(from_number("1.0729152e9", None), Ok(Y2004));
    assert_eq!(from_number("0", None), Ok(0));
    assert_eq!(from_number("-1", Some(Unit::Seconds)), Ok(-1000));
    assert_eq!(from_number("-1", Some(Unit::Micros)), Ok(-1));
    assert_eq!(from_number("86400000", Some(Unit::Millis)), Ok(DAY_MS));
    assert_eq!(
        from_number("1e400", Some(Unit::Seconds)),
        Err(NoTime::Range)
    );
    assert_eq!(
        from_number("99999999999999", Some(Unit::Seconds)),
        Err(NoTime::Range)
    );
}

#[test]
fn fractions_are_floored() {
    // 2024-05-01T09:59:59.999Z and 0.6 ms.
    let moment = Ok(1_714_557_599_999);
    assert_eq!(from_number("1714557599.9996", None), moment);
    assert_eq!(from_number("1714557599999.6", None), moment);
    assert_eq!(from_number("1714557599999600", None), moment);
    assert_eq!(from_number("1714557599999600000", None), moment);
    assert_eq!(parse("2024-05-01T09:59:59.9996Z"), moment);
    assert_eq!(from_number("-0.0001", Some(Unit::Seconds)), Ok(-1));
}

#[test]
fn numbers_that_are_hardly_times_need_a_unit() {
    for number in [
        "2010",
        "45413",
        "20240501",
        "240501",
        "202405011200",
        "20240501120000",
        "20240501120000123",
        "-1",
        "1",
        "1e30",
        "1e400",
    ] {
        assert_eq!(
            from_number(number, None),
            Err(NoTime::Implausible),
            "{number}"
        );
    }
    assert_eq!(
        from_number("20240501", Some(Unit::Seconds)),
        Ok(20_240_501_000)
    );
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,30}") {
        let _ = parse(&text);
    }

    #[test]
    fn no_likely_text_panics(text in "[0-9JanMy]{0,5}[- :T,.]{0,2}[0-9]{0,4}[- :T,.]{0,2}[0-9:+Z-]{0,12}") {
        let _ = parse(&text);
        let _ = from_number(&text, None);
    }
}
