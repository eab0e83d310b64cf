//! [`Operator`]: an operator with types for what comes and leaves, and [`Typed`], which puts one on raw datums.

use crate::encoding::Encoding;
use crate::frames_operator::{Binding, Entry, FramesOperator, State};
use crate::{Error, Outputs, Result, bail, parse_config};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::marker::PhantomData;

/// An operator: what it takes, what leaves, and the state between.
///
/// Put [`#[operator]`](macro@crate::operator) on the implementation to make it the operator of its crate, and
/// `#[operator(state)]` to have its state carried over reloads.
pub trait Operator: Sized {
    /// Its configuration, as the manifest gives it; [`NoConfig`](crate::NoConfig) for none.
    type Config: DeserializeOwned;
    /// What comes, on every input port: a datum of the stream's encoding.
    type Input: DeserializeOwned;
    /// What leaves, on every output port.
    type Output: Serialize;

    /// The names of the input ports.
    const INPUTS: &'static [&'static str] = &["in"];
    /// The names of the output ports. What is pushed without naming one goes to the first.
    const OUTPUTS: &'static [&'static str] = &["out"];
    /// A JSON schema of the configuration; empty for none.
    const CONFIG_SCHEMA: &'static str = "";
    /// The version of the saved state's layout; 0 when none is kept. `#[operator(state, version = 2)]` sets it.
    const STATE_VERSION: u32 = 0;

    /// Makes an instance.
    fn open(config: Self::Config) -> Result<Self>;

    /// Takes one datum. An `Err` rejects it, with all that it pushed taken back, and the batch goes on.
    fn process(&mut self, input: Self::Input, out: &mut Out<'_, Self::Output>) -> Result<()>;

    /// Called every now and then; `now` is the host's clock, in ms since 1970.
    fn tick(&mut self, _now: u64, _out: &mut Out<'_, Self::Output>) -> Result<()> {
        Ok(())
    }

    /// All inputs have ended: the last chance to say something.
    fn finish(&mut self, _out: &mut Out<'_, Self::Output>) -> Result<()> {
        Ok(())
    }

    /// The state to be carried over; none when none is kept. `#[operator(state)]` writes it.
    fn snapshot(&self) -> Result<Option<Vec<u8>>> {
        Ok(None)
    }

    /// Takes up a state that [`snapshot`](Self::snapshot) of that version gave. `#[operator(state)]` writes it.
    fn restore(&mut self, _version: u32, _state: &[u8]) -> Result<()> {
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

impl<T: Serialize + ?Sized> Out<'_, T> {
    /// Sends a datum to the first output port.
    ///
    /// # Errors
    /// When it cannot be had in the stream's encoding, or [`PENDING_LEN_MAX`](crate::PENDING_LEN_MAX) is passed.
    pub fn push(&mut self, datum: &T) -> Result<()> {
        self.push_at(0, datum)
    }

    /// Sends a datum to the output port of that name.
    ///
    /// # Errors
    /// As [`push`](Self::push), or when there is no such port.
    pub fn push_to(&mut self, port: &str, datum: &T) -> Result<()> {
        match self.outputs.port(port) {
            Some(index) => self.push_at(index, datum),
            None => bail!("there is no output port `{port}`"),
        }
    }

    /// Whether a stream is bound to the output port of that name.
    pub fn is_bound(&self, port: &str) -> bool {
        self.outputs
            .port(port)
            .is_some_and(|index| self.outputs.is_bound(index))
    }

    /// The index of the input port whose datum is being processed.
    pub fn input_port(&self) -> usize {
        self.outputs.input_port()
    }

    fn push_at(&mut self, port: usize, datum: &T) -> Result<()> {
        let encoding = self.encodings.get(port).copied().unwrap_or(Encoding::Json);
        self.outputs.write(port, |to| encoding.encode(datum, to))
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
    const INPUTS: &'static [&'static str] = T::INPUTS;
    const OUTPUTS: &'static [&'static str] = T::OUTPUTS;
    const CONFIG_SCHEMA: &'static str = T::CONFIG_SCHEMA;
    const STATE_VERSION: u32 = T::STATE_VERSION;

    fn open(config: &str, inputs: &[Binding], outputs: &[Binding]) -> Result<Self> {
        let operator = T::open(parse_config(config)?)?;
        Ok(Self {
            operator,
            inputs: encodings(T::INPUTS, inputs)?,
            outputs: encodings(T::OUTPUTS, outputs)?,
        })
    }

    fn process(&mut self, port: usize, datum: &[u8], outputs: &mut Outputs) -> Result<()> {
        let input = self
            .inputs
            .get(port)
            .copied()
            .unwrap_or(Encoding::Json)
            .decode(datum)?;
        self.operator.process(
            input,
            &mut Out {
                outputs,
                encodings: &self.outputs,
                of: PhantomData,
            },
        )
    }

    fn tick(&mut self, now_ms: u64, outputs: &mut Outputs) -> Result<()> {
        self.operator.tick(
            now_ms,
            &mut Out {
                outputs,
                encodings: &self.outputs,
                of: PhantomData,
            },
        )
    }

    fn finish(&mut self, _port: usize, last: bool, outputs: &mut Outputs) -> Result<()> {
        if last {
            self.operator.finish(&mut Out {
                outputs,
                encodings: &self.outputs,
                of: PhantomData,
            })?;
        }
        Ok(())
    }

    fn snapshot(&self) -> Result<State> {
        let entries = self
            .operator
            .snapshot()?
            .map(|value| Entry { key: None, value });
        Ok(State {
            version: T::STATE_VERSION,
            entries: entries.into_iter().collect(),
        })
    }

    fn restore(&mut self, saved: State) -> Result<()> {
        match saved.entries.as_slice() {
            [] => Ok(()),
            [entry] => self.operator.restore(saved.version, &entry.value),
            several => bail!(
                "the saved state has {} parts, and this operator's is one",
                several.len()
            ),
        }
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

/// What `#[operator(state)]` saves: JSON, which reads a state whose type has since gained optional fields.
#[doc(hidden)]
pub fn save<T: Serialize>(state: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(state)
        .map_err(|error| Error::new(format_args!("the state cannot be saved: {error}")))
}

/// Reads what [`save`] gave.
#[doc(hidden)]
pub fn load<T: DeserializeOwned>(version: u32, expected: u32, state: &[u8]) -> Result<T> {
    if version != expected {
        bail!(
            "the saved state is of version {version}, and this operator reads version {expected}"
        );
    }
    serde_json::from_slice(state)
        .map_err(|error| Error::new(format_args!("the saved state cannot be read: {error}")))
}
