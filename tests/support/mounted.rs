//! A small file system for one test.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::geteuid;

/// The message of a test that cannot mount a file system.
pub(crate) const NOT_MOUNTED: &str = "a file system cannot be mounted here";

/// A file system in memory, unmounted on drop.
pub(crate) struct Mounted(PathBuf);

impl Mounted {
    /// Returns `None` if the test may not mount.
    pub(crate) fn new(at: PathBuf, options: &str) -> Option<Self> {
        fs::create_dir(&at).expect("the path is free");
        let mounted = geteuid().is_root() && mount(&at, options);
        mounted.then(|| Self(at))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Changes options, such as the size.
    pub(crate) fn remount(&self, options: &str) {
        let mut command = Command::new("mount");
        let command = command.args(["-o", &format!("remount,{options}")]);
        let status = command.arg(&self.0).status();
        assert!(status.is_ok_and(|status| status.success()), "{options}");
    }
}

fn mount(at: &Path, options: &str) -> bool {
    let mut command = Command::new("mount");
    let command = command.args(["-t", "tmpfs", "-o", options, "tmpfs"]);
    command
        .arg(at)
        .status()
        .is_ok_and(|status| status.success())
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}
