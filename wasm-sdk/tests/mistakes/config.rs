use mosaik_wasm_sdk::prelude::*;

#[derive(OperatorConfig)]
struct Unknown {
    #[config(least = 1)]
    a: u32,
}

#[derive(OperatorConfig)]
#[config(strict)]
struct UnknownOnType {}

#[derive(OperatorConfig)]
struct DefaultOfOption {
    #[config(default = 1)]
    a: Option<u32>,
}

#[derive(OperatorConfig)]
struct DefaultAndUnset {
    #[config(default = 1, unset = "none")]
    a: u32,
}

#[derive(OperatorConfig)]
struct DefaultOfCode {
    #[config(default = usize::MAX)]
    a: usize,
}

#[derive(OperatorConfig)]
struct NoSuchField {
    #[config(requires(b))]
    a: Option<u32>,
}

#[derive(OperatorConfig)]
struct Generic<T> {
    a: T,
}

#[derive(OperatorConfig)]
struct Unnamed(u32);

#[derive(OperatorConfig)]
enum Variants {
    A(u32),
}

#[derive(OperatorConfig)]
#[config(schema = "{}")]
struct SchemaTwice {}

fn main() {}
