use mosaik_wasm_sdk::prelude::*;

#[operator]
async fn waits(n: u32) -> u32 {
    n
}

#[operator]
fn generic<T>(n: T) -> T {
    n
}

#[operator]
fn nothing() -> u32 {
    1
}

#[operator]
fn too_much(a: u32, b: &u32, c: u32) -> u32 {
    a
}

#[operator]
fn config_by_value(n: u32, config: u32) -> u32 {
    n + config
}

#[operator]
fn borrowed(n: &u32) -> u32 {
    *n
}

#[operator]
fn silent(n: u32) {}

#[operator(state)]
fn remembers(n: u32) -> u32 {
    n
}

#[operator(version = 2)]
fn versioned(n: u32) -> u32 {
    n
}

#[operator]
struct NoFunction;

fn main() {}
