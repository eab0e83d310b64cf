//! The operator world of `wasm-sdk/wit/operator.wit`, as wasmtime's types. Nothing here is written by hand.

wasmtime::component::bindgen!({
    path: "../wasm-sdk/wit",
    world: "operator",
    // A call is a future, so that one that waits in the host can be ended.
    exports: { default: async },
    // Parameters are borrowed, so that a batch is copied once: into the guest's memory.
    ownership: Borrowing { duplicate_if_necessary: true },
});

pub(super) use mosaik::operator::types;
