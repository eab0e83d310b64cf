//! Compiles the text of a filter: the available functions, and errors with their position.

use jaq_core::load::parse::Def;
use jaq_core::load::{self, Arena, File, Loader};
use jaq_core::native::{Fun, bome, run, v};
use jaq_core::{Compiler, DataT, Error as JaqError, compile, data::JustLut};
use jaq_json::{Num, Val};
use jaq_std::ValT as _;

use crate::json;
use crate::rewrite::{self, DIVIDE, MODULO, TIMES};
use crate::strict;
use crate::{places, regex};
use mosaik_wasm_sdk::host::{self, Level};
use mosaik_wasm_sdk::{Error, Result};

/// The data of a filter: values only.
pub(crate) type Data = JustLut<Val>;

/// A compiled filter.
pub(crate) type Filter = jaq_core::Filter<Data>;

/// Compiles a filter.
///
/// # Errors
/// Returns the mistake, its position, and the line.
pub(crate) fn compile(code: &str) -> Result<Filter> {
    let arena = Arena::default();
    let modules = Loader::new(definitions())
        .load(&arena, File { code, path: () })
        .map_err(load_errors)?;
    let no_modules = |_: load::Import<'_, &str, ()>| -> Result<(), String> {
        Err("modules are not available here".to_owned())
    };
    load::import(&modules, no_modules).map_err(load_errors)?;
    // It was parsed successfully before.
    let term = load::parse(code, |parser| parser.term()).unwrap_or_default();
    let main = Def {
        name: MAIN,
        args: Vec::new(),
        body: rewrite::term(term),
    };
    let modules = Loader::new(definitions().into_iter().chain([main]))
        .load(
            &arena,
            File {
                code: MAIN,
                path: (),
            },
        )
        .map_err(|_| Error::new("the filter cannot be compiled"))?;
    Compiler::default()
        .with_funs(functions())
        .compile(modules)
        .map_err(|errors| {
            first(errors.into_iter().flat_map(|(_, errors)| {
                errors
                    .into_iter()
                    .map(move |error| undefined(code, error))
                    .collect::<Vec<_>>()
            }))
        })
}

/// The name of the filter among the functions that it calls.
const MAIN: &str = "_main";

/// The functions written in jq. The ones of this crate come last and replace those of jaq.
fn definitions<'s>() -> Vec<Def<&'s str>> {
    let own = load::parse(include_str!("defs.jq"), |parser| parser.defs());
    jaq_core::defs()
        .chain(jaq_std::defs())
        .chain(jaq_json::defs())
        .chain(own.unwrap_or_default())
        .collect()
}

/// The native functions of jq, with the clock and log of the host, and without an environment.
fn functions() -> impl Iterator<Item = Fun<Data>> {
    let replaced = [
        "env",
        "now",
        "debug_empty",
        "stderr_empty",
        "fromjson",
        "tojson",
    ];
    let others = jaq_core::funs::<Data>()
        .chain(jaq_std::funs::<Data>())
        .chain(jaq_json::funs::<Data>());
    others
        .filter(move |(name, ..)| !replaced.contains(name))
        .chain(of_host())
        .chain(strict())
        .chain(places::functions().into_iter().map(run::<Data>))
        .chain(regex::functions().into_iter().map(run::<Data>))
}

/// Functions of which jaq accepts more inputs than jq.
fn strict() -> impl Iterator<Item = Fun<Data>> {
    let functions: [jaq_core::native::Filter<jaq_core::RunPtr<Data>>; 6] = [
        ("tojson", v(0), |cv| {
            let mut json = Vec::new();
            let written = json::write(&cv.1, &mut json);
            let text = written.map(|()| Val::utf8_str(json));
            bome(text.map_err(|error| JaqError::str(error.reason())))
        }),
        ("fromjson", v(0), |cv| {
            bome(parse_text(&cv.1, strict::parse))
        }),
        ("_tonumber", v(0), |cv| {
            bome(parse_text(&cv.1, strict::number))
        }),
        (DIVIDE, v(2), |mut cv| {
            let by = cv.0.pop_var();
            let value = cv.0.pop_var();
            bome(divide(value, by))
        }),
        (MODULO, v(2), |mut cv| {
            let by = cv.0.pop_var();
            let value = cv.0.pop_var();
            bome(modulo(value, by))
        }),
        (TIMES, v(2), |mut cv| {
            let by = cv.0.pop_var();
            let value = cv.0.pop_var();
            bome(times(value, by))
        }),
    ];
    functions.into_iter().map(run::<Data>)
}

fn parse_text(value: &Val, parse: fn(&[u8]) -> Result<Val>) -> Result<Val, JaqError<Val>> {
    match value {
        Val::TStr(text) => parse(text).map_err(|error| JaqError::str(error.reason())),
        other => Err(JaqError::typ(other.clone(), "string")),
    }
}

fn divide(value: Val, by: Val) -> Result<Val, JaqError<Val>> {
    if let (Val::Num(_), Val::Num(_)) = (&value, &by)
        && by == Val::from(0_usize)
    {
        return Err(JaqError::str(format_args!(
            "{value} and {by} cannot be divided because the divisor is zero"
        )));
    }
    value / by
}

