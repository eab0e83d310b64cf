//! What the two sides of a subscription say to each other before datums flow. No I/O.
//!
//! A consumer's handshake and a producer's answer are 64 bytes each, as plain Mosaik has them; what we add follows in an
//! [`Extension`].

use bytes::Bytes;

use super::Format;
use crate::{
    Criteria, NetworkId, StreamId, UniqueId,
    network::extension::{self, Extension},
};

/// The protocol's name.
pub(crate) const ALPN: &[u8] = b"/mosaik/streams/1.0";
/// The longest handshake: its 64 bytes and an extension of at most 64 KiB.
pub(crate) const MAX_HELLO_LEN: usize = IDS_LEN + extension::MAX_LEN;

const IDS_LEN: usize = 64;

/// Names the life of a producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Epoch(pub(crate) [u8; 16]);

/// Tells apart the consumers of one node and the lives of that node's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SubscriberId {
    pub(crate) process: [u8; 16],
    pub(crate) consumer: [u8; 16],
}

/// A consumer can confirm what it takes, and be sent again what it did not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Offer {
    /// What the subscription is called, the same in each life of the node.
    pub(crate) name: UniqueId,
    /// The producer's life that was heard last, and the position behind the last record that was received of it.
    pub(crate) received: Option<(Epoch, u64)>,
}

/// A consumer asks for a stream.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Hello {
    pub(crate) network: NetworkId,
    pub(crate) stream: StreamId,
    pub(crate) criteria: Criteria,
    /// Plain Mosaik does not say.
    pub(crate) id: Option<SubscriberId>,
    /// What the consumer takes the records for, if it declares that.
    pub(crate) format: Option<Format>,
    /// Plain Mosaik, and versions before this one, do not offer it.
    pub(crate) offer: Option<Offer>,
    /// How many consumers of the node share the subscription, at least 1.
    pub(crate) consumers: u16,
}

/// A producer grants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) network: NetworkId,
    pub(crate) stream: StreamId,
    /// Whether the producer applies the criteria; if not, the consumer must.
    pub(crate) selects: bool,
    /// The producer's life, and how many of its datums went by before the first of this subscription.
    pub(crate) position: Option<(Epoch, u64)>,
    /// What the records are, if the producer declares that.
    pub(crate) format: Option<Format>,
    /// What the producer keeps of unconfirmed records, if it does.
    pub(crate) kept: Option<Kept>,
}

/// The unconfirmed records that a producer keeps for one subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kept {
    /// The number of records at the start of the connection that were kept from before it. The criteria of that time
    /// selected them.
    pub(crate) records: u64,
    /// The most bytes that it keeps. At the bound it sends nothing before some are confirmed.
    pub(crate) max_bytes: u64,
}

impl Kept {
    fn encode(self) -> Bytes {
        let fields = [self.records.to_be_bytes(), self.max_bytes.to_be_bytes()];
        Bytes::from(fields.concat())
    }

    /// `None` for another length.
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

/// A consumer that was granted its stream asks for something else than before: an extension alone, at most 64 KiB.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Retune {
    pub(crate) criteria: Criteria,
    /// As in [`Hello`].
    pub(crate) consumers: u16,
}

/// A frame that is no handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a handshake of {0} bytes, fewer than {IDS_LEN}")]
pub(crate) struct TooShort(usize);

/// 16 bytes drawn at random.
pub(crate) fn random_id() -> [u8; 16] {
    let mut id = [0; 16];
    id.copy_from_slice(&crate::Digest::random().as_bytes()[..16]);
    id
}

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

    /// `None` when it is neither of its two lengths.
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
        }
        // Criteria that do not fit stay here: without the producer's word the consumer applies them itself.
        if !self.criteria.is_everything()
            && let Ok(criteria) = self.criteria.to_wire()
        {
            extension.set(extension::CRITERIA, criteria);
        }
        set_format(&mut extension, self.format);
        set_consumers(&mut extension, self.consumers);
        frame(&self.network, &self.stream, &extension)
    }

    /// Criteria that cannot be read count as none: the consumer hears no word that they are applied.
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
            offer: extension.get(extension::CONFIRMS).and_then(Offer::decode),
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
        })
    }
}

