//! Detection of content that is not text, by its first bytes. No I/O.

/// Number of bytes inspected: 1 KiB.
pub(in crate::connector) const LOOKED_AT_BYTES: usize = 1024;

/// First bytes of known formats, with a description of each format.
const BEGINNINGS: &[(&[u8], &str)] = &[
    (b"\x1f\x8b", "compressed by gzip; unpack it with `gunzip`"),
    (
        b"\x28\xb5\x2f\xfd",
        "compressed by zstd; unpack it with `unzstd`",
    ),
    (b"\xfd7zXZ\0", "compressed by xz; unpack it with `unxz`"),
    (b"BZh", "compressed by bzip2; unpack it with `bunzip2`"),
    (
        b"\x04\x22\x4d\x18",
        "compressed by lz4; unpack it with `unlz4`",
    ),
    (
        b"PK\x03\x04",
        "a zip archive or a spreadsheet; save it as text",
    ),
    (b"PAR1", "a Parquet file"),
    (b"\xff\xfe", UTF_16),
    (b"\xfe\xff", UTF_16),
];
const UTF_16: &str = "UTF-16; convert it with `iconv -f UTF-16 -t UTF-8`";

/// Returns a description of the content if its first bytes show that it is not text. Skips leading zero bytes, which
/// appear when a writer continues at its old offset after the file was truncated.
pub(crate) fn other_than_text(beginning: &[u8]) -> Option<String> {
    let found = BEGINNINGS
        .iter()
        .find(|(bytes, _)| beginning.starts_with(bytes));
    if let Some((_, what)) = found {
        return Some((*what).to_owned());
    }
    let looked_at = &beginning[..beginning.len().min(LOOKED_AT_BYTES)];
    let hole = looked_at.iter().take_while(|byte| **byte == 0).count();
    let zero = looked_at[hole..].iter().position(|byte| *byte == 0)?;
    let is_every_second = |from: usize| {
        let pairs = looked_at.get(from..).unwrap_or_default();
        pairs.len() > 2 && pairs.iter().step_by(2).all(|byte| *byte == 0) && hole < 2
    };
    // ASCII as UTF-16, without a byte order mark.
    if is_every_second(0) || is_every_second(1) {
        return Some(UTF_16.to_owned());
    }
    Some(format!("binary: byte {} is zero", hole + zero + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binary_formats_are_recognised() {
        let utf_16 =
            |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
        for (bytes, expected) in [
            (&b"\x1f\x8b\x08\0\0"[..], "compressed by gzip"),
            (b"PK\x03\x04", "a zip archive"),
            (b"\xff\xfei\0d\0", "UTF-16"),
            (&utf_16("id,name\n1,a\n"), "UTF-16"),
            (b"\x7fELF\x02\x01\0", "binary: byte 7 is zero"),
            (b"\0\0\0a\0bc", "binary: byte 5 is zero"),
        ] {
            let found = other_than_text(bytes).unwrap_or_default();
            assert!(found.starts_with(expected), "{bytes:?}: {found}");
        }
    }

    #[test]
    fn text_is_not_mistaken_for_binary() {
        for text in [
            "",
            "a",
            "id,name\n1,a\n",
            "B",
            "\u{feff}a",
            "\0\0\0",
            "\0\0{\"n\":3}\n",
            "PKZ",
        ] {
            assert_eq!(other_than_text(text.as_bytes()), None, "{text:?}");
        }
    }
}
