//! [`Table`]: rows by key.

use crate::config::{Config, Fields, KEY_FIELDS_MAX, Row};
use mosaik_operator_common::fields::Wanted;
use mosaik_operator_common::key::{By, KeyFields};
use mosaik_operator_common::members::members;
use mosaik_wasm_sdk::{Error, Result, bail};
use serde_json::value::RawValue;
use std::collections::{HashMap, HashSet};

/// Extracts keys from records and rows. A text and a number with the same digits are equal.
#[derive(Debug)]
pub(crate) struct KeyReader {
    wanted: Wanted,
    fields: Vec<KeyFields>,
    part: Vec<u8>,
}

impl KeyReader {
    pub(crate) fn new(by: &By) -> Self {
        let mut wanted = Wanted::default();
        let one = |field: &_| KeyFields::new(&By(vec![Clone::clone(field)]), &mut wanted);
        let fields = by.0.iter().map(one).collect();
        Self {
            wanted,
            fields,
            part: Vec::new(),
        }
    }

    /// Writes the key of an object to `key`, or returns the name of a field that is missing or null.
    ///
    /// # Errors
    /// Fails if it is not an object, or a value cannot be a key.
    pub(crate) fn read(&mut self, object: &[u8], key: &mut Vec<u8>) -> Result<Option<&str>> {
        key.clear();
        let found = self.wanted.find::<KEY_FIELDS_MAX>(object)?;
        for field in &self.fields {
            if !field.is_there(&found) || field.any_null(&found) {
                return Ok(field.names().first().map(|name| &**name));
            }
            field.read(&self.wanted, &found, &mut self.part)?;
            let text = self.part.strip_prefix(b"\"");
            let text = text.and_then(|text| text.strip_suffix(b"\""));
            key.extend_from_slice(text.unwrap_or(&self.part));
            // A JSON text cannot contain this byte.
            key.push(0);
        }
        Ok(None)
    }
}

/// For each key, the added fields of its row, as an object.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: HashMap<Box<[u8]>, Box<str>>,
}

impl Table {
    /// Reads the rows of a configuration, and removes them from it.
    ///
    /// # Errors
    /// Names the row.
    pub(crate) fn read(config: &mut Config) -> Result<Self> {
        let rows = std::mem::take(&mut config.table);
        let mut keys = KeyReader::new(&config.by.table);
        let mut names = HashSet::new();
        let mut table = HashMap::with_capacity(rows.len());
        let mut key = Vec::new();
        let is_empty = rows.is_empty();
        for (index, Row(row)) in rows.into_iter().enumerate() {
            let wrong = |reason: &dyn std::fmt::Display| {
                Error::new(format_args!("config.table[{index}]: {reason}"))
            };
            let lacks = keys
                .read(row.get().as_bytes(), &mut key)
                .map_err(|error| wrong(&error))?;
            if let Some(name) = lacks {
                return Err(wrong(&format_args!("`{name}` is missing or null")));
            }
            let added = added(config, &row, &mut names).map_err(|error| wrong(&error))?;
            if table.insert(Box::from(&key[..]), added).is_some() {
                return Err(wrong(&"another row has the same key"));
            }
        }
        if let Some(Fields(fields)) = &config.fields
            && let Some((_, field)) = fields.iter().find(|(_, field)| !names.contains(field))
            && !is_empty
        {
            bail!("config.fields: no row of the table has a field `{field}`");
        }
        Ok(Self { rows: table })
    }

    /// Returns the fields that the row with that key adds.
    pub(crate) fn get(&self, key: &[u8]) -> Option<&str> {
        self.rows.get(key).map(|row| &**row)
    }
}

/// Returns the fields that a row adds, as an object. Requested fields that it has are added to `seen`.
fn added(config: &Config, row: &RawValue, seen: &mut HashSet<String>) -> Result<Box<str>> {
    let members = members(row.get().as_bytes())?;
    let mut to = Vec::new();
    let mut count = 0;
    let mut add = |name: &str, value: &RawValue| -> Result<()> {
        to.push(if count == 0 { b'{' } else { b',' });
        count += 1;
        serde_json::to_writer(&mut to, name)?;
        to.push(b':');
        to.extend_from_slice(value.get().as_bytes());
        Ok(())
    };
    if let Some(Fields(fields)) = &config.fields {
        for (name, field) in fields {
            let found = members.iter().find(|(member, _)| member == field);
            if let Some((_, value)) = found {
                add(name, value)?;
                if !seen.contains(field) {
                    seen.insert(field.clone());
                }
            }
        }
    } else {
        let is_key = |name: &str| {
            config
                .by
                .table
                .0
                .iter()
                .any(|field| field.to_string() == name)
        };
        for (name, value) in members.iter().filter(|(name, _)| !is_key(name)) {
            add(name, value)?;
        }
    }
    if count == 0 {
        to.push(b'{');
    }
    to.push(b'}');
    if let Some(into) = &config.into {
        let mut nested = format!("{{{}:", serde_json::to_string(into)?).into_bytes();
        nested.extend_from_slice(&to);
        nested.push(b'}');
        to = nested;
    }
    Ok(String::from_utf8(to)?.into_boxed_str())
}
