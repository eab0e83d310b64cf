//! [`Live`]: a guest in its own store, instantiated and called on the terms of each call.

use std::sync::Arc;

use wasmtime::{Store, UpdateDeadline};

use super::answer::shorten;
use super::bindings::{Operator, OperatorPre};
use super::call::{Terms, hold};
use super::engine::Inner;
use super::error::CallError;
use super::grants::{Grants, Interfaces};
use super::host::{Events, HostState};
use super::limits::Limits;
use super::log::Log;
use super::wasi::Wasi;

pub(super) struct Live {
    pub(super) store: Store<HostState>,
    operator: Operator,
}

impl Live {
    /// Returns the error for a guest's refusal, with its secrets masked.
    pub(super) fn refused(&self, refusal: String, limits: &Limits) -> CallError {
        let refusal = self.store.data().log.masked(refusal);
        CallError::Refused(shorten(refusal, limits.reason_bytes_max))
    }
}

/// Returns the initial state of a store, which contains everything that its guest can use.
pub(super) fn state(
    engine: &Inner,
    limits: Limits,
    events: Arc<dyn Events>,
    (grants, interfaces): (&Grants, Interfaces),
    secrets: &[String],
) -> Result<HostState, String> {
    let granted = grants.env.iter().map(|(_, value)| value);
    let secrets: Vec<String> = granted.chain(secrets).cloned().collect();
    let log = Log::new(limits, Arc::clone(&events), &secrets);
    let mut state = HostState::new(limits, events, log);
    if interfaces != Interfaces::default() {
        let runtime = engine
            .waits
            .handle()
            .map_err(|error| format!("cannot start the threads that wait for it: {error}"))?;
        state.wasi = Some(Box::new(Wasi::new(grants, &state.log, runtime)?));
    }
    Ok(state)
}

/// Instantiates a component in a new store. The terms also apply to code that runs during
/// instantiation.
pub(super) fn start(
    engine: &Inner,
    pre: &OperatorPre<HostState>,
    state: HostState,
    terms: Terms<'_>,
) -> Result<Live, CallError> {
    let mut store = Store::new(&engine.wasm, state);
    store.limiter(|state| &mut state.limiter);
    store.epoch_deadline_callback(|mut store| {
        let epochs = store.data_mut().meter.look();
        Ok(UpdateDeadline::Continue(
            epochs.map_err(wasmtime::Error::new)?,
        ))
    });
    let operator = hold(engine, &mut store, terms, async |store| {
        pre.instantiate_async(store).await
    })?;
    Ok(Live { store, operator })
}

pub(super) fn enter<R>(
    engine: &Inner,
    live: &mut Live,
    terms: Terms<'_>,
    call: impl AsyncFnOnce(&Operator, &mut Store<HostState>) -> wasmtime::Result<R>,
) -> Result<R, CallError> {
    let Live { store, operator } = live;
    hold(engine, store, terms, async |store| {
        call(operator, store).await
    })
}
