//! A declarative dataflow runner: reads a YAML graph of stream producers, WASM operators and
//! consumers, builds every edge from [`mosaik_streams`], and switches to a changed manifest while
//! it runs.
//!
//! The dependencies between the modules: `cli → control → topology → stage → {operator, connector,
//! streams}` and `topology → graph → manifest`. `manifest` and `graph` depend on no runtime, no
//! network and no WebAssembly.

pub mod cli;
mod complaints;
pub mod connector;
pub mod control;
mod files;
#[cfg(test)]
mod generated;
pub mod graph;
mod machine;
pub mod manifest;
pub mod operator;
mod secrets;
pub mod stage;
pub mod topology;
