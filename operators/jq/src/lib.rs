//! The built-in operator `jq`: filters, maps and reshapes JSON records in the jq language (with jaq).
//!
//! Its behaviour and configuration are described in its README; this file combines the parts.

mod compile;
mod config;
#[cfg(any(target_family = "wasm", test))]
mod heap;
mod json;
mod places;
mod regex;
mod rewrite;
mod strict;

#[cfg(test)]
mod tests;

use compile::Filter;
use config::Config;
use jaq_core::{Ctx, Vars};
use jaq_json::Val;
use mosaik_operator_common::encodings::only_json;
use mosaik_wasm_sdk::{
    Binding, FramesOperator, OperatorConfig, Outputs, Result, bail, ensure, parse_config,
};

/// The operator.
pub struct JqOperator {
    filter: Filter,
    max_outputs: usize,
    raw: bool,
}

mosaik_wasm_sdk::export!(JqOperator);

impl std::fmt::Debug for JqOperator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JqOperator")
            .field("max_outputs", &self.max_outputs)
            .finish_non_exhaustive()
    }
}

impl FramesOperator for JqOperator {
    const CONFIG_SCHEMA: &'static str = Config::SCHEMA;

    fn open(config: &str, inputs: &[Binding], outputs: &[Binding]) -> Result<Self> {
        let Config {
            filter,
            max_outputs,
            raw,
        } = parse_config(config)?;
        if raw {
            only_json("jq", inputs, &[])?;
            only_text(outputs)?;
        } else {
            only_json("jq", inputs, outputs)?;
        }
        Ok(Self {
            filter: compile::compile(&filter)?,
            max_outputs,
            raw,
        })
    }

    fn process(&mut self, _port: usize, datum: &[u8], out: &mut Outputs) -> Result<()> {
        let value = json::parse(datum)?;
        let context = Ctx::<compile::Data>::new(&self.filter.lut, Vars::new([]));
        for (count, output) in self.filter.id.run((context, value)).enumerate() {
            let output = output.map_err(compile::why)?;
            if count >= self.max_outputs {
                bail!("more than {} outputs (max_outputs)", self.max_outputs);
            }
            out.write(0, |to| match &output {
                Val::TStr(text) if self.raw => {
                    to.extend_from_slice(text);
                    Ok(())
                }
                output => json::write(output, to),
            })?;
        }
        Ok(())
    }
}

/// With `raw`, results are text.
fn only_text(outputs: &[Binding]) -> Result<()> {
    for Binding { port, encoding, .. } in outputs {
        ensure!(
            encoding == "text",
            "the stream on port `{port}` is {encoding}; with `raw: true`, jq writes text"
        );
    }
    Ok(())
}
