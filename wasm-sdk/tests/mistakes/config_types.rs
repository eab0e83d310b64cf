use mosaik_wasm_sdk::prelude::*;

struct NoConfiguration;

#[derive(OperatorConfig)]
struct Config {
    a: NoConfiguration,
}

fn main() {}
