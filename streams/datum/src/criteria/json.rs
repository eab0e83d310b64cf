//! Evaluates criteria on a JSON record in a single pass. Values that no condition refers to are validated and skipped
//! without recursion; recursion is limited by the paths of the criteria.

use super::{
    select::{Findings, Malformed, Node},
    value::{Text, Value},
};
use crate::number::Number;

/// The maximum nesting of values: 127, as in serde_json.
const MAX_DEPTH: usize = 127;

/// Evaluates the conditions below `root` on the values of `datum`. Of duplicate names the last one counts.
pub(super) fn walk(
    datum: &[u8],
    root: &Node,
    findings: &mut Findings<'_>,
) -> Result<(), Malformed> {
    let text = std::str::from_utf8(datum).map_err(|_| Malformed)?;
    let mut scanner = Scanner { text, at: 0 };
    scanner.value(root, 0, findings)?;
    scanner.space();
    if scanner.at == text.len() {
        Ok(())
    } else {
        Err(Malformed)
    }
}

/// Returns the number of bytes at the front that contain no quote, backslash or control character, in steps of eight
/// bytes.
fn plain(bytes: &[u8]) -> usize {
    const EACH: u64 = u64::MAX / 0xff;
    const HIGH: u64 = EACH << 7;
    // Sets the high bit of each byte below `bound`, which is at most 128. Bytes after the first one may be set wrongly.
    let below = |word: u64, bound: u8| word.wrapping_sub(EACH * u64::from(bound)) & !word & HIGH;
    let (words, _) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let is = |byte: u8| below(word ^ (EACH * u64::from(byte)), 1);
        let other = below(word, 0x20) | is(b'"') | is(b'\\');
        if other != 0 {
            return index * 8 + other.trailing_zeros() as usize / 8;
        }
    }
    words.len() * 8
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    fn value(
        &mut self,
        node: &Node,
        depth: usize,
        findings: &mut Findings<'_>,
    ) -> Result<(), Malformed> {
        self.space();
        match self.peek() {
            Some(b'{') if !node.children.is_empty() => {
                findings.meet(&node.here, Value::Composite);
                self.object(node, depth + 1, findings)
            }
            Some(b'{' | b'[') => {
                findings.meet(&node.here, Value::Composite);
                self.pass(depth)
            }
            _ => {
                let value = match self.scalar()? {
                    Value::Number(Number::Text(text)) => Value::Number(Number::of(text)),
                    other => other,
                };
                findings.meet(&node.here, value);
                Ok(())
            }
        }
    }

    fn object(
        &mut self,
        node: &Node,
        depth: usize,
        findings: &mut Findings<'_>,
    ) -> Result<(), Malformed> {
        if depth > MAX_DEPTH {
            return Err(Malformed);
        }
        self.at += 1;
        self.space();
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            let name = self.name()?;
            if let Some((_, child)) = node.children.iter().find(|(expected, _)| name.is(expected)) {
                findings.forget(&child.below);
                self.value(child, depth, findings)?;
            } else {
                self.pass(depth)?;
            }
            self.space();
            if self.take(b'}') {
                return Ok(());
            }
            self.expect(b',')?;
        }
    }

    /// Skips a value of any kind and validates it. `objects` has one bit per open value: 1 for an object.
    fn pass(&mut self, depth: usize) -> Result<(), Malformed> {
        let (mut objects, mut open) = (0u128, 0);
        loop {
            self.space();
            let is_object = self.peek() == Some(b'{');
            if is_object || self.peek() == Some(b'[') {
                self.at += 1;
                self.space();
                if depth + open + 1 > MAX_DEPTH {
                    return Err(Malformed);
                }
                if !self.take(if is_object { b'}' } else { b']' }) {
                    objects = objects << 1 | u128::from(is_object);
                    open += 1;
                    if is_object {
                        self.name()?;
                    }
                    continue;
                }
            } else {
                self.scalar()?;
            }
            loop {
                if open == 0 {
                    return Ok(());
                }
                let in_map = objects & 1 == 1;
                self.space();
                if self.take(b',') {
                    if in_map {
                        self.name()?;
                    }
                    break;
                }
                self.expect(if in_map { b'}' } else { b']' })?;
                objects >>= 1;
                open -= 1;
            }
        }
    }

    fn name(&mut self) -> Result<Text<'a>, Malformed> {
        self.space();
        self.expect(b'"')?;
        let name = self.string()?;
        self.space();
        self.expect(b':')?;
        Ok(name)
    }

    fn scalar(&mut self) -> Result<Value<'a>, Malformed> {
        match self.peek().ok_or(Malformed)? {
            b'"' => {
                self.at += 1;
                self.string().map(Value::Text)
            }
            b'n' => self.word("null", Value::Null),
            b't' => self.word("true", Value::Bool(true)),
            b'f' => self.word("false", Value::Bool(false)),
            _ => self.number(),
        }
    }

    fn word(&mut self, word: &str, value: Value<'a>) -> Result<Value<'a>, Malformed> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(Malformed);
        }
        self.at += word.len();
        Ok(value)
    }

    /// Called after the opening quote.
    fn string(&mut self) -> Result<Text<'a>, Malformed> {
        let start = self.at;
        let mut escaped = false;
        loop {
            self.at += plain(&self.text.as_bytes()[self.at..]);
            match self.next()? {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    self.escape()?;
                }
                0..0x20 => return Err(Malformed),
                _ => {}
            }
        }
        let inside = &self.text[start..self.at - 1];
        Ok(if escaped {
            Text::Escaped(inside)
        } else {
            Text::Plain(inside)
        })
    }

    fn escape(&mut self) -> Result<(), Malformed> {
        match self.next()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(()),
            b'u' => match self.unit()? {
                0xd800..0xdc00 => {
                    self.expect(b'\\')?;
                    self.expect(b'u')?;
                    if (0xdc00..0xe000).contains(&self.unit()?) {
                        Ok(())
                    } else {
                        Err(Malformed)
                    }
                }
                0xdc00..0xe000 => Err(Malformed),
                _ => Ok(()),
            },
            _ => Err(Malformed),
        }
    }

    fn unit(&mut self) -> Result<u32, Malformed> {
        let mut unit = 0;
        for _ in 0..4 {
            unit = unit << 4 | char::from(self.next()?).to_digit(16).ok_or(Malformed)?;
        }
        Ok(unit)
    }

    /// The value is computed by the conditions that compare it.
    fn number(&mut self) -> Result<Value<'a>, Malformed> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            if !self.take(b'+') {
                self.take(b'-');
            }
            self.digits()?;
        }
        let number = &self.text[start..self.at];
        Ok(Value::Number(Number::Text(number)))
    }

    /// At least one digit.
    fn digits(&mut self) -> Result<(), Malformed> {
        let digits = self.text.as_bytes()[self.at..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        self.at += digits;
        if digits == 0 { Err(Malformed) } else { Ok(()) }
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn next(&mut self) -> Result<u8, Malformed> {
        let byte = self.peek().ok_or(Malformed)?;
        self.at += 1;
        Ok(byte)
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn expect(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.take(byte) {
            Ok(())
        } else {
            Err(Malformed)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::plain;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5000))]

        #[test]
        fn what_is_plain_ends_at_the_first_byte_that_is_not(
            bytes in prop::collection::vec(
                prop_oneof![20 => any::<u8>(), 200 => 0x20u8..0xff, 1 => Just(b'"'), 1 => Just(b'\\'), 1 => Just(0x1f)],
                0..80,
            ),
        ) {
            let first = bytes.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
            let seen = bytes.len() / 8 * 8;
            prop_assert_eq!(plain(&bytes), first.unwrap_or(seen).min(seen));
        }
    }
}
