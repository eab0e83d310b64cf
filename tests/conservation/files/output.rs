//! [`Output`]: a file that is renamed, deleted or temporarily not writable while a node writes it.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{Read as _, Seek as _},
    path::{Path, PathBuf},
};

use rustix::process::Signal;
use serde_json::Value;

use super::ROUNDS;
use crate::{
    conservation::random::Random,
    support::{Node, eventually, mounted::Mounted},
};

/// The fault of the output file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// It is renamed, and the node finds out by itself.
    Renamed,
    /// It is renamed, and the node is notified, as by `logrotate`.
    RenamedAndTold,
    /// It is deleted between two batches.
    Deleted,
    /// It is deleted while the node writes.
    DeletedInFlight,
    /// Its folder is renamed.
    FolderRenamed,
    FolderDeleted,
    /// A file temporarily replaces its folder, and the node is notified.
    FolderReplaced,
    /// The disk is temporarily full.
    DiskFull,
    /// The disk is temporarily full, and the file is renamed meanwhile.
    DiskFullAndRenamed,
    /// It ends with a torn line before the node starts.
    Torn,
}

/// The torn line of [`Fault::Torn`].
const TORN: &str = "{\"id\":";

/// The output file and all that were written before it.
pub(super) struct Output {
    folder: PathBuf,
    fault: Fault,
    disk: Option<Mounted>,
    /// The deleted files, or copies of them.
    deleted: Vec<File>,
    times: u32,
}

/// The contents of all output files.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// Ids in files that are still there, sorted.
    pub(super) ids: Vec<u64>,
    /// Ids in deleted files.
    deleted: BTreeSet<u64>,
    /// Complete lines that are not records.
    broken: Vec<String>,
}

impl Contents {
    /// Takes up a file. A last line without a line end does not count: a record that was written
    /// in part before a rotation is written again.
    fn add(&mut self, text: &str, is_deleted: bool) {
        let lines = text
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'));
        for line in lines {
            let value = serde_json::from_str::<Value>(line).unwrap_or_default();
            match value["id"].as_u64() {
                Some(id) if is_deleted => drop(self.deleted.insert(id)),
                Some(id) => self.ids.push(id),
                None => self.broken.push(line.to_owned()),
            }
        }
    }

    /// Returns the number of distinct ids.
    pub(super) fn distinct(&self) -> usize {
        let all: BTreeSet<_> = self.ids.iter().chain(&self.deleted).collect();
        all.len()
    }
}

