//! [`Operator`]: an operator with types for what comes and leaves, and [`Typed`], which puts one on raw datums.

use crate::encoding::Encoding;
use crate::frames_operator::{Binding, Entry, FramesOperator, State};
use crate::ports::{InputPorts, OutputPorts};
use crate::{Error, Outcome, Outputs, Result, parse_config};
use serde::de::DeserializeOwned;
use std::marker::PhantomData;

/// An operator: what it takes, what leaves, and the state between.
///
/// Put [`#[operator]`](macro@crate::operator) on the implementation to make it the operator of its crate, and
/// `#[operator(state)]` to have its state carried over reloads.
///
/// An `Err` of any function takes back what that call pushed. From [`process`](Self::process) it rejects the one datum,
/// from the others it fails the host's call.
pub trait Operator: Sized {
    /// Its configuration, as the manifest gives it; [`NoConfig`](crate::NoConfig) for none.
    type Config: DeserializeOwned;
    /// What comes: a type that serde reads, or an enum with a variant an input port.
    type Input: InputPorts;
    /// What leaves: a type that serde writes, or an enum with a variant an output port.
    type Output: OutputPorts;

    /// A JSON schema of the configuration; empty for none. `#[operator(config_schema = …)]` sets it.
    const CONFIG_SCHEMA: &'static str = "";
    /// The version of the saved state's layout; 0 when none is kept. `#[operator(state, version = 2)]` sets it.
    const STATE_VERSION: u32 = 0;

    /// Makes an instance.
    fn open(config: Self::Config) -> Result<Self>;

    /// Takes one datum. An `Err` rejects it, with all that it pushed taken back, and the batch goes on.
    fn process(&mut self, input: Self::Input, out: &mut Out<'_, Self::Output>) -> Result<()>;

    /// Called as often as the manifest's `tick` says; `now` is the host's clock, in ms since 1970.
    fn tick(&mut self, _now: u64, _out: &mut Out<'_, Self::Output>) -> Result<()> {
        Ok(())
    }

    /// Nothing more comes on the input port of that name. An instance that follows another, after a reload or a failure, is
    /// told anew of the ports that ended before.
    fn input_ended(&mut self, _port: &str, _out: &mut Out<'_, Self::Output>) -> Result<()> {
        Ok(())
    }

    /// All inputs have ended: the last chance to say something.
    fn finish(&mut self, _out: &mut Out<'_, Self::Output>) -> Result<()> {
        Ok(())
    }

    /// The state to be carried over, in parts; none when none is kept. `#[operator(state)]` writes it.
    ///
    /// A part with a key belongs to that key, which is the value of the datums' key field as compact JSON (`"IBM"` with
    /// its quotes, `7`, `["IBM",7]` of two fields, `null` where it is missing), so that it can go where those datums go.
    fn snapshot(&self) -> Result<Vec<Entry>> {
        Ok(Vec::new())
    }

    /// Takes up the parts that [`snapshot`](Self::snapshot) of some version gave; called right after
    /// [`open`](Self::open). `#[operator(state)]` writes it.
    fn restore(&mut self, saved: State) -> Result<()> {
        if saved.entries.is_empty() {
            return Ok(());
        }
        Err(Error::new("this operator keeps no state"))
    }
}

/// Where an [`Operator`] puts what leaves.
#[derive(Debug)]
pub struct Out<'a, T: ?Sized> {
    outputs: &'a mut Outputs,
    encodings: &'a [Encoding],
    of: PhantomData<fn(&T)>,
}

impl<'a, T: OutputPorts + ?Sized> Out<'a, T> {
    fn new(outputs: &'a mut Outputs, encodings: &'a [Encoding]) -> Self {
        Self {
            outputs,
            encodings,
            of: PhantomData,
        }
    }

    /// Sends a datum, by the port of its variant if there are several. Where no stream is bound to it, nothing is sent.
    ///
    /// # Errors
    /// When it cannot be had in the stream's encoding, or [`PENDING_LEN_MAX`](crate::PENDING_LEN_MAX) is passed.
    pub fn push(&mut self, datum: &T) -> Result<()> {
        let port = T::port(datum);
        let encoding = self.encodings.get(port).copied().unwrap_or(Encoding::Json);
        self.outputs.write(port, |to| T::write(datum, encoding, to))
    }

    /// Says what became of the input being processed, where the default is not right: an input that brought output is
    /// [`Answered`](Outcome::Answered); one that was only sent to ports without a stream is
    /// [`Filtered`](Outcome::Filtered); another is [`Absorbed`](Outcome::Absorbed) by an operator with state, and
    /// [`Filtered`](Outcome::Filtered) by one without.
    pub fn outcome(&mut self, outcome: Outcome) {
        self.outputs.outcome(outcome);
    }

    /// Whether a stream is bound to the output port of that name, so that what is sent there goes somewhere.
    pub fn is_bound(&self, port: &str) -> bool {
        self.outputs
            .port(port)
            .is_some_and(|index| self.outputs.is_bound(index))
    }
}

/// An [`Operator`] as a [`FramesOperator`].
#[derive(Debug)]
pub struct Typed<T> {
    operator: T,
    inputs: Vec<Encoding>,
    outputs: Vec<Encoding>,
}

impl<T> Typed<T> {
    /// The operator.
    pub const fn operator(&self) -> &T {
        &self.operator
    }
}

impl<T: Operator> FramesOperator for Typed<T> {
    const INPUTS: &'static [&'static str] = T::Input::PORTS;
    const OUTPUTS: &'static [&'static str] = T::Output::PORTS;
    const CONFIG_SCHEMA: &'static str = T::CONFIG_SCHEMA;
    const STATE_VERSION: u32 = T::STATE_VERSION;

    fn open(config: &str, inputs: &[Binding], outputs: &[Binding]) -> Result<Self> {
        let operator = T::open(parse_config(config)?)?;
        Ok(Self {
            operator,
            inputs: encodings(Self::INPUTS, inputs)?,
            outputs: encodings(Self::OUTPUTS, outputs)?,
        })
    }

    fn process(&mut self, port: usize, datum: &[u8], outputs: &mut Outputs) -> Result<()> {
        let encoding = self.inputs.get(port).copied().unwrap_or(Encoding::Json);
        let input = T::Input::read(port, encoding, datum)?;
        self.operator
            .process(input, &mut Out::new(outputs, &self.outputs))
    }

    fn tick(&mut self, now_ms: u64, outputs: &mut Outputs) -> Result<()> {
        self.operator
            .tick(now_ms, &mut Out::new(outputs, &self.outputs))
    }

    fn finish(&mut self, port: usize, last: bool, outputs: &mut Outputs) -> Result<()> {
        let mut out = Out::new(outputs, &self.outputs);
        if let Some(port) = Self::INPUTS.get(port) {
            self.operator.input_ended(port, &mut out)?;
        }
        if last {
            self.operator.finish(&mut out)?;
        }
        Ok(())
    }

    fn snapshot(&self) -> Result<State> {
        Ok(State {
            version: T::STATE_VERSION,
            entries: self.operator.snapshot()?,
        })
    }

    fn restore(&mut self, saved: State) -> Result<()> {
        self.operator.restore(saved)
    }
}

/// The encoding of every port; JSON where no stream is bound.
fn encodings(ports: &[&str], bindings: &[Binding]) -> Result<Vec<Encoding>> {
    ports
        .iter()
        .map(
            |port| match bindings.iter().find(|binding| binding.port == *port) {
                Some(binding) => Encoding::named(&binding.encoding),
                None => Ok(Encoding::Json),
            },
        )
        .collect()
}
