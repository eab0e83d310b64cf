use mosaik_wasm_sdk::prelude::*;

struct Sums {
    sums: Vec<u32>,
}

#[operator(state = sums, keyed)]
impl Operator for Sums {
    type Config = NoConfig;
    type Input = u32;
    type Output = u32;

    fn open(_config: NoConfig) -> Result<Self> {
        Ok(Self { sums: Vec::new() })
    }

    fn process(&mut self, n: u32, out: &mut Out<'_, u32>) -> Result<()> {
        out.push(&n)
    }
}

fn main() {}
