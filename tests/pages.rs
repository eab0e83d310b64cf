//! Tests the text of the documentation: links, navigation and style. Its examples are run by
//! `guides`, `operators_page` and `readme_examples`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    path::{Component, Path, PathBuf},
};

use crate::support::root;

/// Maximum length of a line of prose, in columns.
const COLUMNS: usize = 100;

/// Folders with pages for users, and pages at the top.
const PLACES: [&str; 12] = [
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "docs",
    "operators",
    "wasm-sdk/README.md",
    "streams/README.md",
    "bench/README.md",
    "fuzz/README.md",
    "tests/interop/README.md",
    "manifests",
];

/// Words that the pages do not use, with their replacements.
const AVOIDED: [(&str, &str); 9] = [
    ("anew", "again"),
    ("at hand", "current"),
    ("whoever", "the caller, the peer, the client"),
    ("what leaves", "output"),
    ("let go of", "released, dropped"),
    ("of its own accord", "automatically"),
    ("choose again", "Revisit when"),
    ("datums", "records"),
    ("slip of the pen", "typo"),
];

fn collect(path: &Path, pages: &mut Vec<PathBuf>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            collect(&entry.unwrap().path(), pages);
        }
    } else if path.extension().is_some_and(|end| end == "md") {
        pages.push(path.to_path_buf());
    }
}

fn pages() -> Vec<PathBuf> {
    let mut pages = Vec::new();
    for place in PLACES {
        collect(&root().join(place), &mut pages);
    }
    pages.sort();
    pages
}

/// Returns the lines outside of blocks, with their numbers from 1.
fn prose(text: &str) -> Vec<(usize, &str)> {
    let mut inside = false;
    let lines = text.lines().enumerate().filter(|(_, line)| {
        let fence = line.trim_start().starts_with("```");
        inside ^= fence;
        !inside && !fence
    });
    lines.map(|(number, line)| (number + 1, line)).collect()
}

/// Returns a line without the text between backticks.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("`")
}

/// Returns the anchors of a page's headings, in GitHub's form.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut count: HashMap<String, usize> = HashMap::new();
    let headings = prose(text).into_iter().filter_map(|(_, line)| {
        let title = line.trim_start_matches('#');
        (line.starts_with('#') && title.starts_with(' ')).then(|| title.trim())
    });
    headings
        .map(|title| {
            let kept = title.to_lowercase();
            let kept = kept
                .chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
            let times = count.entry(anchor.clone()).or_default();
            *times += 1;
            match *times {
                1 => anchor,
                more => format!("{anchor}-{}", more - 1),
            }
        })
        .collect()
}

/// Returns the targets of the links in a page.
fn links(text: &str) -> Vec<(usize, String)> {
    // The text of a link may contain a line break.
    let lines = prose(text);
    let found = lines.iter().flat_map(|(number, line)| {
        let code_free = without_code(line);
        let parts: Vec<String> = code_free.split("](").skip(1).map(str::to_owned).collect();
        parts.into_iter().filter_map(|part| {
            let (target, _) = part.split_once(')')?;
            Some((*number, target.to_owned()))
        })
    });
    found.collect()
}

/// Returns a path without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    plain
}

