//! Times written as text.

use super::{NoTime, WEEKDAYS, in_range};
use crate::civil::{DAY_MS, days_from_civil, days_in_month};

/// A year, if present, a month and a day. Month and day start at 1.
type Date = (Option<u32>, u32, u32);

/// Parses a text: ISO 8601 / RFC 3339, or a date with an English month name, both with or without a time of day.
/// Includes the formats of mail (RFC 2822), HTTP and web server logs (`10/Oct/2000:13:55:36 -0700`). Without an offset,
/// the time is UTC.
///
/// # Errors
/// Returns the reason for which it is not a time.
pub fn parse(text: &str) -> Result<i64, NoTime> {
    let text = text.trim();
    let text = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(text);
    let mut reader = Reader {
        rest: text.as_bytes(),
    };
    let weekday = reader.weekday();
    let first = reader.rest.first().copied().ok_or(NoTime::Format)?;
    let is_iso = first.is_ascii_digit() && reader.rest.get(4) == Some(&b'-');
    let (mut year, month, day) = if is_iso && weekday.is_none() {
        reader.iso_date()?
    } else {
        reader.named_date()?
    };
    let of_day = if reader.rest.is_empty() {
        0
    } else {
        reader.time_of_day()?
    };
    // In the format of `date` and C, the year comes last.
    if year.is_none() {
        year = Some(reader.last_year()?);
    }
    reader.comment();
    if !reader.rest.is_empty() {
        return Err(NoTime::Format);
    }
    let year = i64::from(year.unwrap_or_default());
    if !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) {
        return Err(NoTime::Date);
    }
    let days = days_from_civil(year, month, day);
    // 1970 started on a Thursday.
    let actual = u8::try_from((days + 3).rem_euclid(7)).unwrap_or_default();
    if weekday.is_some_and(|weekday| weekday != u32::from(actual)) {
        return Err(NoTime::Weekday(actual));
    }
    in_range(days * DAY_MS + of_day)
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// `2004-01-31`
    fn iso_date(&mut self) -> Result<Date, NoTime> {
        let year = self.digits(4, 4)?;
        self.expect(b'-')?;
        let month = self.digits(2, 2)?;
        self.expect(b'-')?;
        Ok((Some(year), month, self.digits(2, 2)?))
    }

    /// `Jan 31 2004`, `January 31, 2004`, `31 Jan 2004`, `31/Jan/2004`, `31-Jan-04`; `Jan 31` before a time of day.
    fn named_date(&mut self) -> Result<Date, NoTime> {
        let day_first = self.rest.first().is_some_and(u8::is_ascii_digit);
        let (month, day) = if day_first {
            let day = self.digits(1, 2)?;
            self.gap()?;
            (self.month()?, day)
        } else {
            let month = self.month()?;
            self.gap()?;
            (month, self.digits(1, 2)?)
        };
        if !day_first && self.rest.first() == Some(&b' ') && self.rest.get(3) == Some(&b':') {
            return Ok((None, month, day));
        }
        self.gap()?;
        let before = self.rest.len();
        let year = self.digits(2, 4)?;
        let year = match before - self.rest.len() {
            4 => year,
            // The hours of a time of day.
            2 if self.rest.first() == Some(&b':') => return Err(NoTime::Format),
            // As in mail.
            2 if day_first && year < 50 => 2000 + year,
            2 if day_first => 1900 + year,
            _ => return Err(NoTime::Format),
        };
        Ok((Some(year), month, day))
    }

    /// Parses a leading day of the week, starting from Monday: `Sun, 06 Nov 1994`, `Sunday, 06-Nov-94`, `Sun Nov  6`.
    fn weekday(&mut self) -> Option<u32> {
        let start = self.rest;
        let day = self.word(&WEEKDAYS);
        if day.is_none() || self.gap().is_err() {
            self.rest = start;
            return None;
        }
        day
    }

    /// ` 2004`, after a time of day.
    fn last_year(&mut self) -> Result<u32, NoTime> {
        self.gap()?;
        self.digits(4, 4)
    }

    /// ` (PDT)`, at the end.
    fn comment(&mut self) {
        if self.rest.starts_with(b" (") && self.rest.ends_with(b")") {
            self.rest = &[];
        }
    }

    /// `T12:30`, ` 12:30:15.250`, `:12:30:15`, optionally followed by `Z`, `+01:00` or `GMT`.
    fn time_of_day(&mut self) -> Result<i64, NoTime> {
        if !(self.skip(b'T') || self.skip(b't') || self.skip(b' ') || self.skip(b':')) {
            return Err(NoTime::Format);
        }
        let hour = self.digits(2, 2)?;
        self.expect(b':')?;
        let minute = self.digits(2, 2)?;
        let second = if self.skip(b':') {
            self.digits(2, 2)?
        } else {
            0
        };
        let fraction_ms = if self.skip(b'.') || self.skip(b',') {
            self.fraction()?
        } else {
            0
        };
        // 60 is a leap second. As on most clocks, the following second is repeated instead.
        if hour > 23 || minute > 59 || second > 60 {
            return Err(NoTime::Date);
        }
        let offset_ms = if self.year_follows() {
            0
        } else {
            self.skip(b' ');
            self.offset()?
        };
        Ok(i64::from(hour * 3600 + minute * 60 + second) * 1000 + fraction_ms - offset_ms)
    }

    fn fraction(&mut self) -> Result<i64, NoTime> {
        let digits = self.run_of(u8::is_ascii_digit);
        if digits.is_empty() {
            return Err(NoTime::Format);
        }
        Ok((0..3).fold(0, |ms, place| {
            ms * 10 + i64::from(digits.get(place).map_or(0, |digit| digit - b'0'))
        }))
    }

    fn year_follows(&self) -> bool {
        matches!(self.rest, [b' ', b'0'..=b'9', ..])
    }

    fn offset(&mut self) -> Result<i64, NoTime> {
        // Zone names of more than one letter; those of mail, which are defined unambiguously.
        const ZONES: [(&[u8], i64); 11] = [
            (b"GMT", 0),
            (b"UTC", 0),
            (b"UT", 0),
            (b"EST", -5),
            (b"EDT", -4),
            (b"CST", -6),
            (b"CDT", -5),
            (b"MST", -7),
            (b"MDT", -6),
            (b"PST", -8),
            (b"PDT", -7),
        ];
        for (name, hours) in ZONES {
            if let Some(rest) = self.rest.strip_prefix(name) {
                self.rest = rest;
                return Ok(hours * 3_600_000);
            }
        }
        if self.rest.is_empty() || self.skip(b'Z') || self.skip(b'z') {
            return Ok(0);
        }
        let sign = if self.skip(b'+') {
            1
        } else if self.skip(b'-') {
            -1
        } else {
            return Err(NoTime::Format);
        };
        let hours = self.digits(2, 2)?;
        self.skip(b':');
        let minutes = if self.rest.first().is_some_and(u8::is_ascii_digit) {
            self.digits(2, 2)?
        } else {
            0
        };
        if hours > 23 || minutes > 59 {
            return Err(NoTime::Date);
        }
        Ok(sign * i64::from(hours * 60 + minutes) * 60_000)
    }

    fn month(&mut self) -> Result<u32, NoTime> {
        const MONTHS: [&str; 12] = [
            "january",
            "february",
            "march",
            "april",
            "may",
            "june",
            "july",
            "august",
            "september",
            "october",
            "november",
            "december",
        ];
        let index = self.word(&MONTHS).ok_or(NoTime::Format)?;
        Ok(index + 1)
    }

    /// Parses one of these words, in full or by its first three letters, and returns its index.
    fn word(&mut self, words: &[&str]) -> Option<u32> {
        let found = self.run_of(u8::is_ascii_alphabetic);
        self.skip(b'.');
        let is_it = |word: &str| {
            let word = word.as_bytes();
            found.eq_ignore_ascii_case(word)
                || (found.len() == 3 && found.eq_ignore_ascii_case(&word[..3]))
        };
        let index = words.iter().position(|word| is_it(word))?;
        u32::try_from(index).ok()
    }

    /// Skips spaces, dashes, slashes and a comma between the parts of a named date.
    fn gap(&mut self) -> Result<(), NoTime> {
        let gap = self.run_of(|byte| matches!(byte, b' ' | b',' | b'-' | b'/'));
        if gap.is_empty() {
            Err(NoTime::Format)
        } else {
            Ok(())
        }
    }

    fn digits(&mut self, least: usize, most: usize) -> Result<u32, NoTime> {
        let count = self
            .rest
            .iter()
            .take(most)
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        if count < least {
            return Err(NoTime::Format);
        }
        let (digits, rest) = self.rest.split_at(count);
        self.rest = rest;
        Ok(digits
            .iter()
            .fold(0, |number, digit| number * 10 + u32::from(digit - b'0')))
    }

    /// Splits off the leading bytes for which `is_part` holds.
    fn run_of(&mut self, is_part: impl Fn(&u8) -> bool) -> &'a [u8] {
        let count = self.rest.iter().take_while(|byte| is_part(byte)).count();
        let (run, rest) = self.rest.split_at(count);
        self.rest = rest;
        run
    }

    fn expect(&mut self, byte: u8) -> Result<(), NoTime> {
        if self.skip(byte) {
            Ok(())
        } else {
            Err(NoTime::Format)
        }
    }

    fn skip(&mut self, byte: u8) -> bool {
        match self.rest.split_first() {
            Some((first, rest)) if *first == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }
}
