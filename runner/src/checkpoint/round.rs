//! [`Round`]: collects the notes of all stages for one checkpoint. No I/O.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    StageId, StageImage, Stages,
    line::{Event, Note},
};

/// The stages of a graph, with the number of each one's start.
#[derive(Debug, Default)]
pub(super) struct Members {
    live: BTreeMap<StageId, u64>,
    /// The final notes of stages that have ended.
    ended: Stages,
    /// Stages that ended without a final note.
    missing: BTreeSet<StageId>,
    /// The first notes of stages that are about to start.
    first: Stages,
}

impl Members {
    /// Adds a stage that starts. It replaces its predecessor. With the number of the current start, nothing changes.
    pub(super) fn join(&mut self, stage: StageId, start: u64) {
        if self.live.insert(stage.clone(), start) != Some(start) {
            self.ended.remove(&stage);
            self.missing.remove(&stage);
        }
    }

    /// Adds the first notes of stages that are about to start.
    pub(super) fn expect(&mut self, first: [&Stages; 2]) {
        self.first.extend(
            first
                .into_iter()
                .flatten()
                .map(|(stage, image)| (stage.clone(), image.clone())),
        );
    }

    /// Notes that a stage has ended.
    fn leave(&mut self, stage: StageId) {
        self.live.remove(&stage);
        if !self.ended.contains_key(&stage) {
            self.missing.insert(stage);
        }
    }

    /// Forgets all stages but these.
    pub(super) fn keep(&mut self, stages: &[StageId]) {
        self.live.retain(|stage, _| stages.contains(stage));
        self.ended.retain(|stage, _| stages.contains(stage));
        self.missing.retain(|stage| stages.contains(stage));
        self.first.retain(|stage, _| stages.contains(stage));
    }

    /// Returns a stage whose state is lost, so that no checkpoint can be complete.
    pub(super) fn missing(&self) -> Option<&StageId> {
        self.missing.first()
    }

    /// Takes the final note of a stage.
    fn end(&mut self, stage: StageId, image: StageImage) {
        self.ended.insert(stage, image);
    }
}

/// One checkpoint while it is being taken.
#[derive(Debug)]
pub(super) struct Round {
    number: u64,
    images: Stages,
    /// The reason that a stage has no state to note.
    refused: Option<String>,
}

impl Round {
    pub(super) const fn new(number: u64) -> Self {
        Self {
            number,
            images: BTreeMap::new(),
            refused: None,
        }
    }

    /// Returns the reason that the checkpoint has to be given up.
    pub(super) fn refused(&self) -> Option<&str> {
        self.refused.as_deref()
    }

    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    /// Returns the stages whose notes have not come.
    pub(super) fn waits_for<'a>(
        &'a self,
        members: &'a Members,
    ) -> impl Iterator<Item = &'a StageId> {
        let live = members.live.keys();
        live.filter(|stage| !self.images.contains_key(stage) && !members.ended.contains_key(stage))
    }

    /// Takes the images of all stages once the notes of all have come.
    pub(super) fn complete(&mut self, members: &Members) -> Option<Stages> {
        if members.missing().is_some() || self.waits_for(members).next().is_some() {
            return None;
        }
        // A stage that has not started yet is in the image as it begins, and one that ended after its barrier as it was
        // at the barrier.
        let mut images = members.first.clone();
        images.extend(members.ended.clone());
        images.append(&mut self.images);
        Some(images)
    }
}

/// Takes a note of a stage, for the round that is under way if there is one. Notes of a stage that has a successor are
/// ignored.
pub(super) fn take(members: &mut Members, round: Option<&mut Round>, note: Note) {
    let Note {
        stage,
        start,
        event,
    } = note;
    if members.live.get(&stage) != Some(&start) {
        return;
    }
    match event {
        Event::Ended(image) => members.end(stage, image),
        Event::Left => members.leave(stage),
        Event::Refused(number, reason) => {
            if let Some(round) = round.filter(|round| round.number == number) {
                round.refused = Some(format!("{stage}: {reason}"));
            }
        }
        Event::Replaced(number) => {
            if let Some(round) = round.filter(|round| round.number == number) {
                round.refused = Some(format!("{stage} has changed"));
            }
        }
        Event::Passed(number, image) => {
            if let Some(round) = round.filter(|round| round.number == number) {
                round.images.insert(stage, image);
            }
        }
    }
}
