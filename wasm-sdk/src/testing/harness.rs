//! [`Harness`]: an open operator on raw datums, call by call.

use crate::frames::{Frames, push_frame};
use crate::{Binding, Driver, Error, FramesOperator, Result, State};

/// An open operator, its calls answered whole (`resume` is called as long as there is more).
#[derive(Debug)]
pub struct Harness<O> {
    driver: Driver<O>,
    outputs: Vec<(usize, Vec<u8>)>,
    /// Inputs that were refused, by their index in their batch, and why.
    pub rejected: Vec<(usize, String)>,
    /// Answers that were given so far.
    pub answers: usize,
}

impl<O: FramesOperator> Harness<O> {
    /// Opens with a JSON stream on every port.
    ///
    /// # Errors
    /// The operator's.
    pub fn open(config: &str) -> Result<Self> {
        let bind = |ports: &[&str]| {
            ports
                .iter()
                .map(|port| binding(port, "json"))
                .collect::<Vec<_>>()
        };
        Self::open_on(config, &bind(O::INPUTS), &bind(O::OUTPUTS))
    }

    /// Opens with these streams.
    ///
    /// # Errors
    /// The operator's; and if its configuration's schema is not JSON, which a runner refuses.
    pub fn open_on(config: &str, inputs: &[Binding], outputs: &[Binding]) -> Result<Self> {
        if !O::CONFIG_SCHEMA.is_empty() {
            serde_json::from_str::<serde::de::IgnoredAny>(O::CONFIG_SCHEMA).map_err(|error| {
                Error::new(format_args!(
                    "the configuration's schema is not JSON: {error}"
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

    /// Hands over a batch.
    ///
    /// # Errors
    /// When the call fails whole.
    pub fn send(
        &mut self,
        port: usize,
        datums: impl IntoIterator<Item = impl AsRef<[u8]>>,
    ) -> Result<()> {
        let mut batch = Vec::new();
        for datum in datums {
            push_frame(&mut batch, datum.as_ref());
        }
        let answer = self.driver.process(port as u32, batch)?;
        self.keep(answer)
    }

    /// Lets it see the clock.
    ///
    /// # Errors
    /// The operator's.
    pub fn tick(&mut self, now_ms: u64) -> Result<()> {
        let answer = self.driver.tick(now_ms)?;
        self.keep(answer)
    }

    /// Ends an input.
    ///
    /// # Errors
    /// The operator's.
    pub fn finish(&mut self, port: usize) -> Result<()> {
        let answer = self.driver.finish(port as u32)?;
        self.keep(answer)
    }

    /// Its state.
    ///
    /// # Errors
    /// The operator's.
    pub fn snapshot(&mut self) -> Result<State> {
        self.driver.snapshot()
    }

    /// Takes up a state.
    ///
    /// # Errors
    /// The operator's.
    pub fn restore(&mut self, saved: State) -> Result<()> {
        self.driver.restore(saved)
    }

    /// What has left since the last call, by port.
    pub fn take(&mut self) -> Vec<(usize, Vec<u8>)> {
        std::mem::take(&mut self.outputs)
    }

    /// What has left since the last call, all ports together, as text.
    ///
    /// # Errors
    /// When a datum is not UTF-8.
    pub fn take_text(&mut self) -> Result<Vec<String>> {
        self.take()
            .into_iter()
            .map(|(_, datum)| String::from_utf8(datum).map_err(Error::from))
            .collect()
    }

    /// The driver, for calls whose answers are to be seen one by one.
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

/// A stream named `test` on a port.
pub fn binding(port: &str, encoding: &str) -> Binding {
    Binding {
        port: port.to_owned(),
        stream_name: "test".to_owned(),
        encoding: encoding.to_owned(),
    }
}
