//! `durable`: the log of a stream from which other nodes read.

use std::time::Duration;

use mosaik_streams::durable::{DurableConfig, Visible, WhenFull};

use crate::declare::{duration, nested, section, size, words};

/// The smallest log: 1 MiB.
const MIN_BYTES: u64 = 1 << 20;
/// The largest log: 1 PiB.
const MAX_BYTES: u64 = 1 << 50;
/// The shortest age: 1 min.
const MIN_AGE: Duration = Duration::from_mins(1);
/// The longest age: 10 years.
const MAX_AGE: Duration = Duration::from_hours(24 * 3650);

const WHEN_FULL: &[(&str, WhenFull)] = &[
    ("wait", WhenFull::Wait),
    ("drop_oldest", WhenFull::DropOldest),
];

const VISIBLE: &[(&str, Visible)] = &[
    ("committed", Visible::Committed),
    ("immediate", Visible::Immediate),
];

section! {
    /// How many records a durable stream keeps. The limit that is reached first applies.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Retain: "retain" + Default {
        /// Length of the log on the disk.
        pub bytes: u64 = size(MIN_BYTES, MAX_BYTES), default(1 << 30);
        /// Age of a record. A reader that is not connected for this long is forgotten.
        pub age: Duration = duration(MIN_AGE, MAX_AGE), default(Duration::from_hours(24));
    }
}

section! {
    /// The log of a stream, from which other nodes read; `{}` is enough.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Durable: "durable" + Default {
        /// Records that the log keeps.
        pub retain: Retain = nested::<Retain>(), default(Retain::default());
        /// Policy for a full disk: `wait` makes producers wait, `drop_oldest` removes the oldest records.
        pub when_full: WhenFull = words(WHEN_FULL), default(WhenFull::Wait);
        /// When other nodes receive a record: once its checkpoint is complete, or once it is on the disk.
        pub visible: Option<Visible> = words(VISIBLE), unset("`committed` with `checkpoint`, otherwise `immediate`");
    }
}

impl Durable {
    /// Returns the settings of the log, given whether the graph has checkpoints. Without any, nothing would ever be
    /// committed.
    pub fn config(&self, has_checkpoints: bool) -> DurableConfig {
        let visible = self.visible.unwrap_or(Visible::Committed);
        DurableConfig {
            retain_bytes: self.retain.bytes,
            retain_age: self.retain.age,
            when_full: self.when_full,
            visible: if has_checkpoints {
                visible
            } else {
                Visible::Immediate
            },
        }
    }
}
