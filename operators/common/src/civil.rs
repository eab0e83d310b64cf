//! Conversion between days and calendar dates (proleptic Gregorian, UTC). Pure arithmetic, after Howard Hinnant's
//! <https://howardhinnant.github.io/date_algorithms.html>.

/// The number of milliseconds in a day.
pub const DAY_MS: i64 = 86_400_000;

/// The first ms of year 1, the earliest accepted time.
pub const EARLIEST_MS: i64 = days_from_civil(1, 1, 1) * DAY_MS;

/// The first ms of year 9999, after the latest accepted time.
pub const LATEST_MS: i64 = days_from_civil(9999, 1, 1) * DAY_MS;

/// Returns the number of days from 1970-01-01 to a date. `month` and `day` start at 1.
pub const fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (month as i64 + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day as i64 - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Returns the date this many days after 1970-01-01: year, month and day. Month and day start at 1.
#[expect(clippy::cast_sign_loss, reason = "months and days are positive")]
pub const fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month as u32, day as u32)
}

/// Returns the number of days in a month.
pub const fn days_in_month(year: i64, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Appends a time as RFC 3339 in UTC, with milliseconds only if they are not zero. A year outside of 0 to 9999, in
/// which a long window may start or end, gets a sign and as many digits as needed, as in ISO 8601.
pub fn write_rfc3339(time_ms: i64, to: &mut Vec<u8>) {
    let (year, month, day) = civil_from_days(time_ms.div_euclid(DAY_MS));
    let of_day = time_ms.rem_euclid(DAY_MS);
    if !(0..=9999).contains(&year) {
        to.push(if year < 0 { b'-' } else { b'+' });
    }
    digits(year.abs(), if year.abs() > 9999 { 5 } else { 4 }, to);
    to.push(b'-');
    digits(i64::from(month), 2, to);
    to.push(b'-');
    digits(i64::from(day), 2, to);
    to.push(b'T');
    digits(of_day / 3_600_000, 2, to);
    to.push(b':');
    digits(of_day / 60_000 % 60, 2, to);
    to.push(b':');
    digits(of_day / 1000 % 60, 2, to);
    if of_day % 1000 != 0 {
        to.push(b'.');
        digits(of_day % 1000, 3, to);
    }
    to.push(b'Z');
}

#[expect(clippy::cast_sign_loss, reason = "a digit is positive")]
fn digits(number: i64, count: u32, to: &mut Vec<u8>) {
    for place in (0..count).rev() {
        to.push(b'0' + (number / 10_i64.pow(place) % 10) as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_days() {
        for (date, days) in [
            ((1970, 1, 1), 0),
            ((2000, 2, 29), 11_016),
            ((1969, 12, 31), -1),
            ((2004, 12, 31), 12_783),
        ] {
            assert_eq!(days_from_civil(date.0, date.1, date.2), days);
            assert_eq!(civil_from_days(days), date);
        }
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut date = (1, 1, 1);
        for days in EARLIEST_MS / DAY_MS..LATEST_MS / DAY_MS {
            assert_eq!(civil_from_days(days), date);
            assert_eq!(days_from_civil(date.0, date.1, date.2), days);
            date = match date {
                (year, 12, 31) => (year + 1, 1, 1),
                (year, month, day) if day == days_in_month(year, month) => (year, month + 1, 1),
                (year, month, day) => (year, month, day + 1),
            };
        }
        assert_eq!(date, (9999, 1, 1));
    }

    #[test]
    fn years_that_no_calendar_has_are_signed() {
        for (days, text) in [
            (days_from_civil(0, 3, 1), "0000-03-01T00:00:00Z"),
            (days_from_civil(-28, 1, 1), "-0028-01-01T00:00:00Z"),
            (days_from_civil(10_998, 12, 31), "+10998-12-31T00:00:00Z"),
        ] {
            let mut written = Vec::new();
            write_rfc3339(days * DAY_MS, &mut written);
            assert_eq!(String::from_utf8(written).unwrap(), text);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(time_ms in EARLIEST_MS..LATEST_MS) {
            let mut text = Vec::new();
            write_rfc3339(time_ms, &mut text);
            prop_assert_eq!(crate::time::parse(std::str::from_utf8(&text).unwrap()), Ok(time_ms));
        }
    }
}
