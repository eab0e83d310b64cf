use mosaik_wasm_sdk::prelude::*;

struct Op;

#[operator(sate)]
impl Operator for Op {}

#[operator(state, state = field)]
impl Operator for Op {}

#[operator(state, version = 0)]
impl Operator for Op {}

#[operator(state, version = "two")]
impl Operator for Op {}

#[operator(state, keyed)]
impl Operator for Op {}

#[operator(migrate = from_older)]
impl Operator for Op {}

#[operator(state, migrate = from_older)]
impl Operator for Op {}

#[operator(state, version 2)]
impl Operator for Op {}

#[operator(state)]
impl Operator for Op {
    fn snapshot(&self) -> Result<Vec<mosaik_wasm_sdk::Entry>> {
        Ok(Vec::new())
    }
}

#[operator]
impl Op {}

#[operator]
impl<T> Operator for Vec<T> {}

fn main() {}
