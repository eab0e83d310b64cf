//! [`Line`]: a stage's line to the coordinator of the checkpoints.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::{Gate, StageId, StageImage, Writer, gate::Mark};

/// A barrier that sources put into their streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Begun {
    /// The number of its checkpoint; 0 before the first one.
    pub number: u64,
    /// True if the node stops after it: sources send nothing behind it.
    pub is_last: bool,
}

/// What a source hears from the coordinator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceSignal {
    /// A checkpoint begins.
    Begun(Begun),
    /// The stream takes records again.
    Open,
}

/// What a stage that reads streams hears from the coordinator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// A checkpoint begins here, because no input brings barriers.
    Begun(Begun),
    /// A checkpoint is over: it is complete, or given up.
    Over,
}

/// What the coordinator learns of a stage.
#[derive(Debug)]
pub(super) struct Note {
    pub(super) stage: StageId,
    /// The number of the stage's start, which tells it from its predecessors.
    pub(super) start: u64,
    pub(super) event: Event,
}

#[derive(Debug)]
pub(super) enum Event {
    /// It has passed a barrier.
    Passed(u64, StageImage),
    /// It has passed a barrier without a state, for this reason.
    Refused(u64, String),
    /// Its line was replaced before this barrier has passed all of its outputs.
    Replaced(u64),
    /// It has worked off everything.
    Ended(StageImage),
    /// It is gone.
    Left,
}

/// A stage's line to the coordinator. Stages of a node without checkpoints have a line too, on which nothing happens.
#[derive(Debug)]
pub struct Line(Option<Inner>);

#[derive(Debug)]
struct Inner {
    stage: StageId,
    start: u64,
    begun: watch::Receiver<Begun>,
    over: watch::Receiver<u64>,
    notes: mpsc::UnboundedSender<Note>,
    outputs: Vec<Writer>,
    inputs: Vec<Arc<Gate>>,
    /// The last barrier that the stage has passed.
    passed: u64,
}

impl Line {
    /// Returns the line of a stage whose node takes no checkpoints.
    pub const fn none() -> Self {
        Self(None)
    }

    pub(super) fn new(
        (stage, start): (StageId, u64),
        (begun, over): (watch::Receiver<Begun>, watch::Receiver<u64>),
        notes: mpsc::UnboundedSender<Note>,
        (inputs, outputs): (Vec<Arc<Gate>>, Vec<Writer>),
    ) -> Self {
        // The stage was not there when this checkpoint began.
        let passed = begun.borrow().number;
        Self(Some(Inner {
            stage,
            start,
            begun,
            over,
            notes,
            outputs,
            inputs,
            passed,
        }))
    }

    /// Replaces the line of a running stage. The outputs that only the old one has are left. If the old line has passed
    /// the barrier of a checkpoint that is under way, the checkpoint is given up: the outputs of the new line do not have
    /// the barrier.
    pub fn replace(&mut self, mut next: Self) {
        if let (Some(old), Some(next)) = (&self.0, &mut next.0)
            && old.passed > next.passed
        {
            next.passed = old.passed;
            old.note(Event::Replaced(old.passed));
        }
        *self = next;
    }

    /// Returns true if the node takes checkpoints.
    pub const fn is_used(&self) -> bool {
        self.0.is_some()
    }

    /// Waits for the next checkpoint, which begins at this source, or for the stream to take records again after the
    /// last one. Cancel safe.
    pub async fn source_signal(&mut self) -> SourceSignal {
        if !self.is_open() {
            self.opens().await;
            return SourceSignal::Open;
        }
        match &mut self.0 {
            Some(inner) => SourceSignal::Begun(inner.begins().await),
            None => std::future::pending().await,
        }
    }

    /// Waits for a checkpoint that this line has not passed, and returns its number. Cancel safe.
    pub async fn barrier(&mut self) -> u64 {
        match &mut self.0 {
            Some(inner) => inner.begins().await.number,
            None => std::future::pending().await,
        }
    }

    /// Returns the number of the checkpoint that has begun last.
    pub fn begun(&self) -> u64 {
        self.0
            .as_ref()
            .map_or(0, |inner| inner.begun.borrow().number)
    }

    /// Waits for a signal of the coordinator to a stage that reads streams. Cancel safe.
    pub async fn signal(&mut self) -> Signal {
        loop {
            let is_root = self.is_root();
            let Some(inner) = &mut self.0 else {
                return std::future::pending().await;
            };
            let mut over = inner.over.clone();
            let signal = tokio::select! {
                // Triggered when a checkpoint begins.
                begun = inner.begins(), if is_root => Signal::Begun(begun),
                // Triggered when a checkpoint is over.
                Ok(()) = over.changed() => {
                    inner.over.mark_unchanged();
                    Signal::Over
                }
                else => std::future::pending().await,
            };
            // Meanwhile the first writer may have joined, whose barrier comes behind its records.
            if signal == Signal::Over || self.is_root() {
                return signal;
            }
        }
    }

