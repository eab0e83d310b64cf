//! Generated parts of pages: each is between two comments, `<!-- generated: NAME -->` and `<!-- end -->`.

/// Checks that a page of the repository contains the generated part. With the environment variable `MOSAIK_BLESS`,
/// writes it.
pub(crate) fn check(page: &str, name: &str, part: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(page);
    let text = std::fs::read_to_string(&path).unwrap();
    let start = format!("<!-- generated: {name} -->\n");
    let (before, rest) = text
        .split_once(&start)
        .unwrap_or_else(|| panic!("{page} has no `{}`", start.trim()));
    let (found, after) = rest.split_once("<!-- end -->").unwrap();
    let part = format!("\n{}\n\n", part.trim());
    if found == part {
        return;
    }
    assert!(
        std::env::var_os("MOSAIK_BLESS").is_some(),
        "`{name}` in {page} is stale: run this test with MOSAIK_BLESS=1"
    );
    std::fs::write(path, format!("{before}{start}{part}<!-- end -->{after}")).unwrap();
}
