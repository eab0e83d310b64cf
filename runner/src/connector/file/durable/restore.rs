//! Goes on behind the durable part of an output.

use std::{
    fs::{File, OpenOptions},
    io,
    path::Path,
};

use serde::Deserialize as _;

use super::{Durable, Token};
use crate::connector::{
    Position, ResumeError,
    file::{
        family::{Folder, Member},
        fingerprint::FileId,
    },
};

/// The difference between an output and its durable part.
enum Differs {
    Shorter { len: u64 },
    Changed,
}

impl Durable {
    /// Removes what was written behind the durable part. `file` is the open file, which has the path, and `is_new` is
    /// set if this process has created it. Everything is checked before anything is removed.
    pub(in crate::connector::file) fn resume(
        path: &Path,
        shown: &str,
        file: &File,
        is_new: bool,
        durable: &Position,
    ) -> Result<(), ResumeError> {
        let token =
            Token::deserialize(durable).map_err(|error| ResumeError::foreign(shown, &error))?;
        let resumed = resume(path, shown, file, is_new, &token);
        resumed.map_err(|reason| {
            ResumeError::new(format!(
                "{shown} cannot be continued: {reason}; restore the file, or begin again with `up --fresh`"
            ))
        })
    }
}

fn resume(
    path: &Path,
    shown: &str,
    file: &File,
    is_new: bool,
    token: &Token,
) -> Result<(), String> {
    let failed = |error: io::Error| error.to_string();
    let metadata = file.metadata().map_err(failed)?;
    if token.id.is(&FileId::of(&metadata)) {
        let readable = File::open(path).map_err(failed)?;
        token
            .check(&readable)
            .map_err(failed)?
            .map_or(Ok(()), |differs| Err(differs.reason(token.length)))?;
        return cut(file, token.length, shown).map_err(failed);
    }
    let folder = Folder::list(path, &[token.id.inode]).map_err(failed)?;
    let Some((renamed, readable)) = renamed(&folder, token)? else {
        if is_new && metadata.len() == 0 {
            // Leaves the folder as it was.
            std::fs::remove_file(path).map_err(failed)?;
            return Err("it is missing".to_owned());
        }
        return Err(format!(
            "another file has its path (not inode {}), and none in the folder is the one that was written",
            token.id.inode
        ));
    };
    if let Some(differs) = token.check(&readable).map_err(failed)? {
        return Err(format!(
            "it was renamed to {}, and {}",
            renamed.name.display(),
            differs.reason(token.length)
        ));
    }
    // Later files were written behind the durable part.
    let own = FileId::of(&metadata);
    let is_other = |member: &&&Member| !member.is_holder && member.metadata.len() > 0;
    let later = folder.after(token.at, None);
    if let Some(other) = later.iter().filter(is_other).find(|other| {
        let is_younger = other.id.created.is_some_and(|created| created >= token.at);
        is_younger && !other.id.is(&token.id) && !other.id.is(&own)
    }) {
        return Err(format!(
            "it was renamed more than once after the last checkpoint, and {} may have records that are written again",
            other.name.display()
        ));
    }
    let is_younger = own.created.is_some_and(|created| created >= token.at);
    if metadata.len() > 0 && !is_younger {
        return Err(format!(
            "it was renamed to {}, and the file that has its path was not created after the last checkpoint",
            renamed.name.display()
        ));
    }
    let output = OpenOptions::new().write(true).open(&renamed.path);
    let output = output.map_err(failed)?;
    if !token
        .id
        .is(&FileId::of(&output.metadata().map_err(failed)?))
    {
        return Err("it was renamed again meanwhile".to_owned());
    }
    cut(&output, token.length, shown).map_err(failed)?;
    cut(file, 0, shown).map_err(failed)
}

/// Finds the written file under another name.
fn renamed<'f>(folder: &'f Folder, token: &Token) -> Result<Option<(&'f Member, File)>, String> {
    let is_it = |member: &&Member| !member.is_holder && token.id.is(&member.id);
    let Some(member) = folder.members.iter().find(is_it) else {
        return Ok(None);
    };
    let readable = member.open().map_err(|error| error.to_string())?;
    Ok(Some((member, readable)))
}

impl Token {
    /// Returns the difference of a file from the durable part.
    fn check(&self, file: &File) -> io::Result<Option<Differs>> {
        let len = file.metadata()?.len();
        Ok(if len < self.length {
            Some(Differs::Shorter { len })
        } else if self.last.stands_before(file, self.length)? {
            None
        } else {
            Some(Differs::Changed)
        })
    }
}

impl Differs {
    fn reason(&self, length: u64) -> String {
        match self {
            Self::Shorter { len } => {
                format!("it has {len} bytes, and {length} were written at the last checkpoint")
            }
            Self::Changed => {
                format!("its bytes before offset {length} are not those that were written")
            }
        }
    }
}

/// Cuts a file to a length, and syncs it.
fn cut(file: &File, length: u64, shown: &str) -> io::Result<()> {
    let removed = file.metadata()?.len().saturating_sub(length);
    if removed > 0 {
        file.set_len(length)?;
        tracing::info!(
            file = shown,
            bytes = removed,
            "removed what was written after the last checkpoint"
        );
    }
    file.sync_all()
}
