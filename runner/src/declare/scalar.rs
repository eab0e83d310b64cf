//! Validated values of single scalars: names, durations, sizes, addresses.

use std::{borrow::Borrow, fmt, net::SocketAddr, time::Duration};

use super::guarded::decode_hex;

/// Maximum length of a name: 64 bytes.
pub const MAX_NAME_BYTES: usize = 64;

/// The rule for names, for messages.
pub(crate) const NAME_RULE: &str =
    "1 to 64 letters, digits, `_`, `-` or `.`, of which the first is a letter or a digit";
/// The rule as a regular expression.
pub(crate) const NAME_PATTERN: &str = "^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$";

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// Parses a name: 1 to 64 letters, digits, `_`, `-` or `.`, of which the first is a letter or a digit.
            pub fn new(text: &str) -> Option<Self> {
                is_name(text).then(|| Self(text.to_owned()))
            }

            /// Returns the name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name! {
    /// The name of a stream within a manifest.
    StreamName
}
name! {
    /// The name of a producer, operator or consumer, unique among its kind.
    StageName
}
name! {
    /// The name of an operator's input or output.
    PortName
}

/// Returns whether a text is a valid name: 1 to 64 letters, digits, `_`, `-` or `.`, of which the first is a letter or
/// a digit.
pub fn is_name(text: &str) -> bool {
    text.len() <= MAX_NAME_BYTES
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

/// The syntax of a duration, as a regular expression.
pub(crate) const DURATION_PATTERN: &str = r"^[0-9]+(ms|s|m|h|d|w)$";
/// The syntax of a size, as a regular expression.
pub(crate) const SIZE_PATTERN: &str = r"^[0-9]+(B|KiB|MiB|GiB)?$";

/// Parses a duration: a whole number followed by `ms`, `s`, `m`, `h`, `d` or `w`; at most 365 days.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    const MAX: Duration = Duration::from_hours(365 * 24);
    const EXPECTED: &str = "expected a whole number and a unit: `ms`, `s`, `m`, `h`, `d` or `w`";
    let (number, unit) = number_and_unit(text).ok_or(EXPECTED)?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "w" => 604_800_000,
        _ => return Err(EXPECTED.to_owned()),
    };
    let duration = number.checked_mul(milliseconds).map(Duration::from_millis);
    duration
        .filter(|duration| *duration <= MAX)
        .ok_or_else(|| "expected at most 365 days".to_owned())
}

/// Parses a size in bytes: a whole number, alone or followed by `B`, `KiB`, `MiB` or `GiB`; at most 1024 GiB.
pub fn parse_size(text: &str) -> Result<u64, String> {
    const MAX: u64 = 1 << 40;
    const EXPECTED: &str = "expected a whole number, alone or with `KiB`, `MiB` or `GiB`";
    let (number, unit) = number_and_unit(text).ok_or(EXPECTED)?;
    let bytes: u64 = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(EXPECTED.to_owned()),
    };
    number
        .checked_mul(bytes)
        .filter(|size| *size <= MAX)
        .ok_or_else(|| "expected at most 1024 GiB".to_owned())
}

/// Splits `250ms` into `(250, "ms")`.
fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let (number, unit) = digits_and_rest(text);
    if number.is_empty() {
        return None;
    }
    // A number that overflows is too large, not malformed.
    Some((number.parse().unwrap_or(u64::MAX), unit))
}

/// Splits `250ms` into `250` and `ms`.
fn digits_and_rest(text: &str) -> (&str, &str) {
    let rest = text.find(|c: char| !c.is_ascii_digit());
    text.split_at(rest.unwrap_or(text.len()))
}

/// Returns a suggestion for an invalid duration.
pub(crate) fn duration_hint(text: &str) -> Option<String> {
    let compact: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let (number, unit) = digits_and_rest(&compact);
    let unit = match unit.to_ascii_lowercase().as_str() {
        "" => {
            return (!number.is_empty())
                .then(|| format!("for seconds write `{number}s`, for milliseconds `{number}ms`"));
        }
        "s" | "sec" | "secs" | "second" | "seconds" => "s",
        "ms" | "msec" | "milli" | "millis" | "milliseconds" => "ms",
        "m" | "min" | "mins" | "minute" | "minutes" => "m",
        "h" | "hr" | "hour" | "hours" => "h",
        "d" | "day" | "days" => "d",
        "w" | "week" | "weeks" => "w",
        _ => return Some("write it like `500ms`, `5s`, `2m` or `1h`".to_owned()),
    };
    if number.is_empty() {
        return Some("write it like `500ms`, `5s`, `2m` or `1h`".to_owned());
    }
    Some(format!("did you mean `{number}{unit}`?"))
}

/// Returns a suggestion for an invalid size.
pub(crate) fn size_hint(text: &str) -> String {
    let compact: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let (number, unit) = digits_and_rest(&compact);
    let unit = match unit.to_ascii_lowercase().as_str() {
        "k" | "kb" | "kib" | "ki" => "KiB",
        "m" | "mb" | "mib" | "mi" => "MiB",
        "g" | "gb" | "gib" | "gi" => "GiB",
        _ => return "write it like `64KiB`, `8MiB` or `1048576`".to_owned(),
    };
    if number.is_empty() {
        return "write it like `64KiB`, `8MiB` or `1048576`".to_owned();
    }
    format!("did you mean `{number}{unit}`?")
}

/// Formats a duration in the largest unit that represents it exactly.
pub fn show_duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    let units = [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "m"),
        (1_000, "s"),
    ];
    let fit = units
        .into_iter()
        .find(|(unit, _)| ms > 0 && ms.is_multiple_of(*unit));
    fit.map_or_else(
        || format!("{ms}ms"),
        |(unit, name)| format!("{}{name}", ms / unit),
    )
}

