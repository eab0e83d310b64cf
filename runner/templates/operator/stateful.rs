//! `{{name}}`: the highest of the last few readings.

use std::collections::VecDeque;

use mosaik_wasm_sdk::prelude::*;

/// An input record.
#[derive(Deserialize)]
struct Reading {
    seq: u64,
    value: f64,
}

/// An output record.
#[derive(Serialize)]
struct High {
    seq: u64,
    high: f64,
}

/// `config` in the manifest.
#[derive(OperatorConfig)]
struct Config {
    /// Number of readings, of which the highest is written.
    #[config(min = 1, max = 1000)]
    last: usize,
}

/// The operator: its configuration and its state.
struct Highs {
    last: usize,
    values: VecDeque<f64>,
}

// `values` is saved and restored when the operator is changed while it runs; `last` comes from the manifest.
#[operator(state = values)]
impl Operator for Highs {
    type Config = Config;
    type Input = Reading;
    type Output = High;

    fn open(config: Config) -> Result<Self> {
        Ok(Self {
            last: config.last,
            values: VecDeque::new(),
        })
    }

    /// Called for each record. An error rejects the record with a reason; processing continues.
    fn process(&mut self, reading: Reading, out: &mut Out<'_, High>) -> Result<()> {
        let Reading { seq, value } = reading;
        ensure!(value >= 0.0, "the value {value} is negative");
        self.values.push_back(value);
        // Several values may go: the restored state may be that of a larger `last`.
        while self.values.len() > self.last {
            self.values.pop_front();
        }
        let high = self.values.iter().copied().fold(0.0, f64::max);
        out.push(&High { seq, high })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_high_is_of_the_last_readings() {
        let ran = testing::run::<Highs>(
            json!({"last": 2}),
            [
                json!({"seq": 0, "value": 3}),
                json!({"seq": 1, "value": 1}),
                json!({"seq": 2, "value": -1}),
                json!({"seq": 3, "value": 2}),
            ],
        )
        .unwrap();
        assert_eq!(
            ran.outputs,
            [
                json!({"seq": 0, "high": 3.0}),
                json!({"seq": 1, "high": 3.0}),
                json!({"seq": 3, "high": 2.0}),
            ]
        );
        assert_eq!(ran.rejected, [(2, "the value -1 is negative".to_owned())]);
    }

    #[test]
    fn highs_of_none_are_refused() {
        let refused = testing::run::<Highs>(json!({"last": 0}), [(); 0]).unwrap_err();
        assert_eq!(refused.reason(), "config.last: must be 1 to 1000");
    }
}
