//! [`Harness`]: tests an operator on encoded records, call by call.

use crate::frames::{Frames, push_frame};
use crate::{Binding, Driver, Error, FramesOperator, Result, State};

/// An open operator whose calls are answered completely (`resume` is called while there is more).
#[derive(Debug)]
pub struct Harness<O> {
    driver: Driver<O>,
    outputs: Vec<(usize, Vec<u8>)>,
    /// The rejected inputs: their index in their batch, and the reason.
    pub rejected: Vec<(usize, String)>,
    /// The number of answers so far.
    pub answers: usize,
}

impl<O: FramesOperator> Harness<O> {
    /// Opens the operator with a JSON stream on every port.
    ///
    /// # Errors
    /// Errors of the operator.
    pub fn open(config: &str) -> Result<Self> {
        let bind = |ports: &[&str]| {
            ports
                .iter()
                .map(|port| binding(port, "json"))
                .collect::<Vec<_>>()
        };
        Self::open_on(config, &bind(O::INPUTS), &bind(O::OUTPUTS))
    }

    /// Opens the operator with these streams.
    ///
    /// # Errors
    /// Errors of the operator, and an invalid JSON schema of its configuration, which the runner refuses.
    pub fn open_on(config: &str, inputs: &[Binding], outputs: &[Binding]) -> Result<Self> {
        if !O::CONFIG_SCHEMA.is_empty() {
            serde_json::from_str::<serde::de::IgnoredAny>(O::CONFIG_SCHEMA).map_err(|error| {
                Error::new(format_args!(
                    "the schema of the configuration is invalid JSON: {error}"
                ))
            })?;
        }
        let mut driver = Driver::new();
        driver.open(config, inputs, outputs)?;
        Ok(Self {
            driver,
            outputs: Vec::new(),
            rejected: Vec::new(),
            answers: 0,
        })
    }

    /// Passes a batch to an input port.
    ///
    /// # Errors
    /// Fails if the whole call fails.
    pub fn send(
        &mut self,
        port: usize,
        records: impl IntoIterator<Item = impl AsRef<[u8]>>,
    ) -> Result<()> {
        let mut batch = Vec::new();
        for datum in records {
            push_frame(&mut batch, datum.as_ref());
        }
        let answer = self.driver.process(port as u32, batch)?;
        self.keep(answer)
    }

    /// Calls `tick`.
    ///
    /// # Errors
    /// Errors of the operator.
    pub fn tick(&mut self, now_ms: u64) -> Result<()> {
        let answer = self.driver.tick(now_ms)?;
        self.keep(answer)
    }

    /// Ends an input.
    ///
    /// # Errors
    /// Errors of the operator.
    pub fn finish(&mut self, port: usize) -> Result<()> {
        let answer = self.driver.finish(port as u32)?;
        self.keep(answer)
    }

    /// Returns the state.
    ///
    /// # Errors
    /// Errors of the operator.
    pub fn snapshot(&mut self) -> Result<State> {
        self.driver.snapshot()
    }

    /// Restores a state.
    ///
    /// # Errors
    /// Errors of the operator.
    pub fn restore(&mut self, saved: State) -> Result<()> {
        self.driver.restore(saved)
    }

    /// Returns the outputs since the last call, with their ports.
    pub fn take(&mut self) -> Vec<(usize, Vec<u8>)> {
        std::mem::take(&mut self.outputs)
    }

    /// Returns the outputs since the last call, of all ports, as text.
    ///
    /// # Errors
    /// Fails if a record is not UTF-8.
    pub fn take_text(&mut self) -> Result<Vec<String>> {
        self.take()
            .into_iter()
            .map(|(_, datum)| String::from_utf8(datum).map_err(Error::from))
            .collect()
    }

    /// Returns the driver, for calls whose answers are inspected one by one.
    pub fn driver(&mut self) -> &mut Driver<O> {
        &mut self.driver
    }

    fn keep(&mut self, mut answer: crate::Answer) -> Result<()> {
        loop {
            self.answers += 1;
            for output in answer.outputs {
                for datum in Frames::new(&output.frames) {
                    self.outputs.push((output.port as usize, datum?.to_vec()));
                }
            }
            let rejected = answer
                .rejected
                .into_iter()
                .map(|rejected| (rejected.index as usize, rejected.reason));
            self.rejected.extend(rejected);
            if !answer.more {
                return Ok(());
            }
            answer = self.driver.resume()?;
        }
    }
}

/// Creates a binding of a stream named `test` to a port.
pub fn binding(port: &str, encoding: &str) -> Binding {
    Binding {
        port: port.to_owned(),
        stream_name: "test".to_owned(),
        encoding: encoding.to_owned(),
    }
}
