//! [`documented`]: compares the generated documentation of a configuration with files.

use std::path::Path;

use crate::OperatorConfig;
use crate::config::reference::{indented, table};

/// Checks the generated files of a crate: `config.schema.json`, if the folder has one, and in `README.md` the table of
/// the keys, between the lines `<!-- generated: config -->` and `<!-- end -->`. With the environment variable
/// `MOSAIK_BLESS`, writes them.
///
/// ```ignore
/// testing::documented::<Config>(env!("CARGO_MANIFEST_DIR"));
/// ```
///
/// # Panics
/// Panics if a file is stale or has no place for its part.
pub fn documented<C: OperatorConfig>(folder: impl AsRef<Path>) {
    let folder = folder.as_ref();
    let schema = folder.join("config.schema.json");
    if schema.is_file() {
        compare(&schema, &read(&schema), &indented(C::SCHEMA));
    }
    let readme = folder.join("README.md");
    let text = read(&readme);
    let new = replaced(&text, &table(C::SHAPE));
    let new = new.unwrap_or_else(|| panic!("{} has no `{START}`", readme.display()));
    compare(&readme, &text, &new);
}

const START: &str = "<!-- generated: config -->\n";
const END: &str = "<!-- end -->";

/// Returns a page with another generated part.
fn replaced(page: &str, part: &str) -> Option<String> {
    let (before, rest) = page.split_once(START)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{START}\n{part}\n{END}{after}"))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn compare(path: &Path, found: &str, expected: &str) {
    if found == expected {
        return;
    }
    assert!(
        std::env::var_os("MOSAIK_BLESS").is_some(),
        "{} is stale: run this test with MOSAIK_BLESS=1",
        path.display()
    );
    std::fs::write(path, expected).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_part_between_the_marks_is_replaced() {
        let page = format!("a\n{START}\nold\n\n{END}\nb\n");
        let new = replaced(&page, "| new |\n").unwrap();
        assert_eq!(new, format!("a\n{START}\n| new |\n\n{END}\nb\n"));
        assert_eq!(replaced(&new, "| new |\n").as_ref(), Some(&new));
        assert_eq!(replaced("no marks", ""), None);
    }
}
