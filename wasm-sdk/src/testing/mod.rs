//! Testing operators.
//!
//! Natively, without WebAssembly: [`run`] hands datums to a typed operator and tells what came of them, [`run_on`] does so
//! on several ports; [`Session`] goes step by step, through ticks and reloads; [`Harness`] makes the calls of an operator
//! on raw datums.
//!
//! As it will run: [`component()`] and [`component_on`] do the same to the component that was built, through
//! `mosaik-runner`.
//!
//! Not there when the crate is compiled to WebAssembly.

mod component;
mod harness;
mod ran;
mod report;
mod session;
mod stand_ins;

pub use component::{COMPONENT_TIME_MAX, Component, component, component_on};
pub use harness::{Harness, binding};
pub use ran::Ran;
pub use session::{Session, saved};
pub use stand_ins::{counted, counted_as, log_to_stderr, logged, set_now};

use serde::Serialize;

use crate::{FramesOperator, Operator, Result};
use stand_ins::Heard;

/// Opens `T`, hands it the inputs on its first port as one batch of JSON, and finishes it.
///
/// # Errors
/// When the configuration is refused, or a call fails.
pub fn run<T: Operator>(
    config: impl Serialize,
    inputs: impl IntoIterator<Item = impl Serialize>,
) -> Result<Ran> {
    let mut session = Session::<T>::open(config)?;
    session.send(<T::Input as crate::InputPorts>::PORTS[0], inputs)?;
    session.finish()
}

/// As [`run`], with the input port of each datum: `[("orders", json!(…)), ("payments", json!(…))]`.
///
/// # Errors
/// As [`run`], and when there is no such port.
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
