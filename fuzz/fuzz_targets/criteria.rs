//! Untrusted criteria, on the wire and as text, matched against records.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mosaik_streams::fuzzing;

fuzz_target!(|input: &[u8]| fuzzing::criteria(input));
