//! The operator world of `wasm-sdk/wit/operator.wit` as wasmtime's types. This module is generated.

wasmtime::component::bindgen!({
    path: "../wasm-sdk/wit",
    world: "operator",
    // A call is a future, so that a call that waits in the host can be cancelled.
    exports: { default: async },
    // Parameters are borrowed, so that a batch is copied only once: into the guest's memory.
    ownership: Borrowing { duplicate_if_necessary: true },
});

pub(super) use mosaik::operator::types;
