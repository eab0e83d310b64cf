//! Compares the compiler's messages for invalid operators with the `.stderr` files beside them.
//! `TRYBUILD=overwrite` rewrites the files.

use std::process::Command;

/// The compiler whose words stand beside the mistakes: others say the same in other ones.
const COMPILER: &str = "rustc 1.95.";

#[test]
fn mistakes_are_explained_where_they_are() {
    let version = Command::new("rustc").arg("-V").output().unwrap().stdout;
    let version = String::from_utf8(version).unwrap();
    if !version.starts_with(COMPILER) {
        eprintln!("skipped: this is {version}, and what is expected was said by {COMPILER}");
        return;
    }
    trybuild::TestCases::new().compile_fail("tests/mistakes/*.rs");
}
