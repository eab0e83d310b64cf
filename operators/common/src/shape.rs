//! [`shape`]: a hash that identifies the configuration with which a state was saved.

use std::fmt::{self, Debug, Write};

/// Returns a hash of a value's `Debug` output (FNV-1a, 64 bits). Equal settings have equal hashes.
pub fn shape(of: &impl Debug) -> u64 {
    let mut hash = Hash(0xcbf2_9ce4_8422_2325);
    write!(hash, "{of:?}").expect("hashing does not fail");
    hash.0
}

struct Hash(u64);

impl Write for Hash {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_hash_of_the_text() {
        // The reference values of FNV-1a for `a` and `foobar`.
        struct Text(&'static str);
        impl Debug for Text {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.0)
            }
        }
        assert_eq!(shape(&Text("a")), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(shape(&Text("foobar")), 0x8594_4171_f739_67e8);
    }
}
