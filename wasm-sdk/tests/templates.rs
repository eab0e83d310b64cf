//! What `mosaik-runner new operator` writes: that it compiles with this SDK, and passes its own tests.

#[path = "../../runner/templates/operator/function.rs"]
mod function;
#[path = "../../runner/templates/operator/stateful.rs"]
mod stateful;
