//! Regular expressions, with the flags and the results of jq.

use std::cell::RefCell;
use std::rc::Rc as Shared;

use jaq_core::native::{Filter, bome, v};
use jaq_core::{Cv, Error, RunPtr};
use jaq_json::{Map, Val};
use jaq_std::ValT as _;
use regex_bites::bytes::{Regex, RegexBuilder};

use crate::compile::Data;

/// Expressions that are kept compiled.
const KEPT: usize = 16;

thread_local! {
    static COMPILED: RefCell<Vec<(Flags, String, Shared<Regex>)>> = const { RefCell::new(Vec::new()) };
}

/// The native functions; each has an array for each match: of the match itself and all of its groups.
pub(crate) fn functions() -> [Filter<RunPtr<Data>>; 2] {
    [
        ("_matches", v(2), |cv| bome(run(cv, false))),
        // With the text between the matches.
        ("_pieces", v(2), |cv| bome(run(cv, true))),
    ]
}

#[expect(clippy::struct_excessive_bools, reason = "each is a flag of jq")]
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Flags {
    global: bool,
    not_empty: bool,
    any_case: bool,
    dot_is_any: bool,
    extended: bool,
}

impl Flags {
    fn parse(flags: &Val) -> Result<Self, Error<Val>> {
        let mut parsed = Self::default();
        if matches!(flags, Val::Null) {
            return Ok(parsed);
        }
        for flag in text(flags)?.chars() {
            match flag {
                'g' => parsed.global = true,
                'n' => parsed.not_empty = true,
                'i' => parsed.any_case = true,
                'm' | 'p' => parsed.dot_is_any = true,
                'x' => parsed.extended = true,
                // `^` and `$` are the ends of the text anyway.
                's' => {}
                'l' => {
                    return Err(Error::str(format_args!(
                        "the flag `l`, the longest match, is not available here"
                    )));
                }
                _ => {
                    return Err(Error::str(format_args!(
                        "{flags} is not a valid modifier string"
                    )));
                }
            }
        }
        Ok(parsed)
    }

    /// An expression, compiled once for all records.
    fn compile(self, expression: &str) -> Result<Shared<Regex>, Error<Val>> {
        let flags = Self {
            global: false,
            not_empty: false,
            ..self
        };
        COMPILED.with_borrow_mut(|compiled| {
            let known = compiled
                .iter()
                .find(|(of, text, _)| *of == flags && text == expression);
            if let Some((.., regex)) = known {
                return Ok(Shared::clone(regex));
            }
            let regex = RegexBuilder::new(expression)
                .case_insensitive(flags.any_case)
                .dot_matches_new_line(flags.dot_is_any)
                .ignore_whitespace(flags.extended)
                .build()
                .map_err(|error| {
                    Error::str(format_args!("{expression} is not a valid regex: {error}"))
                })?;
            let regex = Shared::new(regex);
            if compiled.len() == KEPT {
                compiled.remove(0);
            }
            compiled.push((flags, expression.to_owned(), Shared::clone(&regex)));
            Ok(regex)
        })
    }
}

fn text(value: &Val) -> Result<&str, Error<Val>> {
    match value {
        Val::TStr(text) => std::str::from_utf8(text).map_err(Error::str),
        other => Err(Error::str(format_args!(
            "{other} cannot be matched, as it is not a string"
        ))),
    }
}

fn run(mut cv: Cv<'_, Data>, with_rest: bool) -> Result<Val, Error<Val>> {
    let flags = cv.0.pop_var();
    let expression = cv.0.pop_var();
    let subject = cv.1;
    let bytes = text(&subject)?.as_bytes();
    let flags = Flags::parse(&flags)?;
    let regex = flags.compile(text(&expression)?)?;
    let mut found = Vec::new();
    let mut counted = Counted::default();
    let mut end = 0;
    for captures in regex.captures_iter(bytes) {
        let Some(whole) = captures.get(0) else {
            continue;
        };
        if flags.not_empty && whole.as_bytes().is_empty() {
            continue;
        }
        if with_rest {
            found.push(subject.as_sub_str(&bytes[end..whole.start()]));
            end = whole.end();
        }
        let mut groups = Vec::new();
        for (index, (group, name)) in captures.iter().zip(regex.capture_names()).enumerate() {
            let (offset, part) = match group {
                Some(group) => (
                    Val::from(counted.chars(bytes, group.start())),
                    subject.as_sub_str(group.as_bytes()),
                ),
                None => (Val::from(-1_isize), Val::Null),
            };
            let length = group.map_or(0, |group| count(group.as_bytes()));
            let mut members = Map::default();
            let mut put = |key: &'static str, value| {
                members.insert(Val::utf8_str(key), value);
            };
            put("offset", offset);
            put("length", Val::from(length));
            put("string", part);
            if index > 0 {
                let name = name.map(|name| Val::utf8_str(name.to_owned()));
                put("name", name.unwrap_or_default());
            }
            groups.push(Val::obj(members));
        }
        found.push(groups.into_iter().collect());
        if !flags.global {
            break;
        }
    }
    if with_rest {
        found.push(subject.as_sub_str(&bytes[end..]));
    }
    Ok(found.into_iter().collect())
}

fn count(utf8: &[u8]) -> usize {
    utf8.iter()
        .filter(|byte| byte.cast_signed() >= -0x40)
        .count()
}

/// Characters up to a place, counted on from the place before.
#[derive(Default)]
struct Counted {
    bytes: usize,
    chars: usize,
}

impl Counted {
    fn chars(&mut self, text: &[u8], to: usize) -> usize {
        match text.get(self.bytes..to) {
            Some(more) => self.chars += count(more),
            // A group within another one may begin before the last.
            None => self.chars -= count(&text[to..self.bytes]),
        }
        self.bytes = to;
        self.chars
    }
}
