//! What one syncs with: entries, signatures, and what follows them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mosaik_streams::fuzzing;

fuzz_target!(|input: &[u8]| fuzzing::snapshot(input));