/// The remainder of integers; what is behind a point is cut off before.
fn modulo(value: Val, by: Val) -> Result<Val, JaqError<Val>> {
    let (Val::Num(left), Val::Num(right)) = (&value, &by) else {
        return value % by;
    };
    let is_integer = |number: &Num| matches!(number, Num::Int(_) | Num::BigInt(_));
    let (left, right) = if is_integer(left) && is_integer(right) {
        if by != Val::from(0_usize) {
            return value % by;
        }
        (0, 0)
    } else {
        let float = |value: &Val| value.as_f64().unwrap_or(f64::NAN);
        if float(&value).is_nan() || float(&by).is_nan() {
            return Ok(Val::from(f64::NAN));
        }
        #[expect(clippy::cast_possible_truncation, reason = "jq cuts them as well")]
        (float(&value) as i64, float(&by) as i64)
    };
    if right == 0 {
        return Err(JaqError::str(format_args!(
            "{value} and {by} cannot be divided (remainder) because the divisor is zero"
        )));
    }
    Ok(Val::Num(Num::from_integral(left.wrapping_rem(right))))
}

/// Bytes that a repeated text may have: 16 MiB.
const REPEATED_MAX: usize = 16 << 20;

/// The product; that of a text and a number is the text so many times, what is behind the point cut off.
fn times(value: Val, by: Val) -> Result<Val, JaqError<Val>> {
    let ((Val::TStr(text), number @ Val::Num(_)) | (number @ Val::Num(_), Val::TStr(text))) =
        (&value, &by)
    else {
        return value * by;
    };
    let count = number.as_f64().unwrap_or(f64::NAN);
    if count.is_nan() || count < 0.0 {
        return Ok(Val::Null);
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is not negative, and bounded below"
    )]
    let count = count as usize;
    if text.len().saturating_mul(count) > REPEATED_MAX {
        return Err(JaqError::str(format_args!(
            "the repeated text has more than {REPEATED_MAX} bytes"
        )));
    }
    Ok(Val::utf8_str(text.repeat(count)))
}

fn of_host() -> impl Iterator<Item = Fun<Data>> {
    type Of = Data;
    let functions: [jaq_core::native::Filter<jaq_core::RunPtr<Of>>; 3] = [
        ("now", v(0), |_| {
            bome(Ok(Val::from(host::now() as f64 / 1000.0)))
        }),
        ("debug_empty", v(0), |cv| {
            host::log(Level::Debug, &cv.1.to_string());
            Box::new(std::iter::empty())
        }),
        ("stderr_empty", v(0), |cv| {
            host::log(Level::Info, &cv.1.to_string());
            Box::new(std::iter::empty())
        }),
    ];
    functions.into_iter().map(run::<Data>)
}

fn first(mut errors: impl Iterator<Item = Error>) -> Error {
    errors
        .next()
        .unwrap_or_else(|| Error::new("the filter cannot be compiled"))
}

fn load_errors(errors: load::Errors<&str, ()>) -> Error {
    let errors = errors.into_iter();
    first(errors.map(|(file, error)| load_error(file.code, error)))
}

fn load_error(code: &str, error: load::Error<&str>) -> Error {
    match error {
        load::Error::Io(errors) => first(
            errors
                .into_iter()
                .map(|(part, error)| at(code, part, &error)),
        ),
        load::Error::Lex(errors) => first(errors.into_iter().map(|(expected, found)| {
            let found = &found[..found.chars().next().map_or(0, char::len_utf8)];
            at(code, found, &format!("expected {}", expected.as_str()))
        })),
        load::Error::Parse(errors) => {
            first(errors.into_iter().map(|(expected, found)| {
                at(code, found, &format!("expected {}", expected.as_str()))
            }))
        }
    }
}

fn undefined(code: &str, (found, undefined): compile::Error<&str>) -> Error {
    let hint = match found {
        "env" | "$ENV" => "; an operator has no environment",
        "input" | "inputs" | "input_filename" => "; the filter is called with each record",
        _ => "",
    };
    let message = format!("undefined {}{hint}", undefined.as_str());
    // A name of a function that is written in jq here is in no place of the filter.
    if !code.as_bytes().as_ptr_range().contains(&found.as_ptr()) {
        return Error::new(format_args!("config.filter: at `{found}`: {message}"));
    }
    at(code, found, &message)
}

/// Formats an error at a part of the filter: the position, and the line with a mark below.
fn at(code: &str, part: &str, message: &str) -> Error {
    let offset = load::span(code, part).start.min(code.len());
    let before = code.get(..offset).unwrap_or_default();
    let line_number = before.matches('\n').count() + 1;
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let column = before.get(line_start..).unwrap_or_default().chars().count();
    let line = code
        .get(line_start..)
        .and_then(|rest| rest.lines().next())
        .unwrap_or_default();
    let found = match part.trim().lines().next() {
        Some(found) if !found.is_empty() => {
            format!("`{}`", found.chars().take(20).collect::<String>())
        }
        _ => "the end".to_owned(),
    };
    let marks = "^".repeat(
        part.lines()
            .next()
            .map_or(1, |part| part.chars().count().clamp(1, 40)),
    );
    Error::new(format_args!(
        "config.filter: line {line_number}, column {}, at {found}: {message}\n  {line}\n  {:column$}{marks}",
        column + 1,
        ""
    ))
}

/// Returns the reason for which a run of the filter ended early.
pub(crate) fn why(exception: jaq_core::Exn<'_, <Data as DataT>::V<'_>>) -> Error {
    match exception.get_err() {
        Ok(error) => message(error),
        Err(_) => Error::new("the filter has called `halt`"),
    }
}

fn message(error: JaqError<Val>) -> Error {
    match error.into_val() {
        Val::TStr(text) => Error::new(String::from_utf8_lossy(&text)),
        other => Error::new(format_args!("{other} (not a string)")),
    }
}
