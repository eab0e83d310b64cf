//! Checks the answers of a guest: ports and indexes in range, frames complete, all sizes within
//! their limits.

use bytes::Bytes;
use mosaik_streams::Frames;

use super::bindings::types;
use super::host::cut;
use super::limits::Limits;
use super::reports::{Counted, Outcomes};

/// The answer to a batch, a tick or the end of an input.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Processed {
    /// The output records, with the number of their output port (its position in
    /// [`Description::outputs`]), in the order of the guest. No batch is empty. A port may occur
    /// several times and may be unbound.
    ///
    /// [`Description::outputs`]: super::Description::outputs
    pub outputs: Vec<(u32, Frames)>,
    /// The rejected records of the batch, by ascending index, without duplicates.
    pub rejected: Vec<Rejected>,
    /// The outcomes of the other records, as reported by the guest.
    pub outcomes: Outcomes,
    /// The amounts added to the operator's counters.
    pub counted: Vec<Counted>,
    /// True if there is more output: call [`Instance::resume`](super::Instance::resume) until it is
    /// false. A guest may report this forever, so the caller has to limit the number of calls.
    pub more: bool,
}

/// A record that the operator rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Its index in the batch of the last call to `process`.
    pub index: u32,
    /// The reason, cut to [`Limits::reason_bytes_max`].
    pub reason: String,
}

/// The state of an operator, to be passed to its successor.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// The version of the operator's state: [`Description::state_version`] of the operator that
    /// saved it.
    ///
    /// [`Description::state_version`]: super::Description::state_version
    pub version: u32,
    /// The entries, in the order of the guest.
    pub entries: Vec<Entry>,
}

impl State {
    /// Returns the total size of keys and values in bytes.
    pub fn len(&self) -> usize {
        self.entries
            .iter()
            .map(|entry| entry.value.len() + entry.key.as_ref().map_or(0, Bytes::len))
            .sum()
    }

    /// Returns true if the state has no entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// An entry of a [`State`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key that the entry belongs to, if state is kept by key. Entries without one belong to
    /// the instance.
    pub key: Option<Bytes>,
    /// The value.
    pub value: Bytes,
}

impl State {
    /// Converts the guest's state without copying its buffers.
    pub(super) fn lift(said: types::StateResult) -> Self {
        let entry = |entry: types::EntryResult| Entry {
            key: entry.key.map(Bytes::from),
            value: entry.value.into(),
        };
        Self {
            version: said.version,
            entries: said.entries.into_iter().map(entry).collect(),
        }
    }

    /// Calls `lowered` with the state in the form that the guest receives.
    pub(super) fn lower<R>(&self, lowered: impl FnOnce(types::StateParam<'_>) -> R) -> R {
        let entries: Vec<_> = self
            .entries
            .iter()
            .map(|entry| types::EntryParam {
                key: entry.key.as_deref(),
                value: &entry.value,
            })
            .collect();
        lowered(types::StateParam {
            version: self.version,
            entries: &entries,
        })
    }
}

/// The batch that answers refer to. Over all answers to a batch, each record can be rejected once.
#[derive(Debug, Default)]
pub(super) struct Pending {
    count: usize,
    /// One bit per record, allocated on the first rejection.
    rejected: Vec<u64>,
}

impl Pending {
    /// Starts a new batch of `count` records.
    pub(super) fn begin(&mut self, count: usize) {
        self.count = count;
        self.rejected.clear();
    }

