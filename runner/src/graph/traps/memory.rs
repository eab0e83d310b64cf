//! Limits of built-in operators that exceed `limits.memory` or contradict each other. The sizes are from their READMEs.

use serde_json::Value;

use super::{builtin, config_span};
use crate::declare::{Diagnostic, parse_size, show_size};
use crate::manifest::OperatorDecl;

/// Bytes needed per key in addition to its text, in `dedupe` and `sample`: 100.
const KEY_BYTES: u64 = 100;
/// Bytes needed per row in addition to its JSON, in `enrich`: 100.
const ROW_BYTES: u64 = 100;
/// Bytes needed per waiting record in addition to its content, in `join`: 300.
const JOINED_BYTES: u64 = 300;
/// Bytes needed per key (150), per open window (60) and per aggregate (40), in `window`.
const WINDOW_KEY_BYTES: u64 = 150;
const WINDOW_BYTES: u64 = 60;
const AGGREGATE_BYTES: u64 = 40;
/// State exists twice while it is saved.
const WITH_SNAPSHOT: u64 = 2;

/// Checks the limits of a built-in operator that are set in the manifest.
pub(super) fn check(decl: &OperatorDecl) -> Option<Diagnostic> {
    if decl.config.is_secret() {
        return None;
    }
    let number = |name: &str| decl.config.get(name).and_then(size);
    let (bounds, held): (&[&str], u64) = match builtin(decl)? {
        "dedupe" | "sample" => {
            if let Some(unreachable) = unreachable_keys(decl) {
                return Some(unreachable);
            }
            (
                &["max_bytes"],
                number("max_bytes")?.saturating_mul(WITH_SNAPSHOT),
            )
        }
        "enrich" => (&["max_rows"], number("max_rows")?.saturating_mul(ROW_BYTES)),
        "join" => {
            let records = number("max_records").unwrap_or(20_000);
            let bytes = number("max_bytes").unwrap_or(4 << 20);
            let side = records.saturating_mul(JOINED_BYTES).saturating_add(bytes);
            (
                &["max_records", "max_bytes"],
                side.saturating_mul(2 * WITH_SNAPSHOT),
            )
        }
        "window" => {
            let aggregates = decl.config.get("aggregate").and_then(Value::as_object);
            let aggregates = aggregates.map_or(1, |aggregates| aggregates.len() as u64);
            let window = WINDOW_BYTES + AGGREGATE_BYTES * aggregates;
            let keys = number("max_keys").unwrap_or(100_000);
            let windows = number("max_windows").unwrap_or(100_000);
            let all = keys
                .saturating_mul(WINDOW_KEY_BYTES)
                .saturating_add(windows.saturating_mul(window));
            (
                &["max_keys", "max_windows"],
                all.saturating_mul(WITH_SNAPSHOT),
            )
        }
        _ => return None,
    };
    let is_set = bounds.iter().any(|name| decl.config.get(*name).is_some());
    let memory = decl.settings.limits.memory;
    if held <= memory || !is_set {
        return None;
    }
    let mut found = Diagnostic::warning(format!(
        "operator `{}` may need more than its memory limit",
        decl.name.value
    ))
    .at(
        config_span(decl),
        format!("up to {} at these bounds, a snapshot included", mib(held)),
    )
    .help(format!(
        "give it `limits: {{memory: {}}}`, or lower {}",
        mib(held),
        crate::declare::one_of(bounds.iter().copied())
    ));
    if let Some(span) = decl.places.value("limits.memory") {
        found = found.also(span, format!("its memory is {}", show_size(memory)));
    }
    Some(found)
}

/// Reports a `max_keys` that cannot be reached because of `max_bytes`.
fn unreachable_keys(decl: &OperatorDecl) -> Option<Diagnostic> {
    let keys = decl.config.get("max_keys").and_then(size)?;
    let set = decl.config.get("max_bytes").and_then(size);
    let bytes = set.unwrap_or(16 << 20);
    if keys.saturating_mul(KEY_BYTES) <= bytes {
        return None;
    }
    let default = if set.is_some() { "" } else { ", its default" };
    Some(
        Diagnostic::warning(format!(
            "operator `{}` cannot hold {keys} keys",
            decl.name.value
        ))
        .at(
            config_span(decl),
            format!(
                "`max_bytes` is {}{default}: room for at most {} keys",
                show_size(bytes),
                bytes / KEY_BYTES
            ),
        )
        .help(format!(
            "a key takes {KEY_BYTES} bytes in addition to its text: raise `max_bytes` to more than {}, and `limits: {{memory: …}}` to twice that",
            mib(keys.saturating_mul(KEY_BYTES))
        )),
    )
}

/// Reads a number, or a size like `16MiB`.
fn size(value: &Value) -> Option<u64> {
    match value {
        Value::String(text) => parse_size(text).ok(),
        value => value.as_u64(),
    }
}

/// Formats a size in whole MiB, rounded up.
fn mib(bytes: u64) -> String {
    format!("{}MiB", bytes.div_ceil(1 << 20))
}
