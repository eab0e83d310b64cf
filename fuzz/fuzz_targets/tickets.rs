//! Tokens with valid signatures and arbitrary claims, and tokens with invalid signatures.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mosaik_streams::fuzzing;

fuzz_target!(|input: &[u8]| fuzzing::ticket(input));
