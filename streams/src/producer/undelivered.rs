//! Datums that no subscriber wants, given back to whoever asked for them. No I/O.

use std::sync::Arc;

use super::subscriber::Subscriber;
use crate::Frames;

/// Takes back a datum's bytes; false when it does not.
pub(super) type GiveBack = Arc<dyn Fn(&[u8]) -> bool + Send + Sync>;

/// Gives back those datums of a batch that none of the subscribers wants. The number that was taken.
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
