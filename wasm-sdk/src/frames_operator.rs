//! [`FramesOperator`]: an operator on raw datums, which the typed layer and the built-in operators stand on.

use crate::{Error, Outputs, Result};

/// A stream on a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The port's name.
    pub port: String,
    /// The stream's name.
    pub stream_name: String,
    /// The stream's encoding: `json`, `text`, `bytes` or `postcard`.
    pub encoding: String,
}

/// What an operator is; asked before it is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// The names of the input ports.
    pub inputs: Vec<String>,
    /// The names of the output ports.
    pub outputs: Vec<String>,
    /// A JSON schema of the configuration; empty where none is given.
    pub config_schema: String,
    /// The version of the state's layout; 0 for an operator that keeps none.
    pub state_version: u32,
}

/// A part of a saved state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What the part belongs to, so that state can be spread anew over instances; none for what all need.
    pub key: Option<Vec<u8>>,
    /// The part.
    pub value: Vec<u8>,
}

/// A saved state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// The version of its layout.
    pub version: u32,
    /// Its parts.
    pub entries: Vec<Entry>,
}

/// An operator on raw datums.
///
/// Of every function but [`open`](Self::open): an `Err` takes back what that call pushed. From
/// [`process`](Self::process) it rejects the one datum; from the others it fails the host's call.
pub trait FramesOperator: Sized {
    /// The names of the input ports.
    const INPUTS: &'static [&'static str] = &["in"];
    /// The names of the output ports.
    const OUTPUTS: &'static [&'static str] = &["out"];
    /// A JSON schema of the configuration; empty for none.
    const CONFIG_SCHEMA: &'static str = "";
    /// The version of the state's layout; 0 for an operator that keeps none.
    const STATE_VERSION: u32 = 0;

    /// Makes an instance of the configuration, as JSON text, and the streams on its ports.
    fn open(config: &str, inputs: &[Binding], outputs: &[Binding]) -> Result<Self>;

    /// Takes one datum of an input port.
    fn process(&mut self, port: usize, datum: &[u8], out: &mut Outputs) -> Result<()>;

    /// Called again and again after a call of the others that asked for it with [`Outputs::call_drain`], until it does
    /// not ask any more: how an operator with a lot to say stays bounded.
    fn drain(&mut self, _out: &mut Outputs) -> Result<()> {
        Ok(())
    }

    /// Called every now and then; `now_ms` is the host's clock, in ms since 1970.
    fn tick(&mut self, _now_ms: u64, _out: &mut Outputs) -> Result<()> {
        Ok(())
    }

    /// That input has ended; `last` when it was the last of the inputs that are bound.
    fn finish(&mut self, _port: usize, _last: bool, _out: &mut Outputs) -> Result<()> {
        Ok(())
    }

    /// The state as it is now.
    fn snapshot(&self) -> Result<State> {
        Ok(State {
            version: Self::STATE_VERSION,
            entries: Vec::new(),
        })
    }

    /// Takes up a saved state; called right after [`open`](Self::open).
    fn restore(&mut self, saved: State) -> Result<()> {
        if saved.entries.is_empty() {
            return Ok(());
        }
        Err(Error::new("this operator keeps no state"))
    }
}
