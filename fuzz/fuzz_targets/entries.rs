//! Entries that are signed well and say anything, against the rules of a catalog that is soon full.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mosaik_streams::fuzzing;

fuzz_target!(|input: &[u8]| fuzzing::entry(input));
