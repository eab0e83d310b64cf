//! Catches the panics of redb on files that are damaged in a way that it does not expect.

use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use super::LedgerError;

thread_local! {
    static IS_GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Returns whether a panic of this thread is caught and becomes an error, so that it needs no message of its own.
pub fn is_guarded() -> bool {
    IS_GUARDED.get()
}

/// Reads or opens the file in a folder. A panic becomes [`LedgerError::Damaged`].
pub(super) fn guarded<T>(
    folder: &Path,
    read: impl FnOnce() -> Result<T, LedgerError>,
) -> Result<T, LedgerError> {
    let before = IS_GUARDED.replace(true);
    // What `read` has opened is dropped, and nothing else is shared with it.
    let done = catch_unwind(AssertUnwindSafe(read));
    IS_GUARDED.set(before);
    done.unwrap_or_else(|panic| {
        let reason = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let reason = reason.or_else(|| panic.downcast_ref::<String>().cloned());
        Err(LedgerError::Damaged {
            folder: folder.to_owned(),
            reason: reason.unwrap_or_else(|| "its structure is invalid".to_owned()),
        })
    })
}
