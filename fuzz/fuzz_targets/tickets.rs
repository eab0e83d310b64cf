//! Tokens that are signed well and claim anything, and such as are signed by nobody.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mosaik_streams::fuzzing;

fuzz_target!(|input: &[u8]| fuzzing::ticket(input));
