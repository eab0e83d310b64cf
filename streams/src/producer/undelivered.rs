//! Returns records that no subscriber selects to the application. No I/O.

use std::sync::Arc;

use super::subscriber::Subscriber;
use crate::Frames;

/// Returns the bytes of a record to the application. Returns false if it does not accept them.
pub(super) type GiveBack = Arc<dyn Fn(&[u8]) -> bool + Send + Sync>;

/// Gives back the records of a batch that no subscriber selects. Returns the number of records that were accepted.
pub(super) fn give_back(
    give_back: &GiveBack,
    subscribers: &[Arc<Subscriber>],
    batch: &Frames,
) -> usize {
    let present = subscribers.iter().filter(|one| !one.is_on_leave());
    let filters: Vec<_> = present.map(|one| one.filter()).collect();
    if filters.iter().any(|filter| filter.is_everything()) {
        return 0;
    }
    let is_unwanted = |datum: &&[u8]| !filters.iter().any(|filter| filter.wants(datum));
    batch
        .iter()
        .filter(is_unwanted)
        .filter(|datum| give_back(datum))
        .count()
}
