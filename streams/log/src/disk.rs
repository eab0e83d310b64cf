//! [`Disk`]: the folder that contains the segments.

use std::{
    fmt,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

/// A folder of files.
pub trait Disk: fmt::Debug + Send + Sync {
    /// Returns the names of all files.
    ///
    /// # Errors
    /// The folder cannot be read.
    fn names(&self) -> io::Result<Vec<String>>;

    /// Opens a file for reading and writing. `create` creates it, and fails if it exists.
    ///
    /// # Errors
    /// The file cannot be opened.
    fn open(&self, name: &str, create: bool) -> io::Result<Box<dyn DiskFile>>;

    /// Removes a file.
    ///
    /// # Errors
    /// The file cannot be removed.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes the creation and removal of files durable.
    ///
    /// # Errors
    /// The folder cannot be synced.
    fn sync(&self) -> io::Result<()>;
}

/// An open file of a [`Disk`].
pub trait DiskFile: fmt::Debug + Send + Sync {
    /// Returns the length in bytes.
    ///
    /// # Errors
    /// The length cannot be read.
    fn len(&self) -> io::Result<u64>;

    /// Returns true if the file has no bytes.
    ///
    /// # Errors
    /// The length cannot be read.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Reads at most `buf.len()` bytes at an offset. Returns their number, 0 at the end.
    ///
    /// # Errors
    /// The file cannot be read.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all bytes at an offset.
    ///
    /// # Errors
    /// The bytes cannot be written. Some of them may have been.
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()>;

    /// Cuts the file to a length.
    ///
    /// # Errors
    /// The file cannot be cut.
    fn cut(&self, len: u64) -> io::Result<()>;

    /// Makes the contents durable.
    ///
    /// # Errors
    /// The contents may not be durable, now or ever: a later sync can succeed although bytes are lost.
    fn sync(&self) -> io::Result<()>;
}

/// Reads bytes at an offset until `buf` is full or the file ends. Returns their number.
pub(crate) fn read_full(file: &dyn DiskFile, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buf.len() {
        match file.read_at(&mut buf[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// A folder of the file system.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// Opens the folder, creating it and its parents if necessary.
    ///
    /// # Errors
    /// The folder cannot be created.
    pub fn create(path: &Path) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        if let Some(parent) = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
        {
            File::open(parent)?.sync_all()?;
        }
        Ok(Self(path.to_owned()))
    }

    /// Opens an existing folder.
    ///
    /// # Errors
    /// There is no such folder.
    pub fn existing(path: &Path) -> io::Result<Self> {
        if fs::metadata(path)?.is_dir() {
            Ok(Self(path.to_owned()))
        } else {
            Err(io::ErrorKind::NotADirectory.into())
        }
    }
}

impl Disk for Folder {
    fn names(&self) -> io::Result<Vec<String>> {
        let entries = fs::read_dir(&self.0)?;
        let names = entries.map(|entry| Ok(entry?.file_name().into_string().ok()));
        let names: io::Result<Vec<_>> = names.collect();
        Ok(names?.into_iter().flatten().collect())
    }

    fn open(&self, name: &str, create: bool) -> io::Result<Box<dyn DiskFile>> {
        let mut options = File::options();
        options.read(true).write(true).create_new(create);
        Ok(Box::new(OpenFile(options.open(self.0.join(name))?)))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.0.join(name))
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }
}

#[derive(Debug)]
struct OpenFile(File);

impl DiskFile for OpenFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(&self.0, buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::write_all_at(&self.0, buf, offset)
    }

    fn cut(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}
