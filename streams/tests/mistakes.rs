//! Compares the compiler errors of invalid stream definitions with the `.stderr` files. `TRYBUILD=overwrite` updates
//! them.

#[test]
fn mistakes_are_explained_where_they_are() {
    trybuild::TestCases::new().compile_fail("tests/mistakes/*.rs");
}
