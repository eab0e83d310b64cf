use mosaik_wasm_sdk::prelude::*;

#[derive(Serialize, Deserialize)]
struct Sum(u32);

fn from_older(_version: u32) -> Result<Sum> {
    Ok(Sum(1))
}

#[operator(state, version = 2, migrate = from_older)]
impl Operator for Sum {
    type Config = NoConfig;
    type Input = u32;
    type Output = u32;

    fn open(_config: NoConfig) -> Result<Self> {
        Ok(Self(0))
    }

    fn process(&mut self, n: u32, out: &mut Out<'_, u32>) -> Result<()> {
        out.push(&n)
    }
}

fn main() {}