impl Retune {
    /// Criteria that do not fit stay here, and everything is asked for.
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

    /// `None` when it is something else; whoever sent it selects for itself.
    pub(crate) fn decode(frame: &[u8]) -> Option<Self> {
        let extension = Extension::parse(frame);
        let criteria = Criteria::from_wire(extension.get(extension::CRITERIA)?).ok()?;
        Some(Self {
            criteria,
            consumers: consumers_of(&extension),
        })
    }
}

/// One is not said: plain Mosaik, and versions before this one, have no other.
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
mod tests {
    use super::*;
    use crate::Encoding;

    fn hello(criteria: Criteria, id: Option<SubscriberId>) -> Hello {
        Hello {
            network: "net".into(),
            stream: "prices".into(),
            criteria,
            id,
            format: None,
            offer: None,
            consumers: 1,
        }
    }

    #[test]
    fn plain_handshakes_are_the_two_ids_alone() {
        let plain = hello(Criteria::default(), None);
        let bytes = plain.encode();
        assert_eq!(
            bytes,
            [
                *NetworkId::from("net").as_bytes(),
                *StreamId::from("prices").as_bytes()
            ]
            .concat()
        );
        assert_eq!(Hello::decode(&bytes), Ok(plain));
        let start = Start {
            network: "net".into(),
            stream: "prices".into(),
            selects: false,
            position: None,
            format: None,
            kept: None,
        };
        assert_eq!(start.encode(), bytes);
        assert_eq!(Start::decode(&bytes), Ok(start));
    }

    #[test]
    fn what_we_add_comes_back() {
        let id = SubscriberId {
            process: [1; 16],
            consumer: [2; 16],
        };
        let format = Some(Format::from(&Encoding::Text));
        let mut ours = Hello {
            format,
            consumers: 2,
            ..hello(Criteria::field("price").gte(100), Some(id))
        };
        for received in [None, Some((Epoch([4; 16]), 1 << 50))] {
            let name = "desk".into();
            ours.offer = Some(Offer { name, received });
            assert_eq!(Hello::decode(&ours.encode()), Ok(ours.clone()));
        }
        assert!(ours.encode().len() <= MAX_HELLO_LEN);
        let position = Some((Epoch([3; 16]), 1 << 40));
        let start = Start {
            network: "net".into(),
            stream: "prices".into(),
            selects: true,
            position,
            format,
            kept: Some(Kept {
                records: 7,
                max_bytes: 1 << 40,
            }),
        };
        assert_eq!(Start::decode(&start.encode()), Ok(start));
    }

    #[test]
    fn criteria_change_while_datums_flow() {
        let again = |criteria: &Criteria, consumers| {
            let criteria = criteria.clone();
            let retune = Retune {
                criteria,
                consumers,
            };
            let read = Retune::decode(&retune.encode()).unwrap();
            assert_eq!(read.consumers, consumers);
            read.criteria
        };
        let criteria = Criteria::field("price").gte(100);
        assert_eq!(again(&criteria, 1), criteria);
        let all = Criteria::default();
        assert_eq!(again(&all, 300), all);
        let long = Criteria::field("a").eq("x".repeat(70_000));
        assert_eq!(again(&long, 2), all);
        assert_eq!(Retune::decode(b"something else"), None);
    }

    #[test]
    fn criteria_that_do_not_fit_stay_with_the_consumer() {
        let long = hello(Criteria::field("a").eq("x".repeat(70_000)), None);
        assert!(
            Hello::decode(&long.encode())
                .unwrap()
                .criteria
                .is_everything()
        );
    }
}
