//! [`FramesOperator`]: an operator on encoded records, the basis of the typed layer and of the built-in operators.

use crate::{Error, Outputs, Result};

/// A stream bound to a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The name of the port.
    pub port: String,
    /// The name of the stream.
    pub stream_name: String,
    /// The encoding of the stream: `json`, `text`, `bytes` or `postcard`.
    pub encoding: String,
}

/// The description of an operator, read before it is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// The names of the input ports.
    pub inputs: Vec<String>,
    /// The names of the output ports.
    pub outputs: Vec<String>,
    /// A JSON schema of the configuration; empty for none.
    pub config_schema: String,
    /// The version of the state's layout; 0 for an operator without state.
    pub state_version: u32,
}

/// A part of a saved state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key that the part belongs to, by which state is distributed over instances; `None` for a part that every
    /// instance needs.
    pub key: Option<Vec<u8>>,
    /// The bytes of the part, in a layout of the operator.
    pub value: Vec<u8>,
}

/// The state of an operator, saved by [`snapshot`](FramesOperator::snapshot).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// The version of its layout.
    pub version: u32,
    /// The parts of the state.
    pub entries: Vec<Entry>,
}

/// An operator on encoded records.
///
/// An `Err` of any function except [`open`](Self::open) discards the outputs of that call. From
/// [`process`](Self::process) it rejects that record; from the others it fails the host's call.
pub trait FramesOperator: Sized {
    /// The names of the input ports.
    const INPUTS: &'static [&'static str] = &["in"];
    /// The names of the output ports.
    const OUTPUTS: &'static [&'static str] = &["out"];
    /// A JSON schema of the configuration; empty for none.
    const CONFIG_SCHEMA: &'static str = "";
    /// The version of the state's layout; 0 for an operator without state.
    const STATE_VERSION: u32 = 0;

    /// Creates an instance from the configuration, as JSON text, and the streams on its ports.
    fn open(config: &str, inputs: &[Binding], outputs: &[Binding]) -> Result<Self>;

    /// Processes one record of an input port.
    fn process(&mut self, port: usize, datum: &[u8], out: &mut Outputs) -> Result<()>;

    /// Called after another call that requested it with [`Outputs::call_drain`], until it no longer does. Bounds the
    /// output of an operator that has a lot to send.
    fn drain(&mut self, _out: &mut Outputs) -> Result<()> {
        Ok(())
    }

    /// Called periodically. `now_ms` is the host's clock, in ms since 1970.
    fn tick(&mut self, _now_ms: u64, _out: &mut Outputs) -> Result<()> {
        Ok(())
    }

    /// Called when an input has ended; `last` is set for the last of the bound inputs.
    fn finish(&mut self, _port: usize, _last: bool, _out: &mut Outputs) -> Result<()> {
        Ok(())
    }

    /// Returns the current state.
    fn snapshot(&self) -> Result<State> {
        Ok(State {
            version: Self::STATE_VERSION,
            entries: Vec::new(),
        })
    }

    /// Restores a saved state. Called directly after [`open`](Self::open).
    fn restore(&mut self, saved: State) -> Result<()> {
        if saved.entries.is_empty() {
            return Ok(());
        }
        Err(Error::new("this operator has no state"))
    }
}
