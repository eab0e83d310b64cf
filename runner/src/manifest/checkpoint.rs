//! `checkpoint`: where and how often the state of the graph is saved.

use std::{path::PathBuf, time::Duration};

use crate::{
    connector::DeliveryClass,
    declare::{duration, path, section, words},
};

/// The shortest interval: 50 ms.
const MIN_EVERY: Duration = Duration::from_millis(50);
/// The longest interval: 1 h.
const MAX_EVERY: Duration = Duration::from_hours(1);

const CLASSES: &[(&str, DeliveryClass)] = &[
    ("exactly_once", DeliveryClass::ExactlyOnce),
    ("at_least_once", DeliveryClass::AtLeastOnce),
];

section! {
    /// Checkpoints of the whole graph. A process that restarts resumes from the last one, as if it had never
    /// stopped.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct CheckpointConfig: "checkpoint" + Default {
        /// Time between two checkpoints. After a crash, at most the work of this time is done again.
        pub every: Duration = duration(MIN_EVERY, MAX_EVERY), default(Duration::from_secs(1));
        /// Folder that holds them. One node at a time can use it.
        pub path: Option<PathBuf> = path(), unset("a folder for this manifest in the state folder");
        /// Weakest delivery class that a path may have. A weaker one is an error.
        pub require: Option<DeliveryClass> = words(CLASSES), unset("any"), keep;
    }
}
