//! Suggestions for the name of a missing file.

use std::path::Path;

use super::diagnostics::nearest;
use crate::files;

/// Returns a file in the same folder that was probably meant by a missing one.
pub(crate) fn near_file(path: &Path) -> Option<String> {
    const MAX_LOOKED_AT: usize = 1000;
    let Ok(names) = files::names_in(path.parent()?, MAX_LOOKED_AT) else {
        return Some("its folder does not exist; paths are relative to the manifest".to_owned());
    };
    let name = path.file_name()?.to_str()?;
    let near = nearest(name, names.iter().map(String::as_str));
    Some(near.map_or_else(
        || "paths are relative to the manifest".to_owned(),
        |near| format!("there is a `{near}` in its folder"),
    ))
}
