use mosaik_wasm_sdk::prelude::*;

struct NotSerde;

#[operator]
fn input(n: NotSerde) -> usize {
    size_of_val(&n)
}

fn main() {}
