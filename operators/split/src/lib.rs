//! The built-in operator `split`: sends JSON records to different ports, by criteria.
//!
//! Its behaviour and configuration are described in its README; this file combines the parts.

mod config;
mod ports;

#[cfg(test)]
mod tests;

use config::{Config, Matching};
use mosaik_datum::criteria::Selector;
use mosaik_datum::{Criteria, Encoding};
use mosaik_operator_common::encodings::only_json;
use mosaik_wasm_sdk::{Binding, Error, FramesOperator, OperatorConfig, Outputs, Result, host};
use ports::{PORTS, Port};

/// The operator.
#[derive(Debug)]
pub struct SplitOperator {
    routes: Vec<(Port, Selector)>,
    matching: Matching,
    default: Port,
}

mosaik_wasm_sdk::export!(SplitOperator);

impl FramesOperator for SplitOperator {
    const OUTPUTS: &'static [&'static str] = PORTS;
    const CONFIG_SCHEMA: &'static str = Config::SCHEMA;

    fn open(config: &str, inputs: &[Binding], outputs: &[Binding]) -> Result<Self> {
        let config = Config::parse(config, outputs)?;
        only_json("split", inputs, outputs)?;
        let ready = |(index, when): (usize, &Criteria)| {
            when.selector(&Encoding::Json)
                .map_err(|error| Error::new(format_args!("config.routes[{index}].when: {error}")))
        };
        let criteria = config.routes.iter().map(|route| &route.when);
        let selectors: Vec<Selector> = criteria.enumerate().map(ready).collect::<Result<_>>()?;
        let ports = config.routes.iter().map(|route| route.to);
        Ok(Self {
            routes: ports.zip(selectors).collect(),
            matching: config.matching,
            default: config.default,
        })
    }

    fn process(&mut self, _port: usize, datum: &[u8], out: &mut Outputs) -> Result<()> {
        // One bit for each port to which the record was sent.
        let mut sent = 0_u32;
        for (port, selector) in &self.routes {
            let wanted = selector
                .matches(datum)
                .map_err(|_| Error::new("not JSON, or nested too deep"))?;
            if !wanted || sent & (1 << port.0) != 0 {
                continue;
            }
            out.push(port.0, datum)?;
            sent |= 1 << port.0;
            if self.matching == Matching::First {
                break;
            }
        }
        if sent != 0 {
            return Ok(());
        }
        if !out.is_bound(self.default.0) {
            host::count("unmatched", 1);
        }
        out.push(self.default.0, datum)
    }
}
