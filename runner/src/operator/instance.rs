//! [`Instance`]: one running operator with its own store, which is discarded on any fatal error.

use std::sync::Arc;

use mosaik_streams::Frames;
use wasmtime::Store;

use super::answer::{self, Pending, Processed, State};
use super::bindings::{Operator, OperatorPre, types};
use super::budget::Budget;
use super::call::Terms;
use super::component::Component;
use super::engine::Inner;
use super::error::{CallError, OpenError};
use super::grants::{Grants, Interfaces};
use super::host::{Events, HostState, NoEvents};
use super::limits::{Limits, LoadLimits};
use super::live::{Live, enter, start, state};
use super::reports::{ClockTrace, Outcomes};

/// A stream on a port, as passed to the guest in `open`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The name of a port that the operator describes. A port may have several bindings, or none.
    pub port: String,
    /// The name of the stream.
    pub stream: String,
    /// `json`, `text`, `bytes` or `postcard`.
    pub encoding: String,
}

/// The parameters of an instance.
#[derive(Clone)]
pub struct Setup {
    /// The name of the operator in messages.
    pub name: String,
    /// Its configuration as JSON.
    pub config: String,
    /// Parts of the configuration that are masked in all its messages.
    pub secrets: Vec<String>,
    /// The bindings of its input ports.
    pub inputs: Vec<Binding>,
    /// The bindings of its output ports.
    pub outputs: Vec<Binding>,
    /// The limits of the instance.
    pub limits: Limits,
    /// Its grants. Interfaces that its component was loaded without stay unavailable.
    pub grants: Grants,
    /// The receiver of its log lines.
    pub events: Arc<dyn Events>,
}

/// A running operator, owned by one thread at a time. Every call blocks until the guest has
/// answered or exceeds its [`Limits::call_time_max`] or [`Limits::call_wait_max`].
///
/// If a guest traps, exceeds its time or memory, or gives a malformed answer, it is dropped
/// immediately and its memory is freed. Every later call returns [`CallError::Poisoned`]. Ports are
/// numbered by their position in [`Description`](super::Description), including unbound ones.
pub struct Instance {
    component: Component,
    name: String,
    limits: Limits,
    pending: Pending,
    /// True if the last answer is about the whole state: each part of it then has the time limit of
    /// a state call.
    answers_of_state: bool,
    /// A batch has at least the time limit of a batch with this number of records.
    records_min: usize,
    /// `None` after a fatal error.
    live: Option<Live>,
    /// The clock values of the call that failed.
    last_clock: ClockTrace,
}

impl Component {
    /// Creates an instance and calls its `open`.
    ///
    /// Blocks for at most [`Limits::open_time_max`] of CPU time during instantiation, and again in
    /// `open`.
    ///
    /// # Errors
    /// A binding names an unknown port, or a call fails. [`CallError::Refused`] is the reply of
    /// `open` to the configuration.
    pub fn instantiate(&self, setup: Setup) -> Result<Instance, OpenError> {
        let description = self.description();
        for (direction, bindings, known) in [
            ("input", &setup.inputs, &description.inputs),
            ("output", &setup.outputs, &description.outputs),
        ] {
            if let Some(unknown) = bindings
                .iter()
                .find(|binding| !known.contains(&binding.port))
            {
                return Err(OpenError::UnknownPort {
                    direction,
                    port: unknown.port.clone(),
                    known: known.clone(),
                });
            }
        }
        let Setup {
            name,
            config,
            secrets,
            inputs,
            outputs,
            limits,
            grants,
            events,
        } = setup;
        let terms = Terms {
            operator: &name,
            call: "open",
            budget: limits.open_budget(),
            answer_bytes_max: limits.output_bytes_max,
            memory_bytes_max: limits.memory_bytes_max,
        };
        let engine = &self.inner.engine;
        let state = state(
            engine,
            limits,
            events,
            (&grants, self.inner.interfaces),
            &secrets,
        )
        .map_err(OpenError::Grant)?;
        let mut live = start(engine, &self.inner.pre, state, terms)?;
        let (inputs, outputs) = (lower(&inputs), lower(&outputs));
        enter(engine, &mut live, terms, async |operator, store| {
            operator.call_open(store, &config, &inputs, &outputs).await
        })?
        .map_err(|refusal| live.refused(refusal, &limits))?;
        Ok(Instance {
            component: self.clone(),
            name,
            limits,
            pending: Pending::default(),
            answers_of_state: false,
            records_min: 0,
            live: Some(live),
            last_clock: ClockTrace::default(),
        })
    }
}