    /// Returns true if the stage's streams take records: no output waits for the barrier of another writer.
    pub fn is_open(&self) -> bool {
        let Some(inner) = &self.0 else { return true };
        let over = *inner.over.borrow();
        inner.outputs.iter().all(|output| output.is_open(over))
    }

    /// Waits until the stage's streams take records. Cancel safe.
    pub async fn opens(&self) {
        let Some(inner) = &self.0 else { return };
        for output in &inner.outputs {
            output.opens(&mut inner.over.clone()).await;
        }
    }

    /// Passes a barrier on to the stage's streams, and notes the state in which the stage has passed it.
    pub fn pass(&mut self, number: u64, image: StageImage) {
        if let Some(inner) = &mut self.0 {
            inner.pass(number, Event::Passed(number, image));
        }
    }

    /// Passes a barrier on, and notes that the checkpoint has to be given up, because the stage cannot note its state.
    pub fn refuse(&mut self, number: u64, reason: String) {
        if let Some(inner) = &mut self.0 {
            inner.pass(number, Event::Refused(number, reason));
        }
    }

    /// Notes the final state of a stage that has worked off everything. It counts for every later checkpoint.
    pub fn ends(&self, image: StageImage) {
        if let Some(inner) = &self.0 {
            inner.note(Event::Ended(image));
        }
    }

    /// Returns the alignment of the stage's inputs.
    pub fn alignment(&self) -> Alignment {
        Alignment {
            arrived: vec![false; self.0.as_ref().map_or(0, |inner| inner.inputs.len())],
            number: 0,
        }
    }

    /// Returns true if the input with this index brings a barrier.
    fn brings_barriers(&self, input: usize) -> bool {
        let Some(inner) = &self.0 else { return false };
        let gate = inner.inputs.get(input);
        gate.is_some_and(|gate| gate.brings_barriers(&inner.stage))
    }

    /// Returns true if no input brings barriers, so that checkpoints begin here.
    fn is_root(&self) -> bool {
        let inputs = self.0.as_ref().map_or(0, |inner| inner.inputs.len());
        (0..inputs).all(|input| !self.brings_barriers(input))
    }

    fn over(&self) -> u64 {
        self.0.as_ref().map_or(0, |inner| *inner.over.borrow())
    }
}

impl Inner {
    /// Waits for a checkpoint that the stage has not passed and that is not over.
    async fn begins(&mut self) -> Begun {
        loop {
            let passed = self.passed.max(*self.over.borrow());
            let begun = self.begun.wait_for(|begun| begun.number > passed).await;
            let Some(begun) = begun.ok().map(|begun| *begun) else {
                return std::future::pending().await;
            };
            if begun.number > *self.over.borrow() {
                return begun;
            }
        }
    }

    /// Passes a barrier on, and tells the coordinator.
    fn pass(&mut self, number: u64, event: Event) {
        self.passed = self.passed.max(number);
        for output in &mut self.outputs {
            output.pass(number);
        }
        self.note(event);
    }

    fn note(&self, event: Event) {
        // Once the coordinator is gone, there is nobody to tell.
        let _ = self.notes.send(Note {
            stage: self.stage.clone(),
            start: self.start,
            event,
        });
    }
}

/// Which inputs of a stage have brought the current barrier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alignment {
    arrived: Vec<bool>,
    number: u64,
}

impl Alignment {
    /// Notes a mark that an input has brought. A barrier that is over or older than the current one is ignored.
    pub fn arrive(&mut self, line: &Line, input: usize, mark: u64) {
        let number = match Mark::of(mark) {
            Mark::Barrier(number) => number,
            Mark::Left(left) => {
                if let Some(inner) = &line.0
                    && let Some(gate) = inner.inputs.get(input)
                {
                    gate.saw_left(&inner.stage, left);
                }
                return;
            }
        };
        if number <= line.over() || number < self.number {
            return;
        }
        if number > self.number {
            self.release();
            self.number = number;
        }
        if let Some(arrived) = self.arrived.get_mut(input) {
            *arrived = true;
        }
    }

    /// Returns true if the stage has to wait before it takes more from an input.
    pub fn holds(&self, input: usize) -> bool {
        self.arrived.get(input).copied().unwrap_or(false)
    }

    /// Returns the number of the barrier that every open input has brought.
    pub fn complete(&self, line: &Line, is_open: impl Fn(usize) -> bool) -> Option<u64> {
        let is_done = |(input, arrived): (usize, &bool)| {
            *arrived || !is_open(input) || !line.brings_barriers(input)
        };
        let any = self.arrived.contains(&true);
        (any && self.arrived.iter().enumerate().all(is_done)).then_some(self.number)
    }

    /// Lets all inputs go on: the barrier is passed, or over.
    pub fn release(&mut self) {
        self.arrived.fill(false);
    }

    /// Lets all inputs go on if the current barrier is over.
    pub fn release_if_over(&mut self, line: &Line) {
        if self.number <= line.over() {
            self.release();
        }
    }
}
