//! [`Rows`]: the records of a batch beside the rows that a sink writes for them.

use mosaik_streams::{Frames, FramesBuilder};

/// Records in the form in which the sink writes them, and as they are for dead-letter records.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) rows: Frames,
    pub(super) records: Frames,
}

impl Rows {
    /// Creates rows of records: one of each, in the same order.
    pub(super) fn new(rows: Frames, records: Frames) -> Self {
        debug_assert_eq!(rows.count(), records.count());
        Self { rows, records }
    }

    pub(super) fn count(&self) -> usize {
        self.rows.count()
    }

    pub(super) fn split_front(&mut self, count: usize) -> Self {
        Self {
            rows: self.rows.split_front(count, usize::MAX),
            records: self.records.split_front(count, usize::MAX),
        }
    }
}

/// Returns a batch without some of its records, whose indexes ascend.
pub(super) fn without(batch: Frames, mut indexes: impl Iterator<Item = usize>) -> Frames {
    let mut next = indexes.next();
    if next.is_none() {
        return batch;
    }
    let mut kept = FramesBuilder::with_capacity(batch.payload_len());
    for (index, record) in batch.iter().enumerate() {
        if next == Some(index) {
            next = indexes.next();
        } else {
            kept.push(record);
        }
    }
    kept.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_left_out_by_index() {
        let batch: Frames = [b"a", b"b", b"c", b"d"].into_iter().collect();
        for (indexes, kept) in [
            (&[][..], "abcd"),
            (&[0, 2], "bd"),
            (&[3], "abc"),
            (&[0, 1, 2, 3], ""),
        ] {
            let rest = without(batch.clone(), indexes.iter().copied());
            let text: Vec<u8> = rest.iter().flatten().copied().collect();
            assert_eq!(text, kept.as_bytes());
        }
    }
}
