use mosaik_wasm_sdk::prelude::*;

#[derive(InputPorts)]
struct NoEnum {
    left: u32,
}

#[derive(InputPorts)]
enum Empty {}

#[derive(InputPorts)]
enum Generic<T> {
    Left(T),
}

#[derive(InputPorts)]
enum Fields {
    Left(u32),
    Right { n: u32 },
}

#[derive(OutputPorts)]
enum Unit {
    Out,
}

#[derive(OutputPorts)]
enum Pair {
    Out(u32, u32),
}

#[derive(OutputPorts)]
enum Twice {
    Out(u32),
    #[port = "out"]
    Late(u32),
}

#[derive(OutputPorts)]
enum BadName {
    #[port = "too late"]
    Late(u32),
}

#[derive(OutputPorts)]
enum NotSo {
    #[port(late)]
    Late(u32),
}

fn main() {}
