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

/// How long a file system may take to answer, and a file to give its next bytes: 10 s.
pub(crate) const FILE_TIME_MAX: Duration = Duration::from_secs(10);
/// Calls that may be waiting for file systems that do not answer; more fail at once.
const STUCK_MAX: usize = 8;
/// Bytes that are read at a time.
const CHUNK: u64 = 1 << 20;
/// Prefix of files that are not yet complete.
const TEMPORARY: &str = ".new-";

/// Calls of this process that were given up and have not come back.
static STUCK: AtomicUsize = AtomicUsize::new(0);

/// How far a call is: it waits, its answer is there, or nobody waits for it any more.
const WAITS: u8 = 0;
const ANSWERED: u8 = 1;
const GIVEN_UP: u8 = 2;

/// What is in a file.
#[derive(Debug)]
pub(crate) struct Contents {
    /// Its bytes; none if it is longer than allowed.
    pub(crate) bytes: Vec<u8>,
    /// Its length.
    pub(crate) length: u64,
}

/// Does what may block for ever on a file system that does not answer, for [`FILE_TIME_MAX`] at most.
///
/// # Errors
/// It took longer, or there is no thread for it. Then it may still happen.
pub(crate) fn in_time<T: Send + 'static>(
    task: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    while_moving(&STUCK, FILE_TIME_MAX, move |_| task())
}

/// As [`in_time`]; the time starts again whenever the task has counted on.
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
        // There is room for it; nobody may want it any more.
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
            // The answer came just now.
            stuck.fetch_sub(1, Ordering::Relaxed);
        }
        before = now;
    }
}

/// Opens a regular file, and nothing else: a pipe would make the opening itself wait.
///
/// # Errors
/// Those of the system, and `it is not a regular file`.
pub(crate) fn open_regular(path: &Path) -> io::Result<(File, fs::Metadata)> {
    // Opening some devices already does something.
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

/// Why a pipe, a device or a socket is not read.
pub(crate) fn not_regular() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")
}

/// Whether an error is [`not_regular`].
pub(crate) fn is_not_regular(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidInput && error.raw_os_error().is_none()
}

/// Reads a regular file of at most so many bytes, of a longer one only its length.
///
/// # Errors
/// Those of the system; it is not a regular file; it gives nothing for [`FILE_TIME_MAX`].
pub(crate) fn read(path: &Path, bytes_max: u64) -> io::Result<Contents> {
    read_with(path, bytes_max, open_regular)
}

/// The first bytes of a regular file, so many at most.
///
/// # Errors
/// As [`read`].
pub(crate) fn beginning(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let path = path.to_path_buf();
    in_time(move || {
        let (file, _) = open_regular(&path)?;
        let mut bytes = Vec::new();
        file.take(bytes_max).read_to_end(&mut bytes)?;
        Ok(bytes)
    })?
}

/// Whether a file can be appended to, its folders created if they are missing. Creates nothing.
///
/// # Errors
/// Why it cannot: what is there is neither a regular file nor a device, or may not be written; no answer within
/// [`FILE_TIME_MAX`].
pub(crate) fn check_appendable(path: &Path) -> io::Result<()> {
    let path = path.to_path_buf();
    in_time(move || {
        let found = match fs::metadata(&path) {
            Ok(found) => found,
            // A link that leads nowhere yet, or nothing.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return match fs::symlink_metadata(&path) {
                    Ok(_) => Ok(()),
                    Err(_) => check_folders(&path),
                };
            }
            Err(error) => return Err(error),
        };
        if !found.file_type().is_char_device() {
            regular(&found)?;
        }
        Ok(rustix::fs::access(&path, Access::WRITE_OK)?)
    })?
}

/// Whether a file can be created at a path, and the folders that it lacks.
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

/// As [`read`], and what the process was given as an open file descriptor may also be a pipe, as in `up /dev/stdin`.
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

/// Whether a path leads to an open file descriptor of the process.
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

/// The metadata of what a path leads to.
///
/// # Errors
/// Those of the system; no answer within [`FILE_TIME_MAX`].
pub(crate) fn metadata(path: &Path) -> io::Result<fs::Metadata> {
    let path = path.to_path_buf();
    in_time(move || fs::metadata(path))?
}

/// An absolute path without links.
///
/// # Errors
/// As [`metadata`].
pub(crate) fn canonicalize(path: &Path) -> io::Result<PathBuf> {
    let path = path.to_path_buf();
    in_time(move || fs::canonicalize(path))?
}

/// So many of the names in a folder that are text.
///
/// # Errors
/// As [`metadata`].
pub(crate) fn names_in(folder: &Path, count_max: usize) -> io::Result<Vec<String>> {
    let folder = folder.to_path_buf();
    in_time(move || {
        let entries = fs::read_dir(folder)?.take(count_max);
        Ok(entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect())
    })?
}

/// Creates a file that only this user can read: it is written under another name, synced, and renamed, so that a full
/// disk or a crash leaves none rather than a part.
///
/// # Errors
/// Those of the system; a file that is there is left as it is.
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
    // The name is to outlive a crash as well; not every file system can sync a folder.
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
    Ok(())
}

/// An error without the temporary name, which the caller does not know.
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
    fn what_can_be_appended_to_is_known_beforehand() {
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
    fn the_beginning_of_a_file_is_read_and_no_more() {
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
    fn what_does_not_answer_is_given_up_and_counted_while_it_hangs() {
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
    fn a_slow_file_has_time_while_it_moves() {
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
