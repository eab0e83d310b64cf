//! [`Instance`]: one running operator, with a store of its own that is thrown away when anything goes wrong in it.

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

/// A stream on a port, as the guest is told in `open`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The port's name, one that the operator describes. A port may have several bindings, or none.
    pub port: String,
    /// The stream's name.
    pub stream: String,
    /// `json`, `text`, `bytes` or `postcard`.
    pub encoding: String,
}

/// What an instance is made with.
#[derive(Clone)]
pub struct Setup {
    /// What the operator is called in messages.
    pub name: String,
    /// Its configuration, JSON.
    pub config: String,
    /// Parts of the configuration that are masked in all that the operator says.
    pub secrets: Vec<String>,
    /// What is bound to its input ports.
    pub inputs: Vec<Binding>,
    /// What is bound to its output ports.
    pub outputs: Vec<Binding>,
    /// What it may use.
    pub limits: Limits,
    /// What it may reach. What its component was loaded without is not reached either way.
    pub grants: Grants,
    /// Where its log lines and counters go.
    pub events: Arc<dyn Events>,
}

/// A running operator. Owned by one thread at a time; every call blocks until the guest has answered or used up its
/// [`Limits::call_time_max`] or [`Limits::call_wait_max`].
///
/// A guest that traps, runs out of time or memory or answers nonsense is gone at once, its memory given back; every
/// later call is [`CallError::Poisoned`]. Ports are numbered by their position in
/// [`Description`](super::Description), however few of them are bound.
pub struct Instance {
    component: Component,
    name: String,
    limits: Limits,
    pending: Pending,
    /// Whether the last answer is about the whole state: each part of it may take as long as a state may.
    answers_of_state: bool,
    /// A batch may take as long as one of so many records.
    records_min: usize,
    /// Gone after a fatal error.
    live: Option<Live>,
    /// What the clock answered in the call that failed.
    last_clock: ClockTrace,
}

impl Component {
    /// Makes an instance and calls its `open`.
    ///
    /// Blocks for [`Limits::open_time_max`] of CPU time at most while it is instantiated, and again in `open`.
    ///
    /// # Errors
    /// When a binding names a port that is not described, and as every call; [`CallError::Refused`] is what `open`
    /// says of the configuration.
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
    /// Holds it to other limits from its next call on. Memory that it has already stays, even if it is more.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
        if let Some(live) = &mut self.live {
            live.store.data_mut().set_limits(limits);
        }
    }

    /// Gives every batch at least the time that one of so many records has.
    pub fn set_records_min(&mut self, records: usize) {
        self.records_min = records;
    }

    /// Hands a batch to the input port of that number.
    ///
    /// # Errors
    /// See [`CallError`]. [`Refused`](CallError::Refused) means the whole batch and leaves the instance usable.
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

    /// Asks for the rest, after an answer with [`Processed::more`].
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

    /// Tells it that time has passed.
    ///
    /// # Errors
    /// See [`CallError`]. An operator may refuse this and every other call while [`Processed::more`] waits for
    /// [`resume`](Self::resume).
    pub fn tick(&mut self) -> Result<Processed, CallError> {
        self.answers_of_state = true;
        self.answer(
            "tick",
            Some(0),
            self.limits.open_budget(),
            async |operator, store| operator.call_tick(store).await,
        )
    }

    /// Tells it that nothing more comes on an input port.
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

    /// Asks what it remembers.
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

    /// Gives it what its predecessor remembered, before the first batch.
    ///
    /// # Errors
    /// See [`CallError`]; [`Refused`](CallError::Refused) if it can't make anything of that state.
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

    /// What `now` has answered since the calls were last begun, also if the last of them failed.
    pub fn take_clock(&mut self) -> ClockTrace {
        let trace = match &mut self.live {
            Some(live) => &mut live.store.data_mut().clock.trace,
            None => &mut self.last_clock,
        };
        std::mem::take(trace)
    }

    /// Begins calls: `now` answers as in an earlier attempt at them, then it tells the time.
    pub fn begin(&mut self, clock: ClockTrace) {
        self.begin_calls(clock, false);
    }

    /// Begins to repeat calls: `now` answers as it did then, and what the guest logs and counts is left out.
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

    /// Leaves out what the guest has counted since it was last asked.
    pub fn forget_reports(&mut self) {
        if let Some(live) = &mut self.live {
            let reports = &mut live.store.data_mut().reports;
            reports.outcomes = Outcomes::default();
            reports.counted.clear();
        }
    }

    /// What it is called in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is an instance of.
    pub const fn component(&self) -> &Component {
        &self.component
    }

    /// Whether an earlier call failed so that every further one is [`CallError::Poisoned`].
    pub const fn is_poisoned(&self) -> bool {
        self.live.is_none()
    }

    /// Bytes of linear memory it has now; none once it is poisoned.
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

    /// A call that answers with what leaves, about a batch of so many `datums`, or about the one before.
    fn answer(
        &mut self,
        call: &'static str,
        datums: Option<usize>,
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
        // Before they are cut, so that no front of a secret is left.
        if let Some(live) = &self.live {
            for rejected in &mut said.rejected {
                let reason = std::mem::take(&mut rejected.reason);
                rejected.reason = live.store.data().log.masked(reason);
            }
        }
        // Only now: a guest that refuses a call because the rest of its last answer is due still owes that rest.
        if let Some(datums) = datums {
            self.pending.begin(datums);
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

/// Asks a component what it is, in an instance of its own that is gone afterwards.
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
