//! [`Config`]: the filter, alone or with its bounds.

use mosaik_wasm_sdk::OperatorConfig;

/// The configuration: `.price * 2`, or `{filter: .price * 2, max_outputs: 10}`.
#[derive(Debug, Clone, PartialEq, Eq, OperatorConfig)]
#[config(shorthand(filter))]
pub(crate) struct Config {
    /// Filter in the jq language.
    pub(crate) filter: String,
    /// Maximum number of outputs of one record.
    #[config(default = 100_000)]
    pub(crate) max_outputs: usize,
    /// Write strings without quotes, to a text stream.
    #[config(default = false)]
    pub(crate) raw: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use mosaik_wasm_sdk::testing::documented;

    #[test]
    fn the_reference_is_generated() {
        documented::<Config>(env!("CARGO_MANIFEST_DIR"));
    }
}