impl Output {
    /// `None` if the fault cannot be had on this machine.
    pub(super) fn new(folder: &Path, fault: Fault) -> Option<Self> {
        let mut disk = None;
        match fault {
            Fault::DiskFull | Fault::DiskFullAndRenamed => {
                disk = Some(Mounted::new(folder.join("out"), "size=16k")?);
            }
            Fault::Torn => {
                fs::create_dir(folder.join("out")).unwrap();
                fs::write(folder.join("out/out.jsonl"), TORN).unwrap();
            }
            _ => {}
        }
        Some(Self {
            folder: folder.to_owned(),
            fault,
            disk,
            deleted: Vec::new(),
            times: 0,
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Has the fault happen. By then, `written` ids are in the log.
    pub(super) fn happen(&mut self, node: &Node, round: u64, written: u64, random: &mut Random) {
        let (folder, out) = (self.path("out"), self.path("out/out.jsonl"));
        let is_there = fs::metadata(&out).is_ok_and(|out| out.len() > 0);
        let is_due = is_there && random.below(2) == 0;
        let old = self.path(&format!("out/old.{round}"));
        let old_folder = self.path(&format!("old.{round}"));
        match self.fault {
            Fault::Renamed if is_due => fs::rename(&out, old).unwrap(),
            Fault::RenamedAndTold if is_due => {
                fs::rename(&out, old).unwrap();
                node.signal(Signal::HUP);
            }
            Fault::Deleted if is_due => {
                // Nothing is in flight, so all later lines must be in another file.
                self.settle(written);
                let copy = self.path(&format!("deleted.{round}"));
                fs::copy(&out, &copy).unwrap();
                self.deleted.push(File::open(copy).unwrap());
                fs::remove_file(out).unwrap();
            }
            Fault::DeletedInFlight if is_due => {
                self.deleted.push(File::open(&out).unwrap());
                fs::remove_file(out).unwrap();
            }
            Fault::FolderRenamed if is_due => fs::rename(folder, old_folder).unwrap(),
            Fault::FolderDeleted if is_due => {
                // The node cannot create the file again between the deletions of file and folder.
                fs::rename(folder, &old_folder).unwrap();
                let file = File::open(old_folder.join("out.jsonl")).unwrap();
                self.deleted.push(file);
                fs::remove_dir_all(old_folder).unwrap();
            }
            Fault::FolderReplaced if round == ROUNDS / 6 => {
                fs::rename(&folder, self.path("aside")).unwrap();
                fs::write(folder, "").unwrap();
                node.signal(Signal::HUP);
            }
            Fault::FolderReplaced if round == ROUNDS * 2 / 3 => {
                node.logged("cannot write");
                fs::remove_file(&folder).unwrap();
                fs::rename(self.path("aside"), folder).unwrap();
            }
            Fault::DiskFull | Fault::DiskFullAndRenamed if round == ROUNDS * 2 / 3 => {
                node.logged("cannot write");
                if self.fault == Fault::DiskFullAndRenamed {
                    fs::rename(&out, old).unwrap();
                }
                self.disk.as_ref().unwrap().remount("size=1m");
            }
            _ => return,
        }
        self.times += 1;
    }

    /// Waits until the node has written this number of ids.
    #[track_caller]
    pub(super) fn settle(&self, written: u64) {
        eventually("all lines so far are written", || {
            self.contents().distinct() as u64 == written
        });
    }

    pub(super) fn contents(&self) -> Contents {
        let mut contents = Contents::default();
        for folder in fs::read_dir(&self.folder).unwrap() {
            let folder = folder.unwrap();
            let name = folder.file_name().into_string().unwrap();
            let is_ours = name == "aside" || name == "out" || name.starts_with("old.");
            if !is_ours || !folder.file_type().unwrap().is_dir() {
                continue;
            }
            for file in fs::read_dir(folder.path()).unwrap() {
                let text = fs::read_to_string(file.unwrap().path()).unwrap();
                contents.add(&text, false);
            }
        }
        for mut file in &self.deleted {
            let mut text = String::new();
            file.rewind().unwrap();
            file.read_to_string(&mut text).unwrap();
            contents.add(&text, true);
        }
        contents.ids.sort_unstable();
        contents
    }

    /// Asserts that each of these ids was written once, and that the fault happened. What was
    /// written to a deleted file may be in another one too.
    #[track_caller]
    pub(super) fn assert_has_each_once(&self, ids: u64, context: &str) {
        let contents = self.contents();
        if self.deleted.is_empty() {
            assert_eq!(contents.ids, (0..ids).collect::<Vec<_>>(), "{context}");
        }
        let distinct: BTreeSet<_> = contents.ids.iter().copied().collect();
        assert_eq!(distinct.len(), contents.ids.len(), "{context}");
        let all = &distinct | &contents.deleted;
        assert_eq!(all, (0..ids).collect(), "{context}");

        let torn = format!("{TORN}\n");
        let is_torn = self.fault == Fault::Torn;
        let broken: &[String] = if is_torn { &[torn] } else { &[] };
        assert_eq!(contents.broken, broken, "{context}");
        let is_blocked = matches!(
            self.fault,
            Fault::FolderReplaced | Fault::DiskFull | Fault::DiskFullAndRenamed
        );
        assert_eq!(context.contains("cannot write"), is_blocked, "{context}");
        let is_renamed = matches!(
            self.fault,
            Fault::Renamed | Fault::RenamedAndTold | Fault::FolderRenamed
        );
        let is_noticed = context.contains("the file was renamed or deleted");
        assert!(is_noticed || !is_renamed, "{context}");
        let happened = self.times > 0 || is_torn || self.fault == Fault::None;
        assert!(happened, "{context}");
    }
}
