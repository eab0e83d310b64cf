//! WebAssembly operators: engine, component, instance, limits.
//!
//! An operator is a component of the world in `wasm-sdk/wit/operator.wit`. [`Engine::load`]
//! compiles one or takes its code from the cache. [`Component::instantiate`] creates an
//! [`Instance`] with a configuration, and its methods pass batches of
//! [`Frames`](mosaik_streams::Frames) in and out with one copy each.
//!
//! A guest cannot affect others. It can call only the functions of the host interface (log, clock,
//! counters, outcomes) and use only its [`Grants`]. It has its own store, memory and time limits,
//! and its answers are checked before use. After a trap, a timeout, too much memory or a malformed
//! answer, its instance is dropped and the error gives the reason. The caller decides whether and
//! when to create a new one.
//!
//! All functions here block: call them on threads that serve no sockets. This module does not
//! depend on manifests or networks.

mod answer;
mod bindings;
mod budget;
mod cache;
mod call;
mod compile_cost;
mod component;
mod encode;
mod engine;
mod error;
mod grants;
mod host;
mod inspection;
mod instance;
mod limits;
mod live;
mod load;
mod log;
mod reports;
mod ticker;
mod wait;
mod wasi;

#[cfg(test)]
mod tests;

pub use answer::{Entry, Processed, Rejected, State};
pub(crate) use budget::{process_cpu_time, thread_cpu_time};
pub use cache::OTHER_CACHE;
pub use component::{Component, Description};
pub use engine::{Engine, EngineConfig};
pub use error::{CacheError, CallError, EngineError, LoadError, OpenError};
pub use grants::{Directory, Grants, HttpHost, Interfaces};
pub use host::{Events, Level, NoEvents};
pub use inspection::{Given, Import, Inspection};
pub use instance::{Binding, Instance, Setup};
pub use limits::{Limits, LoadLimits};
pub use load::WORLD;
pub use reports::{ClockTrace, Counted, CounterClass, Outcomes};
