//! From the text of a filter to one that runs: the functions it has, and errors that point into it.

use jaq_core::load::{self, Arena, File, Loader};
use jaq_core::native::{Fun, bome, run, v};
use jaq_core::{Compiler, DataT, Error as JaqError, compile, data::JustLut};
use jaq_json::Val;
use mosaik_wasm_sdk::host::{self, Level};
use mosaik_wasm_sdk::{Error, Result};

/// What a filter runs on: values, and nothing else.
pub(crate) type Data = JustLut<Val>;

/// A compiled filter.
pub(crate) type Filter = jaq_core::Filter<Data>;

/// Compiles a filter.
///
/// # Errors
/// Says what is wrong, where, and shows the place.
pub(crate) fn compile(code: &str) -> Result<Filter> {
    let definitions = jaq_core::defs()
        .chain(jaq_std::defs())
        .chain(jaq_json::defs());
    let arena = Arena::default();
    let modules = Loader::new(definitions)
        .load(&arena, File { code, path: () })
        .map_err(|errors| {
            first(
                errors
                    .into_iter()
                    .map(|(file, error)| load_error(file.code, error)),
            )
        })?;
    let no_modules = |_: load::Import<'_, &str, ()>| -> Result<(), String> {
        Err("modules are not available here".to_owned())
    };
    load::import(&modules, no_modules).map_err(|errors| {
        first(
            errors
                .into_iter()
                .map(|(file, error)| load_error(file.code, error)),
        )
    })?;
    Compiler::default()
        .with_funs(functions())
        .compile(modules)
        .map_err(|errors| {
            first(errors.into_iter().flat_map(|(file, errors)| {
                let code = file.code;
                errors
                    .into_iter()
                    .map(move |error| undefined(code, error))
                    .collect::<Vec<_>>()
            }))
        })
}

/// jq's functions, with the clock and the log of the host, and without an environment.
fn functions() -> impl Iterator<Item = Fun<Data>> {
    let replaced = ["env", "now", "debug_empty", "stderr_empty"];
    let std = jaq_std::funs::<Data>().filter(move |(name, ..)| !replaced.contains(name));
    jaq_core::funs::<Data>()
        .chain(std)
        .chain(jaq_json::funs::<Data>())
        .chain(of_host())
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
        "input" | "inputs" | "input_filename" => "; the filter is called with each datum",
        _ => "",
    };
    at(
        code,
        found,
        &format!("undefined {}{hint}", undefined.as_str()),
    )
}

/// An error at a part of the filter: where that is, and the line with a mark below.
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

/// Why a run of the filter ended early.
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