impl Instance {
    /// Sets the limits that apply from the next call on. Existing memory stays, even if it exceeds
    /// them.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
        if let Some(live) = &mut self.live {
            live.store.data_mut().set_limits(limits);
        }
    }

    /// Gives every batch at least the time limit of a batch with `records` records.
    pub fn set_records_min(&mut self, records: usize) {
        self.records_min = records;
    }

    /// Passes a batch to the input port with this number.
    ///
    /// # Errors
    /// See [`CallError`]. [`Refused`](CallError::Refused) applies to the whole batch and leaves the
    /// instance usable.
    pub fn process(&mut self, port: u32, batch: &Frames) -> Result<Processed, CallError> {
        self.check_input(port)?;
        let (len, max) = (batch.wire_len(), self.limits.memory_bytes_max);
        if len > max {
            return Err(CallError::BatchTooLarge { len, max });
        }
        let records = batch.count();
        let budget = self.limits.call_budget(records.max(self.records_min));
        self.answers_of_state = false;
        self.answer("process", Some(records), budget, async |operator, store| {
            operator.call_process(store, port, batch.as_wire()).await
        })
    }

    /// Requests the rest of the answer, after an answer with [`Processed::more`].
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn resume(&mut self) -> Result<Processed, CallError> {
        let budget = if self.answers_of_state {
            self.limits.open_budget()
        } else {
            self.limits.call_budget(0)
        };
        self.answer("resume", None, budget, async |operator, store| {
            operator.call_resume(store).await
        })
    }

    /// Notifies the operator that time has passed.
    ///
    /// # Errors
    /// See [`CallError`]. An operator may refuse this and every other call while
    /// [`Processed::more`] waits for [`resume`](Self::resume).
    pub fn tick(&mut self) -> Result<Processed, CallError> {
        self.answers_of_state = true;
        self.answer(
            "tick",
            Some(0),
            self.limits.open_budget(),
            async |operator, store| operator.call_tick(store).await,
        )
    }

    /// Notifies the operator that an input port has ended.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn finish(&mut self, port: u32) -> Result<Processed, CallError> {
        self.check_input(port)?;
        self.answers_of_state = true;
        self.answer(
            "finish",
            Some(0),
            self.limits.open_budget(),
            async |operator, store| operator.call_finish(store, port).await,
        )
    }

    /// Requests the operator's state.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn snapshot(&mut self) -> Result<State, CallError> {
        let (budget, answer_bytes_max) = (self.limits.open_budget(), self.limits.state_bytes_max);
        let said = self.call(
            "snapshot",
            budget,
            answer_bytes_max,
            async |operator, store| operator.call_snapshot(store).await,
        )?;
        said.map(State::lift)
            .map_err(|refusal| self.refused(refusal))
    }

    /// Restores the state of a predecessor, before the first batch.
    ///
    /// # Errors
    /// See [`CallError`]; [`Refused`](CallError::Refused) if the operator cannot use that state.
    pub fn restore(&mut self, saved: &State) -> Result<(), CallError> {
        let (budget, answer_bytes_max) = (self.limits.open_budget(), self.limits.output_bytes_max);
        saved
            .lower(|saved| {
                self.call(
                    "restore",
                    budget,
                    answer_bytes_max,
                    async |operator, store| operator.call_restore(store, saved).await,
                )
            })?
            .map_err(|refusal| self.refused(refusal))
    }

    /// Takes the values that `now` has returned since the calls were last begun, including those of
    /// a failed last call.
    pub fn take_clock(&mut self) -> ClockTrace {
        let trace = match &mut self.live {
            Some(live) => &mut live.store.data_mut().clock.trace,
            None => &mut self.last_clock,
        };
        std::mem::take(trace)
    }

    /// Begins calls: `now` first returns the values of an earlier attempt, then the time.
    pub fn begin(&mut self, clock: ClockTrace) {
        self.begin_calls(clock, false);
    }

    /// Begins to repeat calls: `now` returns the recorded values, and the guest's log lines and
    /// counts are ignored.
    pub fn repeat(&mut self, clock: ClockTrace) {
        self.begin_calls(clock, true);
    }

    fn begin_calls(&mut self, clock: ClockTrace, are_known: bool) {
        if let Some(live) = &mut self.live {
            let state = live.store.data_mut();
            state.muted = are_known;
            state.clock.begin(clock, are_known);
        }
    }

    /// Discards the guest's counts since they were last taken.
    pub fn forget_reports(&mut self) {
        if let Some(live) = &mut self.live {
            let reports = &mut live.store.data_mut().reports;
            reports.outcomes = Outcomes::default();
            reports.counted.clear();
        }
    }

    /// Returns its name in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the component of the instance.
    pub const fn component(&self) -> &Component {
        &self.component
    }

    /// Returns true if an earlier call failed, so that every further one returns
    /// [`CallError::Poisoned`].
    pub const fn is_poisoned(&self) -> bool {
        self.live.is_none()
    }

    /// Returns the current size of its linear memory in bytes: 0 once it is poisoned.
    pub fn memory_bytes(&self) -> usize {
        self.live
            .as_ref()
            .map_or(0, |live| live.store.data().limiter.memory_bytes())
    }

    fn check_input(&self, port: u32) -> Result<(), CallError> {
        let count = self.component.description().inputs.len();
        if port as usize >= count {
            Err(CallError::NoSuchPort { port, count })
        } else {
            Ok(())
        }
    }

    fn refused(&self, refusal: String) -> CallError {
        match &self.live {
            Some(live) => live.refused(refusal, &self.limits),
            None => CallError::Poisoned,
        }
    }

    /// Makes a call that returns output, about a batch of `records` records, or about the
    /// previous batch.
    fn answer(
        &mut self,
        call: &'static str,
        records: Option<usize>,
        budget: Budget,
        f: impl AsyncFnOnce(
            &Operator,
            &mut Store<HostState>,
        ) -> wasmtime::Result<Result<types::Processed, String>>,
    ) -> Result<Processed, CallError> {
        let answer_bytes_max = self.limits.output_bytes_max;
        let mut said = self
            .call(call, budget, answer_bytes_max, f)?
            .map_err(|refusal| self.refused(refusal))?;
        // Mask secrets before the texts are cut, so that no prefix of a secret remains.
        if let Some(live) = &self.live {
            for rejected in &mut said.rejected {
                let reason = std::mem::take(&mut rejected.reason);
                rejected.reason = live.store.data().log.masked(reason);
            }
        }
        // Only now: a guest that refuses a call because the rest of its last answer is due must
        // still deliver that rest.
        if let Some(records) = records {
            self.pending.begin(records);
        }
        let ports = self.component.description().outputs.len();
        let mut processed =
            answer::check(said, ports, &self.limits, &mut self.pending).map_err(|what| {
                self.poison();
                CallError::Malformed { call, what }
            })?;
        if let Some(live) = &mut self.live {
            let reports = &mut live.store.data_mut().reports;
            processed.outcomes = std::mem::take(&mut reports.outcomes);
            processed.counted = std::mem::take(&mut reports.counted);
        }
        Ok(processed)
    }

    fn call<R>(
        &mut self,
        call: &'static str,
        budget: Budget,
        answer_bytes_max: usize,
        f: impl AsyncFnOnce(&Operator, &mut Store<HostState>) -> wasmtime::Result<R>,
    ) -> Result<R, CallError> {
        let live = self.live.as_mut().ok_or(CallError::Poisoned)?;
        let memory_bytes_max = self.limits.memory_bytes_max;
        let terms = Terms {
            operator: &self.name,
            call,
            budget,
            answer_bytes_max,
            memory_bytes_max,
        };
        let said = enter(&self.component.inner.engine, live, terms, f);
        if said.is_err() {
            self.poison();
        }
        said
    }

    fn poison(&mut self) {
        self.last_clock = self.take_clock();
        self.live = None;
    }
}

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instance")
            .field("name", &self.name)
            .field("component", &self.component)
            .field("poisoned", &self.is_poisoned())
            .finish_non_exhaustive()
    }
}