/// Formats a size in the largest unit that represents it exactly.
pub fn show_size(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let fit = units
        .into_iter()
        .find(|(unit, _)| bytes > 0 && bytes.is_multiple_of(*unit));
    fit.map_or_else(
        || format!("{bytes} bytes"),
        |(unit, name)| format!("{}{name}", bytes / unit),
    )
}

/// A peer through which to join the network: `<peer id>@<address>:<port>`, with the ID as 64 hex digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bootstrap {
    /// The public key of the peer.
    pub peer: [u8; 32],
    /// The address on which the peer listens.
    pub address: SocketAddr,
}

impl Bootstrap {
    /// Parses `<64 hex digits>@<address>:<port>`. An error consists of the expected content and an optional hint.
    pub(crate) fn parse(text: &str) -> Result<Self, (String, Option<String>)> {
        let form = "write it like `<peer id>@203.0.113.7:4433`";
        let Some((id, address)) = text.split_once('@') else {
            return Err((
                "expected a peer id, `@` and an address".to_owned(),
                Some(form.to_owned()),
            ));
        };
        let Some(peer) = decode_hex(id) else {
            let found = if id.chars().all(|c| c.is_ascii_hexdigit()) {
                format!(", found {} digits", id.len())
            } else {
                String::new()
            };
            return Err((
                format!("expected a peer id of 64 hex digits before `@`{found}"),
                Some(form.to_owned()),
            ));
        };
        let address = parse_address(address, false)?;
        Ok(Self { peer, address })
    }
}

impl fmt::Display for Bootstrap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.peer {
            write!(f, "{byte:02x}")?;
        }
        write!(f, "@{}", self.address)
    }
}

/// Parses an address with a port. `any_port` also accepts port 0, for a free port. An error consists of the expected
/// content and an optional hint.
pub(crate) fn parse_address(
    text: &str,
    any_port: bool,
) -> Result<SocketAddr, (String, Option<String>)> {
    let expected = "expected an IP address and a port".to_owned();
    let Ok(address) = text.parse::<SocketAddr>() else {
        let bare: Result<std::net::IpAddr, _> = text.parse();
        let help = match (bare, text.rsplit_once(':')) {
            (Ok(ip), _) => format!("the port is missing: write `{}`", SocketAddr::new(ip, 4433)),
            (_, Some((host, port)))
                if port.parse::<u16>().is_ok()
                    && host.starts_with(|c: char| c.is_ascii_alphabetic()) =>
            {
                "names are not looked up: write the address itself".to_owned()
            }
            (_, Some(("", port))) if port.parse::<u16>().is_ok() => {
                format!(
                    "for all interfaces write `0.0.0.0:{port}`, for this machine only `127.0.0.1:{port}`"
                )
            }
            (_, Some((_, port)))
                if port.chars().all(|c| c.is_ascii_digit()) && port.parse::<u16>().is_err() =>
            {
                "a port is a number up to 65535".to_owned()
            }
            _ => "write it like `127.0.0.1:4433`, `0.0.0.0:4433` or `[::1]:4433`".to_owned(),
        };
        return Err((expected, Some(help)));
    };
    if address.port() == 0 && !any_port {
        return Err(("expected a port other than 0".to_owned(), None));
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes() {
        assert_eq!(parse_duration("100ms"), Ok(Duration::from_millis(100)));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_mins(2)));
        assert_eq!(parse_duration("1h"), Ok(Duration::from_hours(1)));
        assert_eq!(parse_duration("2w"), Ok(Duration::from_hours(2 * 7 * 24)));
        for wrong in [
            "",
            "5",
            "5 s",
            "s",
            "-5s",
            "1.5s",
            "5S",
            "99999999999999999999s",
            "366d",
            "5sec",
        ] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
        assert_eq!(parse_size("64KiB"), Ok(65_536));
        assert_eq!(parse_size("1MiB"), Ok(1 << 20));
        assert_eq!(parse_size("10"), Ok(10));
        for wrong in [
            "",
            "1 MiB",
            "1MB",
            "-1",
            "1.5MiB",
            "KiB",
            "99999999999999999999GiB",
            "1025GiB",
        ] {
            assert!(parse_size(wrong).is_err(), "{wrong}");
        }
        assert_eq!(show_duration(Duration::from_millis(1500)), "1500ms");
        assert_eq!(show_duration(Duration::from_mins(2)), "2m");
        assert_eq!(show_size(8 << 20), "8MiB");
        assert_eq!(show_size(1000), "1000 bytes");
    }

    #[test]
    fn wrong_units_get_a_suggestion() {
        assert_eq!(
            duration_hint("5 sec").as_deref(),
            Some("did you mean `5s`?")
        );
        assert_eq!(
            duration_hint("10minutes").as_deref(),
            Some("did you mean `10m`?")
        );
        assert_eq!(size_hint("8 MB"), "did you mean `8MiB`?");
    }

    #[test]
    fn valid_and_invalid_names() {
        for right in ["a", "prices", "oracle.price", "edge-1", "0x", "a_b"] {
            assert!(StreamName::new(right).is_some(), "{right}");
        }
        for wrong in ["", "-a", "a b", "é", ".a", "a/b", &"a".repeat(65)] {
            assert!(StreamName::new(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn bootstrap_entries_are_parsed() {
        let text = format!("{}@203.0.113.7:4433", "0a".repeat(32));
        assert_eq!(Bootstrap::parse(&text).unwrap().to_string(), text);
        for wrong in [
            "",
            "@",
            "0a@1.2.3.4:5",
            &text.replace("4433", "0"),
            &text.replace('@', ""),
        ] {
            assert!(Bootstrap::parse(wrong).is_err(), "{wrong}");
        }
    }
}
