//! Checks of the encodings of an operator's streams.

use mosaik_wasm_sdk::{Binding, Result, ensure};

/// Checks that all streams of an operator are JSON.
///
/// # Errors
/// Names the port whose stream is not.
pub fn only_json(operator: &str, inputs: &[Binding], outputs: &[Binding]) -> Result<()> {
    for Binding { port, encoding, .. } in inputs.iter().chain(outputs) {
        ensure!(
            encoding == "json",
            "the stream on port `{port}` is {encoding}; {operator} reads and writes json"
        );
    }
    Ok(())
}

/// Checks that all streams of an operator have the same encoding, for operators that pass records on unchanged. It must
/// be JSON if the operator reads fields.
///
/// # Errors
/// Names the port whose stream does not match.
pub fn all_alike(
    operator: &str,
    looks_into: bool,
    inputs: &[Binding],
    outputs: &[Binding],
) -> Result<()> {
    let mut first: Option<&Binding> = None;
    for binding in inputs.iter().chain(outputs) {
        let Binding { port, encoding, .. } = binding;
        ensure!(
            !looks_into || encoding == "json",
            "the stream on port `{port}` is {encoding}; {operator} reads the fields of `by` and `time` from json only"
        );
        // The schemas of the ports could differ.
        ensure!(
            encoding != "postcard",
            "the stream on port `{port}` is postcard; {operator} reads it as json (postcard: json)"
        );
        let first = *first.get_or_insert(binding);
        ensure!(
            *encoding == first.encoding,
            "the stream on port `{port}` is {encoding}, that on port `{}` is {}; {operator} passes records on unchanged",
            first.port,
            first.encoding
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use mosaik_wasm_sdk::testing::binding;

    #[test]
    fn streams_are_of_one_encoding() {
        let check = |looks_into, input, output| {
            let (input, output) = (binding("in", input), binding("out", output));
            let checked = all_alike("dedupe", looks_into, &[input], &[output]);
            checked.map_err(mosaik_wasm_sdk::Error::into_reason)
        };
        for encoding in ["json", "text", "bytes"] {
            assert_eq!(check(false, encoding, encoding), Ok(()));
        }
        assert_eq!(check(true, "json", "json"), Ok(()));
        for (looks_into, input, output, reason) in [
            (
                true,
                "text",
                "text",
                "the stream on port `in` is text; dedupe reads the fields",
            ),
            (
                false,
                "json",
                "text",
                "the stream on port `out` is text, that on port `in` is json",
            ),
            (
                false,
                "postcard",
                "postcard",
                "the stream on port `in` is postcard; dedupe reads",
            ),
        ] {
            let said = check(looks_into, input, output).unwrap_err();
            assert!(said.starts_with(reason), "{said}");
        }
    }
}
