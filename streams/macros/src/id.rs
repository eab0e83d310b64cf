//! Computes the bytes of an id from its text.

use syn::LitStr;

/// Returns the id of a literal, or an error at the literal.
pub(crate) fn of_literal(literal: &LitStr) -> syn::Result<[u8; 32]> {
    of(&literal.value()).map_err(|message| syn::Error::new(literal.span(), message))
}

fn of(text: &str) -> Result<[u8; 32], &'static str> {
    if text.is_empty() {
        return Err("an id needs a name or 64 hex digits");
    }
    Ok(decode_hex(text).unwrap_or_else(|| *blake3::hash(text.as_bytes()).as_bytes()))
}

fn decode_hex(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> = text
        .chars()
        .map(|c| c.to_digit(16).map(|d| d as u8))
        .collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits
        .chunks_exact(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect();
    if digits.len() == 64 {
        bytes.try_into().ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_taken_and_text_is_hashed() {
        assert_eq!(of(&"aB".repeat(32)), Ok([0xab; 32]));
        assert_eq!(
            of("oracle.price"),
            Ok(*blake3::hash(b"oracle.price").as_bytes())
        );
        let almost = "ab".repeat(33);
        assert_eq!(of(&almost), Ok(*blake3::hash(almost.as_bytes()).as_bytes()));
        assert!(of("").is_err());
    }
}
