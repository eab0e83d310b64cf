//! Criteria of strangers, on the wire and as text, and datums that they judge.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mosaik_streams::fuzzing;

fuzz_target!(|input: &[u8]| fuzzing::criteria(input));
