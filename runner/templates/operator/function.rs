//! `{{name}}`: reports readings above a limit.

use mosaik_wasm_sdk::prelude::*;

/// An input record.
#[derive(Deserialize)]
struct Reading {
    seq: u64,
    value: f64,
}

/// An output record.
#[derive(Serialize)]
struct Alert {
    seq: u64,
    message: String,
}

/// `config` in the manifest.
#[derive(OperatorConfig)]
struct Config {
    /// Limit above which a reading is reported.
    above: f64,
}

/// Called for each record. `None` drops it; an error rejects it with a reason. Processing continues.
#[operator]
fn alert(reading: Reading, config: &Config) -> Result<Option<Alert>> {
    let Reading { seq, value } = reading;
    let limit = config.above;
    ensure!(value >= 0.0, "the value {value} is negative");
    Ok((value > limit).then(|| Alert {
        seq,
        message: format!("{value} is above {limit}"),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_above_the_limit_are_reported() {
        let ran = testing::run::<alert>(
            json!({"above": 0.5}),
            [
                json!({"seq": 0, "value": 0.25}),
                json!({"seq": 1, "value": 0.75}),
                json!({"seq": 2, "value": -1.0}),
            ],
        )
        .unwrap();
        assert_eq!(
            ran.outputs,
            [json!({"seq": 1, "message": "0.75 is above 0.5"})]
        );
        assert_eq!(ran.rejected, [(2, "the value -1 is negative".to_owned())]);
    }
}
