//! [`Owner`]: the node that a folder of checkpoints belongs to, for lists.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

/// The name of the file in the folder of the checkpoints.
const FILE_NAME: &str = "node.json";

/// The node that last used a folder of checkpoints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The absolute path of its manifest.
    pub manifest: PathBuf,
    /// The name given at start.
    pub name: Option<String>,
    /// The name of its network.
    pub network: Option<String>,
}

impl Owner {
    /// Writes it into a folder. Blocks.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        if Self::read(folder).as_ref() == Some(self) {
            return Ok(());
        }
        fs::write(folder.join(FILE_NAME), serde_json::to_vec(self)?)
    }

    /// Reads it from a folder; `None` if it is not there. Blocks.
    pub fn read(folder: &Path) -> Option<Self> {
        let text = fs::read(folder.join(FILE_NAME)).ok()?;
        serde_json::from_slice(&text).ok()
    }
}
