//! A declarative dataflow runner: reads a YAML graph of stream producers, WASM operators and
//! consumers, builds every edge from [`mosaik_streams`], and switches to a changed manifest while
//! it runs.
//!
//! The dependencies between the modules: `cli → control → topology → stage → {operator, connector,
//! streams}`, `topology → components → {operator, graph}`, `graph → manifest → connector` and
//! `{manifest, connector} → declare`.
//! `declare`, `manifest` and `graph` need no runtime, no network and no WebAssembly.

pub mod checkpoint;
pub mod cli;
mod code;
pub mod components;
pub mod connector;
pub mod control;
pub mod declare;
mod files;
#[cfg(test)]
mod generated;
pub mod graph;
mod machine;
pub mod manifest;
pub mod operator;
mod rate_limited_warnings;
mod secrets;
pub mod stage;
pub mod topology;
