//! [`Session`]: tests a typed operator natively, call by call.

use std::collections::BTreeSet;

use serde::Serialize;

use super::harness::Harness;
use super::ran::Ran;
use super::stand_ins::Heard;
use crate::{Entry, Error, FramesOperator, Operator, Result, State, Typed};

/// An open operator with a JSON stream on every port, for tests that need more than [`run`](super::run): alternating
/// inputs on several ports, the clock, or reloads.
///
/// ```
/// # use mosaik_wasm_sdk::prelude::*;
/// # #[derive(Serialize, Deserialize)] struct Sum { sum: i64 }
/// # #[operator(state)] impl Operator for Sum {
/// #     type Config = NoConfig; type Input = i64; type Output = i64;
/// #     fn open(_config: NoConfig) -> Result<Self> { Ok(Self { sum: 0 }) }
/// #     fn process(&mut self, n: i64, out: &mut Out<'_, i64>) -> Result<()> { self.sum += n; out.push(&self.sum) }
/// # }
/// let mut session = testing::Session::<Sum>::open(()).unwrap();
/// session.send("in", [1, 2]).unwrap();
/// session.reload(()).unwrap(); // a new instance continues with the state
/// session.send("in", [3]).unwrap();
/// assert_eq!(session.finish().unwrap().outputs, [json!(1), json!(3), json!(6)]);
/// ```
#[derive(Debug)]
pub struct Session<T: Operator> {
    harness: Harness<Typed<T>>,
    ended: BTreeSet<usize>,
    /// The number of records sent so far, including to earlier instances.
    sent: usize,
    ran: Ran,
    heard: Heard,
}

impl<T: Operator> Session<T> {
    /// Opens the operator.
    ///
    /// # Errors
    /// Fails if the configuration is refused.
    pub fn open(config: impl Serialize) -> Result<Self> {
        let heard = Heard::now();
        Ok(Self {
            harness: Harness::open(&serde_json::to_string(&config)?)?,
            ended: BTreeSet::new(),
            sent: 0,
            ran: Ran::default(),
            heard,
        })
    }

    /// Passes a batch to an input port.
    ///
    /// # Errors
    /// Fails if the port does not exist, or the whole call fails. A rejected record is not an error: see
    /// [`Ran::rejected`].
    pub fn send(
        &mut self,
        port: &str,
        records: impl IntoIterator<Item = impl Serialize>,
    ) -> Result<()> {
        let port = Self::port(port)?;
        let records = records.into_iter().map(|datum| serde_json::to_vec(&datum));
        let records = records.collect::<Result<Vec<_>, _>>()?;
        self.harness.send(port, &records)?;
        let sent = self.sent;
        let rejected = self.harness.rejected.drain(..);
        self.ran
            .rejected
            .extend(rejected.map(|(index, reason)| (sent + index, reason)));
        self.sent += records.len();
        self.collect()
    }

    /// Calls `tick` with this time, in ms since 1970.
    ///
    /// # Errors
    /// Errors of the operator.
    pub fn tick(&mut self, now_ms: u64) -> Result<()> {
        self.harness.tick(now_ms)?;
        self.collect()
    }

    /// Ends an input port.
    ///
    /// # Errors
    /// Fails if the port does not exist, and with errors of the operator.
    pub fn end_input(&mut self, port: &str) -> Result<()> {
        let port = Self::port(port)?;
        self.ended.insert(port);
        self.harness.finish(port)?;
        self.collect()
    }

    /// Ends the remaining input ports, and returns the results since the last [`take`](Self::take).
    ///
    /// # Errors
    /// Errors of the operator.
    pub fn finish(mut self) -> Result<Ran> {
        for port in 0..Typed::<T>::INPUTS.len() {
            if !self.ended.contains(&port) {
                self.harness.finish(port)?;
            }
        }
        self.collect()?;
        Ok(self.take())
    }

    /// Returns the results since the last call. Records are numbered from the start of the session.
    pub fn take(&mut self) -> Ran {
        let mut ran = std::mem::take(&mut self.ran);
        (ran.counters, ran.log) = self.heard.since();
        self.heard = Heard::now();
        ran
    }

    /// Continues with a new instance with this configuration, which restores the state of the old one.
    ///
    /// # Errors
    /// Fails if the configuration or the state is refused; the old instance stays.
    pub fn reload(&mut self, config: impl Serialize) -> Result<()> {
        let saved = self.snapshot()?;
        let mut next = Harness::open(&serde_json::to_string(&config)?)?;
        next.restore(saved)?;
        self.harness = next;
        self.ended.clear();
        Ok(())
    }

    /// Returns the state that would be kept now.
    ///
    /// # Errors
    /// Errors of the operator.
    pub fn snapshot(&mut self) -> Result<State> {
        self.harness.snapshot()
    }

    /// Restores a state.
    ///
    /// # Errors
    /// Errors of the operator.
    pub fn restore(&mut self, saved: State) -> Result<()> {
        self.harness.restore(saved)
    }

    fn port(name: &str) -> Result<usize> {
        let ports = Typed::<T>::INPUTS;
        ports.iter().position(|port| *port == name).ok_or_else(|| {
            Error::new(format_args!(
                "no input port `{name}`; the ports are `{}`",
                ports.join("`, `")
            ))
        })
    }

    fn collect(&mut self) -> Result<()> {
        for (port, datum) in self.harness.take() {
            let name = Typed::<T>::OUTPUTS.get(port).copied().unwrap_or_default();
            self.ran.left(port, name, serde_json::from_slice(&datum)?);
        }
        Ok(())
    }
}

/// Creates a state in one part, as saved by an older version of an operator.
pub fn saved(version: u32, state: &[u8]) -> State {
    State {
        version,
        entries: vec![Entry {
            key: None,
            value: state.to_vec(),
        }],
    }
}
