//! Tests for operators.
//!
//! Native, without WebAssembly: [`run`] passes records to a typed operator and returns the results, [`run_on`] does so
//! for several ports. [`Session`] runs step by step, including ticks and reloads. [`Harness`] calls an operator on
//! encoded records.
//!
//! On the built component: [`component()`] and [`component_on`] do the same through `mosaik-runner`.
//!
//! [`documented`] keeps the generated documentation of a configuration up to date.
//!
//! Not available when the crate is compiled to WebAssembly.

mod component;
mod documented;
mod harness;
mod ran;
mod report;
mod session;
mod stand_ins;

pub use component::{COMPONENT_TIME_MAX, Component, component, component_on};
pub use documented::documented;
pub use harness::{Harness, binding};
pub use ran::Ran;
pub use session::{Session, saved};
pub use stand_ins::{counted, counted_as, log_to_stderr, logged, set_now};

use serde::Serialize;

use crate::{FramesOperator, Operator, Result};
use stand_ins::Heard;

/// Opens `T`, passes the inputs to its first port as one batch of JSON, and finishes it.
///
/// # Errors
/// Fails if the configuration is refused, or a call fails.
pub fn run<T: Operator>(
    config: impl Serialize,
    inputs: impl IntoIterator<Item = impl Serialize>,
) -> Result<Ran> {
    let mut session = Session::<T>::open(config)?;
    session.send(<T::Input as crate::InputPorts>::PORTS[0], inputs)?;
    session.finish()
}

/// Like [`run`], with an input port per record: `[("orders", json!(…)), ("payments", json!(…))]`.
///
/// # Errors
/// As [`run`], and if a port does not exist.
pub fn run_on<T: Operator>(
    config: impl Serialize,
    inputs: impl IntoIterator<Item = (impl AsRef<str>, impl Serialize)>,
) -> Result<Ran> {
    let mut session = Session::<T>::open(config)?;
    for (port, input) in inputs {
        session.send(port.as_ref(), [input])?;
    }
    session.finish()
}

/// [`run`] for a [`FramesOperator`].
///
/// # Errors
/// As [`run`].
pub fn run_frames<O: FramesOperator>(
    config: impl Serialize,
    inputs: impl IntoIterator<Item = impl Serialize>,
) -> Result<Ran> {
    let heard = Heard::now();
    let mut harness = Harness::<O>::open(&serde_json::to_string(&config)?)?;
    let inputs = inputs.into_iter().map(|input| serde_json::to_vec(&input));
    harness.send(0, inputs.collect::<Result<Vec<_>, _>>()?)?;
    for port in 0..O::INPUTS.len() {
        harness.finish(port)?;
    }
    let mut ran = Ran {
        rejected: std::mem::take(&mut harness.rejected),
        ..Ran::default()
    };
    for (port, datum) in harness.take() {
        let name = O::OUTPUTS.get(port).copied().unwrap_or_default();
        ran.left(port, name, serde_json::from_slice(&datum)?);
    }
    (ran.counters, ran.log) = heard.since();
    Ok(ran)
}
