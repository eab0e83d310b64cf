//! How far a stage has read durable streams of other nodes, in a checkpoint.

use mosaik_streams::durable::{LogPosition, SourcePosition};

use super::Input;
use crate::checkpoint::ReadPosition;

/// Returns how far inputs have read. Everything that they have received is worked off.
pub(super) fn read_positions(inputs: &mut [Input]) -> Vec<ReadPosition> {
    let positions = inputs.iter_mut().flat_map(|input| {
        let port = input.port;
        let positions = input.consumer.positions().into_iter();
        positions.map(move |source| ReadPosition {
            port,
            peer: source.peer.to_string(),
            log: source.at.log.to_string(),
            position: source.at.position,
        })
    });
    positions.collect()
}

/// Returns the positions at which an input goes on.
pub fn positions_of(read: &[ReadPosition], port: u32) -> Vec<SourcePosition> {
    let of_port = read.iter().filter(|read| read.port == port);
    let positions = of_port.filter_map(|read| {
        Some(SourcePosition {
            peer: read.peer.parse().ok()?,
            at: LogPosition {
                log: read.log.parse().ok()?,
                position: read.position,
            },
        })
    });
    positions.collect()
}
