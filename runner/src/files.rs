//! Reads regular files with a deadline, and creates files atomically.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use rustix::fs::{Access, OFlags};

/// Maximum time for a file system to answer, and for a file to return its next bytes: 10 s.
pub(crate) const FILE_TIME_MAX: Duration = Duration::from_secs(10);
/// Maximum number of calls that may be waiting for unresponsive file systems: 8. Further calls fail
/// immediately.
const STUCK_MAX: usize = 8;
/// Number of bytes to read at a time: 1 MiB.
const CHUNK: u64 = 1 << 20;
/// Prefix of the names of incomplete files.
const TEMPORARY: &str = ".new-";

/// Number of calls of this process that were given up and have not returned.
static STUCK: AtomicUsize = AtomicUsize::new(0);

/// States of a call: it waits, its answer has arrived, or its caller has given up.
const WAITS: u8 = 0;
const ANSWERED: u8 = 1;
const GIVEN_UP: u8 = 2;

/// The contents of a file.
#[derive(Debug)]
pub(crate) struct Contents {
    /// Its bytes; empty if it is longer than allowed.
    pub(crate) bytes: Vec<u8>,
    /// Its length in bytes.
    pub(crate) length: u64,
}

/// Runs a task that may block forever on an unresponsive file system, and waits at most
/// [`FILE_TIME_MAX`].
///
/// # Errors
/// The task took longer, or no thread could be started for it. After a timeout, it may still
/// complete.
pub(crate) fn in_time<T: Send + 'static>(
    task: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    while_moving(&STUCK, FILE_TIME_MAX, move |_| task())
}

/// Like [`in_time`], but the time limit restarts whenever the task has made progress.
fn while_moving<T: Send + 'static>(
    stuck: &'static AtomicUsize,
    time: Duration,
    task: impl FnOnce(&AtomicU64) -> T + Send + 'static,
) -> io::Result<T> {
    let late = || {
        io::Error::new(
            io::ErrorKind::TimedOut,
            format!("no answer within {time:?}"),
        )
    };
    if stuck.load(Ordering::Relaxed) >= STUCK_MAX {
        return Err(late());
    }
    let moved = Arc::new(AtomicU64::new(0));
    let state = Arc::new(AtomicU8::new(WAITS));
    let (counter, ending) = (Arc::clone(&moved), Arc::clone(&state));
    let (answer, answered) = mpsc::sync_channel(1);
    thread::Builder::new().name("file".into()).spawn(move || {
        let done = task(&counter);
        // The channel has room for the answer; the receiver may be gone.
        let _ = answer.send(done);
        if ending.swap(ANSWERED, Ordering::AcqRel) == GIVEN_UP {
            stuck.fetch_sub(1, Ordering::Relaxed);
        }
    })?;
    let mut before = 0;
    loop {
        match answered.recv_timeout(time) {
            Ok(done) => return Ok(done),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Err(io::Error::other("reading failed unexpectedly"));
            }
        }
        let now = moved.load(Ordering::Relaxed);
        if now == before {
            stuck.fetch_add(1, Ordering::Relaxed);
            if state.swap(GIVEN_UP, Ordering::AcqRel) == WAITS {
                return Err(late());
            }
            // The answer has just arrived.
            stuck.fetch_sub(1, Ordering::Relaxed);
        }
        before = now;
    }
}

/// Opens a regular file and refuses all others: opening a pipe would block.
///
/// # Errors
/// The error of the system, or `it is not a regular file`.
pub(crate) fn open_regular(path: &Path) -> io::Result<(File, fs::Metadata)> {
    // Opening some devices already has an effect.
    regular(&fs::metadata(path)?)?;
    let nonblocking = i32::try_from(OFlags::NONBLOCK.bits()).expect("open's flags are an int");
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(nonblocking)
        .open(path)?;
    let metadata = file.metadata()?;
    regular(&metadata)?;
    Ok((file, metadata))
}

fn regular(metadata: &fs::Metadata) -> io::Result<()> {
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if metadata.is_file() {
        return Ok(());
    }
    Err(not_regular())
}

/// Returns the error for a pipe, a device or a socket.
pub(crate) fn not_regular() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")
}

/// Returns true if an error is [`not_regular`].
pub(crate) fn is_not_regular(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidInput && error.raw_os_error().is_none()
}

/// Reads a regular file of at most `bytes_max` bytes. For a longer file, returns only the length.
///
/// # Errors
/// The error of the system; the file is not a regular file; or it returns no bytes for
/// [`FILE_TIME_MAX`].
pub(crate) fn read(path: &Path, bytes_max: u64) -> io::Result<Contents> {
    read_with(path, bytes_max, open_regular)
}

/// Reads at most the first `bytes_max` bytes of a regular file.
///
/// # Errors
/// See [`read`].
pub(crate) fn beginning(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let path = path.to_path_buf();
    in_time(move || {
        let (file, _) = open_regular(&path)?;
        let mut bytes = Vec::new();
        file.take(bytes_max).read_to_end(&mut bytes)?;
        Ok(bytes)
    })?
}

