//! The handshake of a subscription, before records flow. No I/O.
//!
//! A consumer's handshake and a producer's answer have 64 bytes each, as in plain Mosaik, followed by an [`Extension`].

use std::time::Duration;

use bytes::Bytes;

use super::format::Format;
use crate::{
    Criteria, NetworkId, StreamId, UniqueId,
    durable::{StartAt, from_millis, millis},
    peer::extension::{self, Extension},
    primitives::random_id,
};

/// The protocol name.
pub(crate) const ALPN: &[u8] = b"/mosaik/streams/1.0";
/// The maximum length of a handshake: 64 bytes and an extension of at most 64 KiB.
pub(crate) const MAX_HELLO_LEN: usize = IDS_LEN + extension::MAX_LEN;

/// The time limit for a consumer's handshake, and for a producer's answer.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

const IDS_LEN: usize = 64;

/// Identifies an incarnation of a producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Epoch(pub(crate) [u8; 16]);

/// Identifies a consumer, and the process that it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SubscriberId {
    pub(crate) process: [u8; 16],
    pub(crate) consumer: [u8; 16],
}

/// Offers to confirm records, and to receive unconfirmed ones again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Offer {
    /// The name of the subscription. It stays the same when the node restarts.
    pub(crate) name: UniqueId,
    /// The last known incarnation of the producer, and the position after the last record received from it.
    pub(crate) received: Option<(Epoch, u64)>,
    /// Where it begins in the log of a durable stream, if neither side knows a position.
    pub(crate) start: StartAt,
}

fn encode_start(start: StartAt) -> Bytes {
    let (kind, value) = match start {
        StartAt::Earliest => (0u8, 0),
        StartAt::Latest => (1, 0),
        StartAt::Time(time) => (2, millis(time)),
        StartAt::Position(position) => (3, position),
    };
    Bytes::from([&[kind][..], &value.to_be_bytes()].concat())
}

/// Any other length or kind counts as the default.
fn decode_start(bytes: &[u8]) -> StartAt {
    let fields = bytes.split_first_chunk::<1>();
    let fields = fields.and_then(|(kind, value)| Some((kind[0], value.try_into().ok()?)));
    match fields.map(|(kind, value)| (kind, u64::from_be_bytes(value))) {
        Some((0, _)) => StartAt::Earliest,
        Some((2, value)) => from_millis(value).map_or(StartAt::Latest, StartAt::Time),
        Some((3, value)) => StartAt::Position(value),
        _ => StartAt::default(),
    }
}

/// A consumer's request for a stream.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Hello {
    pub(crate) network: NetworkId,
    pub(crate) stream: StreamId,
    pub(crate) criteria: Criteria,
    /// `None` for plain Mosaik.
    pub(crate) id: Option<SubscriberId>,
    /// The record format that the consumer declares, if any.
    pub(crate) format: Option<Format>,
    /// `None` for plain Mosaik and earlier versions.
    pub(crate) offer: Option<Offer>,
    /// The number of consumers on the node that share the subscription, at least 1.
    pub(crate) consumers: u16,
}

/// A producer's answer to a [`Hello`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) network: NetworkId,
    pub(crate) stream: StreamId,
    /// True if the producer applies the criteria. Otherwise the consumer must.
    pub(crate) selects: bool,
    /// The incarnation of the producer, and the number of its records before the first one of this subscription.
    pub(crate) position: Option<(Epoch, u64)>,
    /// The record format that the producer declares, if any.
    pub(crate) format: Option<Format>,
    /// The unconfirmed records that the producer retains, if it does.
    pub(crate) kept: Option<Kept>,
    /// The oldest position of the log, and the first one that is not visible, if the stream is durable. The incarnation
    /// is then the id of the log.
    pub(crate) log: Option<(u64, u64)>,
}

/// The unconfirmed records that a producer retains for one subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kept {
    /// The number of retained records with which the connection starts. They were selected by earlier criteria.
    pub(crate) records: u64,
    /// The maximum number of retained bytes. At the limit, the producer pauses until some are confirmed.
    pub(crate) max_bytes: u64,
}

