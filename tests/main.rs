//! Tests the program from outside. Each module covers one subject; `cargo test --workspace --test
//! runner SUBJECT::` runs one.
//!
//! The tests form one program, because each further one would link the runner and wasmtime again.
//! Tests that measure their own process are separate: `allocations`, `mutation` and `sandbox`.

mod support;

mod built_operators;
mod checkpoints;
mod cli;
mod conservation;
mod control;
mod control_nodes;
mod files;
mod grants;
mod guests;
mod guides;
mod house;
mod instances;
mod kill;
mod languages;
mod native;
mod new;
mod node_mistakes;
mod operators_page;
mod outputs;
mod pages;
mod policies;
mod quickstart;
mod readme_examples;
mod reload;
mod reload_load;
mod restart;
mod rewire;
mod rollback;
mod sdk;
mod starting;
mod traps;
mod troubleshooting;
mod try_operator;
mod two_nodes;
mod ui;
mod watching;