/// Requests a component's description from a temporary instance.
pub(super) fn describe(
    engine: &Inner,
    pre: &OperatorPre<HostState>,
    limits: LoadLimits,
    interfaces: Interfaces,
) -> Result<types::Description, CallError> {
    let LoadLimits {
        memory_bytes_max,
        describe_time_max,
        ..
    } = limits;
    let limits = Limits {
        memory_bytes_max,
        ..Limits::default()
    };
    let terms = Terms {
        operator: "",
        call: "describe",
        budget: Budget {
            cpu: describe_time_max,
            wait: limits.call_wait_max,
        },
        answer_bytes_max: limits.output_bytes_max,
        memory_bytes_max,
    };
    let state = state(
        engine,
        limits,
        Arc::new(NoEvents),
        (&Grants::default(), interfaces),
        &[],
    );
    let mut live = start(engine, pre, state.map_err(CallError::Refused)?, terms)?;
    enter(engine, &mut live, terms, async |operator, store| {
        operator.call_describe(store).await
    })
}

fn lower<'a>(bindings: &'a [Binding]) -> Vec<types::Binding<'a>> {
    let binding = |binding: &'a Binding| types::Binding {
        port: &binding.port,
        stream_name: &binding.stream,
        encoding: &binding.encoding,
    };
    bindings.iter().map(binding).collect()
}