impl Kept {
    fn encode(self) -> Bytes {
        let fields = [self.records.to_be_bytes(), self.max_bytes.to_be_bytes()];
        Bytes::from(fields.concat())
    }

    /// Returns `None` for any other length.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let ([records, max_bytes], []) = bytes.as_chunks::<8>() else {
            return None;
        };
        Some(Self {
            records: u64::from_be_bytes(*records),
            max_bytes: u64::from_be_bytes(*max_bytes),
        })
    }
}

/// A consumer's change of its request during a subscription: an extension only, at most 64 KiB.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Retune {
    pub(crate) criteria: Criteria,
    /// As in [`Hello`].
    pub(crate) consumers: u16,
}

/// A frame that is too short for a handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("handshake of {0} bytes, expected at least {IDS_LEN}")]
pub(crate) struct TooShort(usize);

impl Epoch {
    pub(crate) fn random() -> Self {
        Self(random_id())
    }
}

impl Offer {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = self.name.as_bytes().to_vec();
        if let Some((Epoch(epoch), position)) = self.received {
            bytes.extend_from_slice(&epoch);
            bytes.extend_from_slice(&position.to_be_bytes());
        }
        bytes
    }

    /// Returns `None` for any other than the two valid lengths.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let (name, rest) = bytes.split_first_chunk::<32>()?;
        let received = match rest.split_first_chunk::<16>() {
            None if rest.is_empty() => None,
            Some((epoch, position)) => {
                let position = u64::from_be_bytes(position.try_into().ok()?);
                Some((Epoch(*epoch), position))
            }
            None => return None,
        };
        Some(Self {
            name: UniqueId::from_bytes(*name),
            received,
            start: StartAt::default(),
        })
    }
}

impl Hello {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut extension = Extension::new();
        if let Some(SubscriberId { process, consumer }) = self.id {
            extension.set(extension::EPOCH, Bytes::from([process, consumer].concat()));
        }
        if let Some(offer) = &self.offer {
            extension.set(extension::CONFIRMS, offer.encode());
            if offer.start != StartAt::default() {
                extension.set(extension::DURABLE, encode_start(offer.start));
            }
        }
        // Criteria that do not fit are not sent: without an acknowledgement, the consumer applies them itself.
        if !self.criteria.is_everything()
            && let Ok(criteria) = self.criteria.to_wire()
        {
            extension.set(extension::CRITERIA, criteria);
        }
        set_format(&mut extension, self.format);
        set_consumers(&mut extension, self.consumers);
        frame(&self.network, &self.stream, &extension)
    }

    /// Criteria that cannot be decoded count as none: without an acknowledgement, the consumer applies them itself.
    pub(crate) fn decode(frame: &[u8]) -> Result<Self, TooShort> {
        let (network, stream, extension) = split(frame)?;
        let criteria = extension
            .get(extension::CRITERIA)
            .and_then(|bytes| Criteria::from_wire(bytes).ok());
        let id = extension
            .get(extension::EPOCH)
            .and_then(|bytes| match bytes.as_chunks::<16>() {
                ([process, consumer], []) => Some(SubscriberId {
                    process: *process,
                    consumer: *consumer,
                }),
                _ => None,
            });
        Ok(Self {
            network,
            stream,
            criteria: criteria.unwrap_or_default(),
            id,
            format: format_of(&extension),
            offer: extension
                .get(extension::CONFIRMS)
                .and_then(Offer::decode)
                .map(|offer| Offer {
                    start: extension
                        .get(extension::DURABLE)
                        .map_or_else(StartAt::default, decode_start),
                    ..offer
                }),
            consumers: consumers_of(&extension),
        })
    }
}

