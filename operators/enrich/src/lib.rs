//! The built-in operator `enrich`: adds fields of a table to JSON records, by key.
//!
//! Its behaviour and configuration are described in its README; this file combines the parts.

mod config;
mod table;

#[cfg(test)]
mod tests;

use config::{Config, Missing};
use mosaik_operator_common::encodings::only_json;
use mosaik_operator_common::members::members;
use mosaik_wasm_sdk::host::{self, CounterClass};
use mosaik_wasm_sdk::{
    Binding, FramesOperator, OperatorConfig, Outputs, Result, bail, parse_config,
};
use table::{KeyReader, Table};

/// The operator.
#[derive(Debug)]
pub struct EnrichOperator {
    table: Table,
    keys: KeyReader,
    missing: Missing,
    overwrite: bool,
    /// A buffer for the key of the current record.
    key: Vec<u8>,
}

mosaik_wasm_sdk::export!(EnrichOperator);

impl FramesOperator for EnrichOperator {
    const CONFIG_SCHEMA: &'static str = Config::SCHEMA;

    fn open(config: &str, inputs: &[Binding], outputs: &[Binding]) -> Result<Self> {
        let mut config: Config = parse_config(config)?;
        only_json("enrich", inputs, outputs)?;
        Ok(Self {
            table: Table::read(&mut config)?,
            keys: KeyReader::new(&config.by.record),
            missing: config.missing,
            overwrite: config.overwrite,
            key: Vec::new(),
        })
    }

    fn process(&mut self, _port: usize, datum: &[u8], out: &mut Outputs) -> Result<()> {
        let lacks = self.keys.read(datum, &mut self.key)?;
        if lacks.is_none()
            && let Some(row) = self.table.get(&self.key)
        {
            return out.write(0, |to| add(datum, row, self.overwrite, to));
        }
        host::count_as(CounterClass::Incomplete, "missing", 1);
        match self.missing {
            Missing::Pass => out.push(0, datum),
            Missing::Drop => Ok(()),
            Missing::Reject => match lacks {
                Some(name) => bail!("`{name}` is missing or null"),
                None => bail!("the table has no row for it"),
            },
        }
    }
}

/// Writes a record with the fields of a row. If both have a field, the row's is used only with `overwrite`.
fn add(datum: &[u8], row: &str, overwrite: bool, to: &mut Vec<u8>) -> Result<()> {
    let mut added = members(row.as_bytes())?;
    let mut before = b'{';
    let mut write = |name: &str, value: &str| -> Result<()> {
        to.push(before);
        before = b',';
        serde_json::to_writer(&mut *to, name)?;
        to.push(b':');
        to.extend_from_slice(value.as_bytes());
        Ok(())
    };
    for (name, own) in members(datum)? {
        let both = added.iter().position(|(other, _)| *other == name);
        let value = match both.map(|at| added.remove(at)) {
            Some((_, value)) if overwrite => value,
            _ => own,
        };
        write(&name, value.get())?;
    }
    for (name, value) in added {
        write(&name, value.get())?;
    }
    to.push(b'}');
    Ok(())
}
