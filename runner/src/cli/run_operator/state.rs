//! The file that stores an operator's state between two runs: JSON, with text as strings and other bytes as base64.

use std::{fs::File, io::Read as _, path::Path};

use anyhow::{Context as _, ensure};
use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

use crate::operator::{Entry, State};

/// Maximum size of a file: 256 MiB, four times the maximum size of a state.
const FILE_BYTES_MAX: u64 = 256 << 20;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    version: u32,
    entries: Vec<SavedEntry>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedEntry {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key_base64: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
}

/// Reads a file written by [`save`].
pub(super) fn read(path: &Path) -> anyhow::Result<State> {
    let shown = path.display();
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text))
        .with_context(|| format!("cannot read {shown}"))?;
    ensure!(
        text.len() as u64 <= FILE_BYTES_MAX,
        "{shown} is larger than {FILE_BYTES_MAX} bytes"
    );
    parse(&text).with_context(|| format!("{shown} contains no state"))
}

fn parse(text: &str) -> anyhow::Result<State> {
    let saved: Saved = serde_json::from_str(text)?;
    let entries = saved.entries.into_iter().map(|entry| {
        let value = either(entry.value, entry.value_base64)?;
        Ok(Entry {
            key: either(entry.key, entry.key_base64)?.map(Into::into),
            value: value.context("an entry without a value")?.into(),
        })
    });
    Ok(State {
        version: saved.version,
        entries: entries.collect::<anyhow::Result<_>>()?,
    })
}

fn either(text: Option<String>, base64: Option<String>) -> anyhow::Result<Option<Vec<u8>>> {
    Ok(match (text, base64) {
        (Some(_), Some(_)) => anyhow::bail!("an entry with both text and base64"),
        (Some(text), None) => Some(text.into_bytes()),
        (None, Some(base64)) => Some(BASE64.decode(base64.as_bytes())?),
        (None, None) => None,
    })
}

/// Writes a state atomically.
pub(super) fn save(path: &Path, state: &State) -> anyhow::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let write = || -> anyhow::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        serde_json::to_writer(&mut file, &saved(state))?;
        file.persist(path)?;
        Ok(())
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

fn saved(state: &State) -> Saved {
    let split = |bytes: &[u8]| match std::str::from_utf8(bytes) {
        Ok(text) => (Some(text.to_owned()), None),
        Err(_) => (None, Some(BASE64.encode(bytes))),
    };
    let entries = state.entries.iter().map(|entry| {
        let (key, key_base64) = entry.key.as_deref().map_or((None, None), split);
        let (value, value_base64) = split(&entry.value);
        SavedEntry {
            key,
            key_base64,
            value,
            value_base64,
        }
    });
    Saved {
        version: state.version,
        entries: entries.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saved_state_can_be_read() {
        let entry = |key: Option<&'static [u8]>, value: &'static [u8]| Entry {
            key: key.map(Into::into),
            value: value.into(),
        };
        let state = State {
            version: 3,
            entries: vec![
                entry(None, b"{\"a\":1}"),
                entry(Some(b"\"IBM\""), b"\xff\0"),
                entry(Some(b"\xfe"), b""),
            ],
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        save(&path, &state).unwrap();
        assert_eq!(read(&path).unwrap(), state);
        let error = format!(
            "{:#}",
            save(Path::new("/no/such/folder/x"), &state).unwrap_err()
        );
        assert!(error.contains("cannot write /no/such/folder/x"), "{error}");
    }

    #[test]
    fn an_invalid_state_file_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "EOF"),
            (r#"{"version":1,"entries":[{}]}"#, "without a value"),
            (
                r#"{"version":1,"entries":[{"value":"a","value_base64":"YQ=="}]}"#,
                "both text and base64",
            ),
            (
                r#"{"version":1,"entries":[{"value_base64":"!"}]}"#,
                "invalid length",
            ),
            (r#"{"version":1,"entries":[],"more":1}"#, "unknown field"),
        ] {
            let error = format!("{:#}", parse(text).unwrap_err());
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