impl Start {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut extension = Extension::new();
        if self.selects {
            extension.set(extension::CRITERIA_ACK, Bytes::new());
        }
        if let Some((Epoch(epoch), position)) = self.position {
            extension.set(extension::EPOCH, Bytes::copy_from_slice(&epoch));
            extension.set(
                extension::RECEIVED,
                Bytes::copy_from_slice(&position.to_be_bytes()),
            );
        }
        set_format(&mut extension, self.format);
        if let Some(kept) = self.kept {
            extension.set(extension::CONFIRMS, kept.encode());
        }
        if let Some((start, end)) = self.log {
            let range = [start.to_be_bytes(), end.to_be_bytes()].concat();
            extension.set(extension::DURABLE, Bytes::from(range));
        }
        frame(&self.network, &self.stream, &extension)
    }

    pub(crate) fn decode(frame: &[u8]) -> Result<Self, TooShort> {
        let (network, stream, extension) = split(frame)?;
        let epoch = extension
            .get(extension::EPOCH)
            .and_then(|bytes| bytes.try_into().ok());
        let position = extension
            .get(extension::RECEIVED)
            .and_then(|bytes| bytes.try_into().ok());
        Ok(Self {
            network,
            stream,
            selects: extension.get(extension::CRITERIA_ACK).is_some(),
            position: epoch
                .zip(position)
                .map(|(epoch, position)| (Epoch(epoch), u64::from_be_bytes(position))),
            format: format_of(&extension),
            kept: extension.get(extension::CONFIRMS).and_then(Kept::decode),
            log: extension
                .get(extension::DURABLE)
                .and_then(|bytes| match bytes.as_chunks::<8>() {
                    ([start, end], []) => {
                        Some((u64::from_be_bytes(*start), u64::from_be_bytes(*end)))
                    }
                    _ => None,
                }),
        })
    }
}

impl Retune {
    /// Criteria that do not fit are not sent; every record is requested then.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut extension = Extension::new();
        let fitting = self.criteria.to_wire();
        let wire = fitting.or_else(|_| Criteria::default().to_wire());
        if let Ok(wire) = wire {
            extension.set(extension::CRITERIA, wire);
        }
        set_consumers(&mut extension, self.consumers);
        let mut frame = Vec::new();
        extension.append_to(&mut frame);
        frame
    }

    /// Returns `None` for anything else. The consumer applies its criteria in any case.
    pub(crate) fn decode(frame: &[u8]) -> Option<Self> {
        let extension = Extension::parse(frame);
        let criteria = Criteria::from_wire(extension.get(extension::CRITERIA)?).ok()?;
        Some(Self {
            criteria,
            consumers: consumers_of(&extension),
        })
    }
}

/// A count of one is omitted: plain Mosaik and earlier versions know no other.
fn set_consumers(extension: &mut Extension, consumers: u16) {
    if consumers > 1 {
        extension.set(
            extension::CONSUMERS,
            Bytes::copy_from_slice(&consumers.to_be_bytes()),
        );
    }
}

fn consumers_of(extension: &Extension) -> u16 {
    let bytes = extension.get(extension::CONSUMERS);
    let consumers = bytes.and_then(|bytes| bytes.try_into().ok());
    consumers.map_or(1, u16::from_be_bytes).max(1)
}

fn set_format(extension: &mut Extension, format: Option<Format>) {
    if let Some(format) = format {
        extension.set(extension::FORMAT, format.to_wire());
    }
}

fn format_of(extension: &Extension) -> Option<Format> {
    Format::from_wire(extension.get(extension::FORMAT)?)
}

fn frame(network: &NetworkId, stream: &StreamId, extension: &Extension) -> Vec<u8> {
    let mut frame = [*network.as_bytes(), *stream.as_bytes()].concat();
    extension.append_to(&mut frame);
    frame
}

fn split(frame: &[u8]) -> Result<(NetworkId, StreamId, Extension), TooShort> {
    let short = || TooShort(frame.len());
    let (network, rest) = frame.split_first_chunk::<32>().ok_or_else(short)?;
    let (stream, tail) = rest.split_first_chunk::<32>().ok_or_else(short)?;
    Ok((
        NetworkId::from_bytes(*network),
        StreamId::from_bytes(*stream),
        Extension::parse(tail),
    ))
}

#[cfg(test)]
mod tests;