    fn reject(&mut self, index: u32) -> Result<(), String> {
        let position = index as usize;
        if position >= self.count {
            return Err(format!(
                "it rejects record {index} of a batch of {}",
                self.count
            ));
        }
        if self.rejected.is_empty() {
            self.rejected.resize(self.count.div_ceil(64), 0);
        }
        let (word, bit) = (&mut self.rejected[position / 64], 1 << (position % 64));
        if *word & bit != 0 {
            return Err(format!("it rejects record {index} twice"));
        }
        *word |= bit;
        Ok(())
    }
}

/// Checks an answer of a guest that has `ports` output ports. The error is one sentence.
pub(super) fn check(
    said: types::Processed,
    ports: usize,
    limits: &Limits,
    pending: &mut Pending,
) -> Result<Processed, String> {
    let mut outputs = Vec::with_capacity(said.outputs.len());
    for types::Output { port, frames } in said.outputs {
        if port as usize >= ports {
            return Err(format!("output port {port} of {ports}"));
        }
        let frames = Frames::from_wire(frames.into(), limits.datum_bytes_max)
            .map_err(|error| format!("on output port {port}, {error}"))?;
        if !frames.is_empty() {
            outputs.push((port, frames));
        }
    }
    let mut rejected = Vec::with_capacity(said.rejected.len());
    for types::Rejected { index, reason } in said.rejected {
        pending.reject(index)?;
        rejected.push(Rejected {
            index,
            reason: shorten(reason, limits.reason_bytes_max),
        });
    }
    rejected.sort_by_key(|rejected| rejected.index);
    Ok(Processed {
        outputs,
        rejected,
        more: said.more,
        ..Processed::default()
    })
}

/// Cuts a guest's text to `max` bytes and frees the rest of its memory.
pub(super) fn shorten(text: String, max: usize) -> String {
    if text.len() <= max {
        text
    } else {
        cut(&text, max).to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejects(indexes: &[u32]) -> types::Processed {
        let rejected = indexes
            .iter()
            .map(|&index| types::Rejected {
                index,
                reason: "no".into(),
            })
            .collect();
        types::Processed {
            outputs: Vec::new(),
            rejected,
            more: false,
        }
    }

    #[test]
    fn rejections_are_in_range_once_and_in_order() {
        let limits = Limits::default();
        let mut pending = Pending::default();
        pending.begin(100);
        let first = check(rejects(&[99, 3]), 1, &limits, &mut pending).unwrap();
        assert_eq!(
            first.rejected.iter().map(|r| r.index).collect::<Vec<_>>(),
            [3, 99]
        );
        let twice = check(rejects(&[5, 99]), 1, &limits, &mut pending).unwrap_err();
        assert_eq!(twice, "it rejects record 99 twice");
        let outside = check(rejects(&[100]), 1, &limits, &mut pending).unwrap_err();
        assert_eq!(outside, "it rejects record 100 of a batch of 100");
        pending.begin(0);
        assert!(check(rejects(&[0]), 1, &limits, &mut pending).is_err());
    }

    #[test]
    fn long_reasons_are_truncated() {
        let limits = Limits {
            reason_bytes_max: 1,
            ..Limits::default()
        };
        let mut pending = Pending::default();
        pending.begin(1);
        let checked = check(rejects(&[0]), 1, &limits, &mut pending).unwrap();
        assert_eq!(checked.rejected[0].reason, "n");
    }

    #[test]
    fn outputs_are_whole_frames_on_known_ports() {
        let limits = Limits {
            datum_bytes_max: 3,
            ..Limits::default()
        };
        let said = |port, frames: &[u8]| types::Processed {
            outputs: vec![types::Output {
                port,
                frames: frames.to_vec(),
            }],
            rejected: Vec::new(),
            more: true,
        };
        let check = |said| check(said, 2, &limits, &mut Pending::default());
        let good = check(said(1, b"\0\0\0\x03abc")).unwrap();
        assert_eq!(
            good,
            Processed {
                outputs: vec![(1, Frames::single(b"abc"))],
                more: true,
                ..Processed::default()
            }
        );
        assert_eq!(check(said(0, b"")).unwrap().outputs, []);
        assert_eq!(check(said(2, b"")).unwrap_err(), "output port 2 of 2");
        assert!(
            check(said(0, b"\0\0\0\x03ab"))
                .unwrap_err()
                .contains("incomplete")
        );
        assert!(
            check(said(0, b"\0\0\0\x04abcd"))
                .unwrap_err()
                .contains("above the limit of 3 bytes")
        );
    }
}