/// Checks that a file can be appended to, after the creation of any missing folders. Creates
/// nothing.
///
/// # Errors
/// The path leads to something other than a regular file or a character device, or it is not
/// writable; or there is no answer within [`FILE_TIME_MAX`].
pub(crate) fn check_appendable(path: &Path) -> io::Result<()> {
    let path = path.to_path_buf();
    in_time(move || {
        let found = match fs::metadata(&path) {
            Ok(found) => found,
            // The path is free, or a link without a target.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return match fs::symlink_metadata(&path) {
                    Ok(_) => Ok(()),
                    Err(_) => check_folders(&path),
                };
            }
            Err(error) => return Err(error),
        };
        appendable(&found)?;
        Ok(rustix::fs::access(&path, Access::WRITE_OK)?)
    })?
}

/// Checks that a file is a regular one or a character device.
///
/// # Errors
/// `it is not a regular file`, or the error for a folder.
pub(crate) fn appendable(metadata: &fs::Metadata) -> io::Result<()> {
    if metadata.file_type().is_char_device() {
        return Ok(());
    }
    regular(metadata)
}

/// Checks that a file and its missing folders can be created at a path.
fn check_folders(path: &Path) -> io::Result<()> {
    for folder in path.ancestors().skip(1) {
        match fs::metadata(folder) {
            Ok(found) if !found.is_dir() => return Err(io::ErrorKind::NotADirectory.into()),
            Ok(_) => {
                return Ok(rustix::fs::access(
                    folder,
                    Access::WRITE_OK | Access::EXEC_OK,
                )?);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Like [`read`], but an open file descriptor of the process may also be a pipe, as in `up
/// /dev/stdin`.
pub(crate) fn read_given(path: &Path, bytes_max: u64) -> io::Result<Contents> {
    if !is_given(path) {
        return read(path, bytes_max);
    }
    read_with(path, bytes_max, |path| {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        Ok((file, metadata))
    })
}

/// Returns true if a path leads to an open file descriptor of the process.
pub(crate) fn is_given(path: &Path) -> bool {
    path == Path::new("/dev/stdin")
        || ["/dev/fd", "/proc/self/fd"]
            .iter()
            .any(|folder| path.starts_with(folder))
}

fn read_with(
    path: &Path,
    bytes_max: u64,
    open: impl FnOnce(&Path) -> io::Result<(File, fs::Metadata)> + Send + 'static,
) -> io::Result<Contents> {
    let path = path.to_path_buf();
    while_moving(&STUCK, FILE_TIME_MAX, move |moved| {
        let (file, metadata) = open(&path)?;
        let mut length = metadata.len();
        let mut bytes = Vec::new();
        let mut file = file.take(bytes_max.saturating_add(1));
        while length <= bytes_max {
            let read = file.by_ref().take(CHUNK).read_to_end(&mut bytes)?;
            moved.fetch_add(read as u64, Ordering::Relaxed);
            length = bytes.len() as u64;
            if read == 0 {
                return Ok(Contents { bytes, length });
            }
        }
        Ok(Contents {
            bytes: Vec::new(),
            length,
        })
    })?
}

/// Returns the metadata of a path and follows links.
///
/// # Errors
/// The error of the system; or there is no answer within [`FILE_TIME_MAX`].
pub(crate) fn metadata(path: &Path) -> io::Result<fs::Metadata> {
    let path = path.to_path_buf();
    in_time(move || fs::metadata(path))?
}

/// Returns the absolute path without links.
///
/// # Errors
/// See [`metadata`].
pub(crate) fn canonicalize(path: &Path) -> io::Result<PathBuf> {
    let path = path.to_path_buf();
    in_time(move || fs::canonicalize(path))?
}

/// Returns the UTF-8 names among the first `count_max` entries of a folder.
///
/// # Errors
/// See [`metadata`].
pub(crate) fn names_in(folder: &Path, count_max: usize) -> io::Result<Vec<String>> {
    let folder = folder.to_path_buf();
    in_time(move || {
        let entries = fs::read_dir(folder)?.take(count_max);
        Ok(entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect())
    })?
}

/// Creates a file that only this user can read: writes it under another name, syncs it and renames
/// it, so that a full disk or a crash leaves no partial file.
///
/// # Errors
/// The error of the system. An existing file is left unchanged.
pub(crate) fn create_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(TEMPORARY)
        .permissions(Permissions::from_mode(0o600))
        .tempfile_in(folder)
        .map_err(of_system)?;
    file.as_file_mut().write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path)
        .map_err(|error| of_system(error.error))?;
    // Sync the folder too, so that the name survives a crash. Not every file system supports this.
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
    Ok(())
}

/// Removes the temporary name, which the caller does not know, from an error.
fn of_system(error: io::Error) -> io::Error {
    use io::ErrorKind::{
        AlreadyExists, NotADirectory, NotFound, PermissionDenied, ReadOnlyFilesystem, StorageFull,
    };
    match error.kind() {
        kind @ (AlreadyExists | NotADirectory | NotFound | PermissionDenied
        | ReadOnlyFilesystem | StorageFull) => kind.into(),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::symlink, sync::Mutex, time::Instant};

    use super::*;

    fn pipe(folder: &Path) -> PathBuf {
        let path = folder.join("pipe");
        let (fifo, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR);
        rustix::fs::mknodat(rustix::fs::CWD, &path, fifo, mode, 0).unwrap();
        assert!(fs::metadata(&path).unwrap().file_type().is_fifo());
        path
    }

    #[test]
    fn only_regular_files_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let began = Instant::now();
        for path in [pipe(folder.path()).as_path(), Path::new("/dev/zero")] {
            let refused = read(path, 1).unwrap_err();
            assert_eq!(refused.to_string(), not_regular().to_string());
            assert!(is_not_regular(&refused));
            assert_eq!(
                read_given(path, 1).unwrap_err().to_string(),
                not_regular().to_string()
            );
        }
        let is_folder = read(folder.path(), 1).unwrap_err();
        assert_eq!(is_folder.kind(), io::ErrorKind::IsADirectory);
        assert!(began.elapsed() < FILE_TIME_MAX);
    }

    #[test]
    fn a_file_is_read_to_its_bound() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "abc").unwrap();
        let of = |max| {
            let contents = read(&path, max).unwrap();
            (contents.bytes, contents.length)
        };
        assert_eq!(of(3), (b"abc".to_vec(), 3));
        assert_eq!(of(2), (Vec::new(), 3));
        fs::write(&path, "").unwrap();
        assert_eq!(of(0), (Vec::new(), 0));
    }

    #[test]
    fn appendability_is_known_before_opening() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("file"), "abc").unwrap();
        symlink(at("later"), at("link")).unwrap();
        for fit in ["file", "new", "new/folder/file", "link", "/dev/null"] {
            check_appendable(&at(fit)).unwrap();
        }
        assert!(
            !at("new").exists() && !at("later").exists(),
            "it creates nothing"
        );
        for (path, kind) in [
            (folder.path().to_path_buf(), io::ErrorKind::IsADirectory),
            (at("file/below"), io::ErrorKind::NotADirectory),
            (at("file/far/below"), io::ErrorKind::NotADirectory),
            (pipe(folder.path()), io::ErrorKind::InvalidInput),
        ] {
            let refused = check_appendable(&path).unwrap_err();
            assert_eq!(refused.kind(), kind, "{}", path.display());
        }
        fs::set_permissions(at("file"), Permissions::from_mode(0o400)).unwrap();
        if !rustix::process::geteuid().is_root() {
            assert!(check_appendable(&at("file")).is_err());
        }
    }

    #[test]
    fn only_the_beginning_of_a_file_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "abcdef").unwrap();
        assert_eq!(beginning(&path, 3).unwrap(), b"abc");
        assert_eq!(beginning(&path, 9).unwrap(), b"abcdef");
        assert!(is_not_regular(
            &beginning(&pipe(folder.path()), 3).unwrap_err()
        ));
    }

    #[test]
    fn unresponsive_reads_are_abandoned_and_counted_while_they_hang() {
        static STUCK: AtomicUsize = AtomicUsize::new(0);
        let short = Duration::from_millis(20);
        let (release, hang) = mpsc::channel::<()>();
        let hang = Arc::new(Mutex::new(hang));
        for _ in 0..STUCK_MAX {
            let hang = Arc::clone(&hang);
            let late = while_moving(&STUCK, short, move |_| {
                hang.lock().map(|hang| hang.recv()).is_ok()
            });
            assert_eq!(late.unwrap_err().kind(), io::ErrorKind::TimedOut);
        }
        let began = Instant::now();
        let full = while_moving(&STUCK, FILE_TIME_MAX, |_| ());
        assert_eq!(full.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() < FILE_TIME_MAX, "it was waited for");
        drop(release);
        let until = Instant::now() + FILE_TIME_MAX;
        while STUCK.load(Ordering::Relaxed) > 0 {
            assert!(Instant::now() < until, "those that came back still count");
            thread::yield_now();
        }
    }

    #[test]
    fn a_slow_file_has_time_while_it_progresses() {
        static STUCK: AtomicUsize = AtomicUsize::new(0);
        let time = Duration::from_millis(500);
        let until = Instant::now() + time * 3;
        let slow = while_moving(&STUCK, time, move |moved| {
            while Instant::now() < until {
                moved.fetch_add(1, Ordering::Relaxed);
                thread::yield_now();
            }
        });
        assert!(slow.is_ok(), "{slow:?}");
    }

    #[test]
    fn a_file_is_created_whole_and_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        create_private(&path, b"one").unwrap();
        let again = create_private(&path, b"two").unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        let nowhere = create_private(&folder.path().join("none/key"), b"").unwrap_err();
        assert!(!nowhere.to_string().contains(TEMPORARY), "{nowhere}");
        assert_eq!(fs::read(&path).unwrap(), b"one");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
