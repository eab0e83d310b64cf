//! The state of an operator in a checkpoint.

use super::{
    Key, Partitioning,
    history::{Saved, repeat_end},
    partitioning::repartition,
};
use crate::{
    checkpoint::{InstanceImage, StageImage},
    operator::{Entry, Instance, State},
};

/// The state with which an operator goes on after a restart of the process: one part for each instance.
#[derive(Debug)]
pub struct RestoredState {
    saved: Vec<Option<Saved>>,
    /// The input ports whose end was worked off.
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
    ) -> Result<Self, String> {
        let StageImage::Operator {
            instances: images,
            key,
            ended_ports,
            ..
        } = image
        else {
            return Err("the checkpoint holds another kind of stage of this name".to_owned());
        };
        let before = Partitioning {
            instances: images.len(),
            key: key
                .as_ref()
                .map(|fields| Key::new(fields.iter().map(String::as_str))),
        };
        let saved = images.iter().map(saved).collect();
        let saved = repartition(saved, &before, partitioning)?;
        let rejected = |error| format!("it rejects its state of the last checkpoint: {error}");
        for (instance, saved) in instances.iter_mut().zip(&saved) {
            if let Some(saved) = saved {
                instance.restore(&saved.state).map_err(rejected)?;
            }
            for port in ended_ports {
                repeat_end(instance, *port).map_err(rejected)?;
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
