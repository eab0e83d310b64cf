//! Running operators natively, without WebAssembly: [`run`] for a typed one, [`Harness`] for the calls one by one.

use crate::frames::{Frames, push_frame};
use crate::{Binding, Driver, Error, FramesOperator, Operator, Result, State, Typed};
use serde::Serialize;
use serde_json::Value;

/// What [`run`] saw.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ran {
    /// What left by the first output port.
    pub outputs: Vec<Value>,
    /// What left by the others, with the port's name.
    pub others: Vec<(String, Value)>,
    /// Inputs that were refused, by index, and why.
    pub rejected: Vec<(usize, String)>,
}

/// Opens `T`, hands it the inputs on its first port as one batch of JSON, and finishes it.
///
/// # Errors
/// When the configuration is refused, or a call fails.
pub fn run<T: Operator>(
    config: impl Serialize,
    inputs: impl IntoIterator<Item = impl Serialize>,
) -> Result<Ran> {
    run_frames::<Typed<T>>(config, inputs)
}

/// [`run`] for a [`FramesOperator`].
///
/// # Errors
/// As [`run`].
pub fn run_frames<O: FramesOperator>(
    config: impl Serialize,
    inputs: impl IntoIterator<Item = impl Serialize>,
) -> Result<Ran> {
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
        let datum = serde_json::from_slice(&datum)?;
        match port {
            0 => ran.outputs.push(datum),
            _ => ran.others.push((
                O::OUTPUTS.get(port).copied().unwrap_or_default().to_owned(),
                datum,
            )),
        }
    }
    Ok(ran)
}

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
    /// The operator's.
    pub fn open_on(config: &str, inputs: &[Binding], outputs: &[Binding]) -> Result<Self> {
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

#[cfg(not(target_arch = "wasm32"))]
pub use stand_ins::{counted, log_to_stderr, logged, set_now};

#[cfg(not(target_arch = "wasm32"))]
mod stand_ins {
    use crate::host::{Level, imp};

    /// What this thread has counted under the name since the last call.
    pub fn counted(name: &str) -> u64 {
        imp::COUNTED.with_borrow_mut(|counters| counters.remove(name).unwrap_or_default())
    }

    /// What this thread has logged since the last call; at most the last thousand lines.
    pub fn logged() -> Vec<(Level, String)> {
        imp::LOGGED.with_borrow_mut(|lines| lines.drain(..).collect())
    }

    /// Whether what this thread logs goes to stderr too. Off by default.
    pub fn log_to_stderr(on: bool) {
        imp::LOG_TO_STDERR.set(on);
    }

    /// Sets this thread's clock, in ms since 1970; `None` for the system's.
    pub fn set_now(now_ms: Option<u64>) {
        imp::NOW.set(now_ms);
    }
}
