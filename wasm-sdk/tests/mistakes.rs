//! What the compiler says of operators that are not right, as it stands beside them; `TRYBUILD=overwrite` writes it anew.

#[test]
fn mistakes_are_explained_where_they_are() {
    trybuild::TestCases::new().compile_fail("tests/mistakes/*.rs");
}
