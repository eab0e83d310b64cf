//! The state of an operator in a checkpoint.

use super::{
    Key, Partitioning, RestoreError,
    history::{Saved, repeat_end},
    partitioning::repartition,
};
use crate::{
    checkpoint::{InstanceImage, StageImage},
    operator::{Entry, Instance, State},
};

/// The state from which an operator resumes after a restart of the process: one part for each instance.
#[derive(Debug)]
pub struct RestoredState {
    saved: Vec<Option<Saved>>,
    /// The input ports whose end the instances have processed.
    ended_ports: Vec<u32>,
}

impl RestoredState {
    /// Restores the state of a checkpoint in instances that were just opened.
    ///
    /// # Errors
    /// The state cannot be spread over these instances, or an instance does not accept it.
    pub fn restore(
        image: &StageImage,
        instances: &mut [Instance],
        partitioning: &Partitioning,
    ) -> Result<Self, RestoreError> {
        let StageImage::Operator {
            instances: images,
            key,
            ended_ports,
            ..
        } = image
        else {
            return Err(RestoreError::OtherKind);
        };
        let before = Partitioning {
            instances: images.len(),
            key: key
                .as_ref()
                .map(|fields| Key::new(fields.iter().map(String::as_str))),
        };
        let saved = images.iter().map(saved).collect();
        let saved = repartition(saved, &before, partitioning)?;
        for (instance, saved) in instances.iter_mut().zip(&saved) {
            if let Some(saved) = saved {
                instance
                    .restore(&saved.state)
                    .map_err(RestoreError::Rejected)?;
            }
            for port in ended_ports {
                repeat_end(instance, *port).map_err(RestoreError::Rejected)?;
            }
        }
        Ok(Self {
            saved,
            ended_ports: ended_ports.clone(),
        })
    }

    /// Returns the parts of the state, one for each instance, and the input ports whose end was worked off.
    pub(super) fn into_parts(self) -> (Vec<Option<Saved>>, Vec<u32>) {
        (self.saved, self.ended_ports)
    }
}

/// Returns the state of instances for a checkpoint.
pub(super) fn instance_images(saved: Vec<Saved>) -> Vec<InstanceImage> {
    let images = saved
        .into_iter()
        .map(|Saved { state, kept }| InstanceImage {
            version: state.version,
            kept,
            entries: state
                .entries
                .into_iter()
                .map(|Entry { key, value }| (key.map(Vec::from), Vec::from(value)))
                .collect(),
        });
    images.collect()
}

fn saved(image: &InstanceImage) -> Saved {
    let entries = image.entries.iter().map(|(key, value)| Entry {
        key: key.as_ref().map(|key| key.clone().into()),
        value: value.clone().into(),
    });
    Saved {
        state: State {
            version: image.version,
            entries: entries.collect(),
        },
        kept: image.kept,
    }
}
