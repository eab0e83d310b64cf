//! [`Feed`]: a file that grows and is rotated while the node that follows it is killed.

use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use crate::conservation::random::Random;

/// The path that the node follows, in the folder of its manifest.
pub(super) const INPUT: &str = "in.jsonl";
/// The last line of every input. It is not JSON, so it becomes the last dead-letter record.
pub(super) const LAST: &str = "the end";
/// The number of groups.
const GROUPS: u64 = 50;

/// A growing input.
pub(super) struct Feed {
    folder: PathBuf,
    /// Everything that was appended.
    all: String,
    records: u64,
    rotations: u64,
}

impl Feed {
    /// Creates an empty file in a folder.
    pub(super) fn new(folder: &Path) -> Self {
        fs::write(folder.join(INPUT), "").expect("the folder is ours");
        Self {
            folder: folder.to_owned(),
            all: String::new(),
            records: 0,
            rotations: 0,
        }
    }

    /// Returns everything that was appended.
    pub(super) fn all(&self) -> &str {
        &self.all
    }

    /// Appends records in up to three writes, which end anywhere.
    pub(super) fn append(&mut self, records: u64, random: &mut Random) {
        let mut text = String::new();
        for number in self.records..self.records + records {
            line(&mut text, number);
        }
        self.records += records;
        let mut rest = text.as_bytes();
        for _ in 0..random.below(3) {
            let (front, back) = rest.split_at(random.below(rest.len() as u64) as usize);
            self.write(front);
            rest = back;
        }
        self.write(rest);
        self.all.push_str(&text);
    }

    /// Appends the last line.
    pub(super) fn end(&mut self) {
        let last = format!("{LAST}\n");
        self.write(last.as_bytes());
        self.all.push_str(&last);
    }

    /// Renames the file, and creates the next one.
    pub(super) fn rotate(&mut self) {
        self.rotations += 1;
        let path = self.folder.join(INPUT);
        let renamed = path.with_extension(format!("jsonl.{}", self.rotations));
        fs::rename(&path, renamed).expect("the folder is ours");
        self.write(b"");
    }

    fn write(&self, bytes: &[u8]) {
        let mut options = fs::OpenOptions::new();
        let options = options.create(true).append(true);
        let file = options.open(self.folder.join(INPUT));
        let written = file.and_then(|mut file| file.write_all(bytes));
        written.expect("the folder is ours");
    }
}

/// Adds the record with this number, 10 ms after the one before. Every tenth repeats an earlier one, and every 500th is
/// not JSON.
fn line(text: &mut String, number: u64) {
    let number = match number % 10 {
        3 => number.saturating_sub(7),
        _ => number,
    };
    let (at, group) = (1_700_000_000_000 + number * 10, number % GROUPS);
    // Writing to a text cannot fail.
    let _ = if number % 500 == 250 {
        writeln!(text, "not JSON {number}")
    } else {
        writeln!(text, r#"{{"id":{number},"at":{at},"group":"g{group}"}}"#)
    };
}

/// Returns one record for each group, for the other side of a join.
pub(super) fn groups() -> String {
    (0..GROUPS).fold(String::new(), |mut text, group| {
        let _ = writeln!(text, r#"{{"group":"g{group}","limit":{}}}"#, group * 7);
        text
    })
}
