//! [`Log`]: an input file that is rotated, truncated or written in parts while a node follows it.

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    ops::Range,
    path::PathBuf,
    thread,
    time::Duration,
};

use crate::conservation::random::Random;

/// The treatment of the input file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Input {
    /// It is renamed, and created again at once or with the next line.
    Renamed,
    /// It is copied and truncated, as by `copytruncate`, after the node has written all its lines.
    /// The writer continues at the start or at its old offset.
    Truncated,
    /// Lines are written in two parts, and the file may be renamed between them. The input ends
    /// with a torn line.
    Torn,
}

/// A log that is written and rotated like those of ordinary programs.
pub(super) struct Log {
    path: PathBuf,
    rotations: u32,
}

impl Log {
    pub(super) fn new(path: PathBuf) -> Self {
        let log = Self { path, rotations: 0 };
        log.append(0..0);
        log
    }

    fn open(&self) -> File {
        let mut options = OpenOptions::new();
        let options = options.create(true).append(true);
        options.open(&self.path).unwrap()
    }

    fn append(&self, ids: Range<u64>) {
        self.open().write_all(lines(ids).as_bytes()).unwrap();
    }

    fn old(&mut self) -> PathBuf {
        self.rotations += 1;
        self.path.with_extension(self.rotations.to_string())
    }

    /// Renames the log and, if `is_made_anew` is true, creates it again immediately.
    fn rotate(&mut self, is_made_anew: bool) {
        let old = self.old();
        fs::rename(&self.path, old).unwrap();
        if is_made_anew {
            self.append(0..0);
        }
    }

    /// Copies the log and truncates it.
    fn copy_and_truncate(&mut self, continues_at_old_offset: bool) {
        let old = self.old();
        let length = fs::copy(&self.path, old).unwrap();
        let file = OpenOptions::new().write(true).open(&self.path).unwrap();
        file.set_len(0).unwrap();
        if continues_at_old_offset {
            file.set_len(length).unwrap();
        }
    }

    /// Writes lines in two parts, and may rename the log between them.
    fn append_in_parts(&mut self, ids: Range<u64>, random: &mut Random) {
        let text = lines(ids);
        let (first, rest) = text.split_at(random.below(text.len() as u64) as usize);
        let mut file = self.open();
        file.write_all(first.as_bytes()).unwrap();
        if random.below(2) == 0 {
            self.rotate(random.below(2) == 0);
        }
        thread::sleep(Duration::from_millis(random.below(40)));
        file.write_all(rest.as_bytes()).unwrap();
    }

    /// Writes these ids, and has the rotations of `input` happen. `settle` waits until the node has
    /// written all lines before the given id.
    pub(super) fn write(
        &mut self,
        input: Input,
        ids: Range<u64>,
        random: &mut Random,
        settle: impl Fn(u64),
    ) {
        match input {
            Input::Renamed => {
                let Range { mut start, end } = ids;
                // Rotate several times in a row, which leaves empty files in between.
                for _ in 0..random.below(4) {
                    let to = start + random.below(end - start);
                    self.append(start..to);
                    self.rotate(true);
                    start = to;
                }
                self.append(start..end);
                if random.below(3) == 0 {
                    self.rotate(random.below(2) == 0);
                }
            }
            Input::Truncated => {
                if random.below(3) == 0 {
                    settle(ids.start);
                    self.copy_and_truncate(random.below(2) == 0);
                }
                self.append(ids);
            }
            Input::Torn => self.append_in_parts(ids, random),
        }
    }

    /// Returns true if the process has read the log to its end: one of its files is the log, read up to its length.
    pub(super) fn is_read_by(&self, pid: u32) -> bool {
        let process = PathBuf::from(format!("/proc/{pid}"));
        let Ok(length) = fs::metadata(&self.path).map(|log| log.len()) else {
            return false;
        };
        let files = fs::read_dir(process.join("fd")).unwrap().flatten();
        files.map(|file| file.file_name()).any(|number| {
            let is_log =
                fs::read_link(process.join("fd").join(&number)).is_ok_and(|path| path == self.path);
            let info = fs::read_to_string(process.join("fdinfo").join(&number));
            is_log && info.is_ok_and(|info| info.starts_with(&format!("pos:\t{length}\n")))
        })
    }

    /// Ends the log.
    pub(super) fn end(&self, input: Input) {
        if input == Input::Torn {
            self.open().write_all(b"{\"id\":7").unwrap();
        }
    }
}

fn lines(ids: Range<u64>) -> String {
    let lines: Vec<_> = ids.map(|id| format!("{{\"id\":{id}}}\n")).collect();
    lines.concat()
}