/// Returns the broken relative links of a page.
fn broken(page: &Path, text: &str) -> Vec<String> {
    let mut broken = Vec::new();
    for (number, target) in links(text) {
        if target.contains("://") || target.starts_with("mailto:") {
            continue;
        }
        let (path, anchor) = target.split_once('#').unwrap_or((&target, ""));
        let file = match path {
            "" => page.to_path_buf(),
            path => plain(&page.parent().unwrap().join(path)),
        };
        let is_page = file.extension().is_some_and(|end| end == "md");
        let other = fs::read_to_string(&file);
        let target_text = match path {
            "" => Some(text),
            _ => other.as_deref().ok(),
        };
        let reason = match target_text {
            _ if !file.exists() => "no such file",
            Some(text) if is_page && !anchor.is_empty() && !anchors(text).contains(anchor) => {
                "no such heading"
            }
            _ => continue,
        };
        broken.push(format!("{}:{number}: {target}: {reason}", page.display()));
    }
    broken
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let broken: Vec<_> = pages()
        .iter()
        .flat_map(|page| broken(page, &fs::read_to_string(page).unwrap()))
        .collect();
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn a_broken_link_is_found() {
    let page = root().join("docs/reload.md");
    let text = "# A\n[good](manifest.md#streams) [own](#a) [code](../README.md)\n\
                `[not](a-link.md)` [file](nothing.md) [heading](manifest.md#nothing) [here](#b)\n\
                ```text\n[neither](a-link.md)\n```\n";
    let found = broken(&page, text);
    let has = |target: &str| {
        found
            .iter()
            .any(|line| line.contains(&format!("md:3: {target}")))
    };
    assert!(has("nothing.md: no such file"), "{found:?}");
    assert!(has("manifest.md#nothing: no such heading"), "{found:?}");
    assert!(has("#b: no such heading"), "{found:?}");
    assert_eq!(found.len(), 3, "{found:?}");
}

#[test]
fn every_page_of_docs_is_in_the_navigation_once() {
    let summary = root().join("docs/SUMMARY.md");
    let listed = links(&fs::read_to_string(&summary).unwrap());
    let mut listed: Vec<_> = listed
        .into_iter()
        .map(|(_, target)| plain(&summary.parent().unwrap().join(target)))
        .collect();
    listed.sort();
    let count = listed.len();
    listed.dedup();
    assert_eq!(listed.len(), count, "a page is listed twice");
    let mut pages = Vec::new();
    collect(&root().join("docs"), &mut pages);
    collect(&root().join("operators"), &mut pages);
    let missing: Vec<_> = pages
        .iter()
        .filter(|page| **page != summary && !listed.contains(page))
        .collect();
    assert!(missing.is_empty(), "not in docs/SUMMARY.md: {missing:#?}");
}

/// Returns true if a line contains these words as whole words.
fn has_words(line: &str, words: &str) -> bool {
    line.match_indices(words).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + words.len()..].chars().next();
        !before.is_some_and(char::is_alphanumeric) && !after.is_some_and(char::is_alphanumeric)
    })
}

/// Returns the pages to which the style applies: those for users.
fn styled() -> impl Iterator<Item = (PathBuf, String)> {
    let pages = pages().into_iter().filter(|page| {
        let page = page.strip_prefix(root()).unwrap();
        page != Path::new("docs/SUMMARY.md")
    });
    pages.map(|page| {
        let text = fs::read_to_string(&page).unwrap();
        (page, text)
    })
}

#[test]
fn prose_is_wrapped() {
    let mut long = Vec::new();
    for (page, text) in styled() {
        for (number, line) in prose(&text) {
            // A line that cannot be broken: a table row, a heading, or one word.
            let whole =
                line.starts_with('|') || line.starts_with('#') || !line.trim_start().contains(' ');
            if !whole && line.chars().count() > COLUMNS {
                long.push(format!("{}:{number}", page.display()));
            }
        }
    }
    assert!(long.is_empty(), "longer than {COLUMNS} columns: {long:#?}");
}

#[test]
fn table_cells_are_phrases() {
    let mut long = Vec::new();
    for (page, text) in styled() {
        // The filters of jq, which a test writes.
        let written = text.split("<!-- differences -->").next().unwrap();
        for (number, line) in prose(written) {
            let row = line.trim().replace("\\|", "/");
            let mut cells = row.split('|').map(str::trim);
            // Links and code count by their visible text.
            let is_long = |cell: &str| shown(cell).chars().count() > COLUMNS;
            if row.starts_with('|') && cells.any(is_long) {
                long.push(format!("{}:{number}", page.display()));
            }
        }
    }
    assert!(
        long.is_empty(),
        "cells of more than {COLUMNS} characters: {long:#?}"
    );
}

/// Returns a text without the targets of its links and without backticks.
fn shown(text: &str) -> String {
    let mut parts = text.split("](");
    let first = parts.next().unwrap_or_default().to_owned();
    parts
        .fold(first, |all, part| {
            all + part.split_once(')').map_or(part, |(_, rest)| rest)
        })
        .replace(['`', '[', '*'], "")
}

#[test]
fn words_are_those_of_the_field() {
    let mut found = Vec::new();
    for (page, text) in styled() {
        for (number, line) in prose(&text) {
            let line = without_code(line).to_lowercase();
            for (avoided, instead) in AVOIDED {
                if has_words(&line, avoided) {
                    found.push(format!(
                        "{}:{number}: {avoided} ({instead})",
                        page.display()
                    ));
                }
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}
