//! The serialization of entries in the layouts of Mosaik 0.3 and 0.4, distinguished by the version in front. No I/O.

use std::{collections::BTreeSet, fmt, net::SocketAddr, sync::Arc};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, SeqAccess, Visitor},
    ser::SerializeStruct,
};

use super::{
    address::Transport,
    entry::{PeerEntry, PeerEntryVersion},
};
use crate::{EndpointAddr, PeerId};

/// The maximum number of transports in an entry. An entry with more is not decoded.
const MAX_TRANSPORTS: usize = 256;

/// The first version whose entries contain `functions`.
const FIRST_WITH_FUNCTIONS: (u64, u64) = (0, 4);

const FIELDS: [&str; 9] = [
    "protocol",
    "network",
    "version",
    "address",
    "tags",
    "streams",
    "groups",
    "functions",
    "tickets",
];

#[derive(Serialize)]
struct AddressRef<'a>(PeerId, &'a [Transport]);

#[derive(Deserialize)]
struct Address(PeerId, Transports);

struct Transports(Vec<Transport>);

/// Stops at the maximum: two bytes on the wire may become 48 in memory.
impl<'de> Deserialize<'de> for Transports {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bounded;
        impl<'de> Visitor<'de> for Bounded {
            type Value = Transports;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "at most {MAX_TRANSPORTS} transports")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Transports, A::Error> {
                let mut transports = Vec::new();
                while let Some(transport) = seq.next_element()? {
                    if transports.len() == MAX_TRANSPORTS {
                        return Err(A::Error::invalid_length(MAX_TRANSPORTS + 1, &self));
                    }
                    transports.push(transport);
                }
                Ok(Transports(transports))
            }
        }
        deserializer.deserialize_seq(Bounded)
    }
}

impl Serialize for PeerEntry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = FIELDS.len() - usize::from(self.functions.is_none());
        let mut entry = serializer.serialize_struct("PeerEntry", fields)?;
        entry.serialize_field("protocol", &self.protocol)?;
        entry.serialize_field("network", &self.network)?;
        entry.serialize_field("version", &self.version)?;
        entry.serialize_field("address", &AddressRef(self.address.id, &self.transports))?;
        entry.serialize_field("tags", &self.tags)?;
        entry.serialize_field("streams", &*self.streams)?;
        entry.serialize_field("groups", &self.groups)?;
        if let Some(functions) = &self.functions {
            entry.serialize_field("functions", functions)?;
        }
        entry.serialize_field("tickets", &self.tickets)?;
        entry.end()
    }
}

impl<'de> Deserialize<'de> for PeerEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_struct("PeerEntry", &FIELDS, EntryVisitor)
    }
}

struct EntryVisitor;

impl<'de> Visitor<'de> for EntryVisitor {
    type Value = PeerEntry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the fields of a peer's entry")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<PeerEntry, A::Error> {
        let protocol: semver::Version = field(&mut seq)?;
        let network = field(&mut seq)?;
        let version: PeerEntryVersion = field(&mut seq)?;
        let Address(id, Transports(transports)) = field(&mut seq)?;
        let (tags, streams, groups) = (field(&mut seq)?, field(&mut seq)?, field(&mut seq)?);
        let has_functions = (protocol.major, protocol.minor) >= FIRST_WITH_FUNCTIONS;
        let functions = if has_functions {
            Some(field(&mut seq)?)
        } else {
            None
        };
        let tickets = field(&mut seq)?;
        let addrs: BTreeSet<SocketAddr> = transports
            .iter()
            .filter_map(|transport| {
                if let Transport::Ip(addr) = transport {
                    Some(*addr)
                } else {
                    None
                }
            })
            .collect();
        let address = EndpointAddr { id, addrs };
        Ok(PeerEntry {
            protocol,
            network,
            version,
            address,
            transports,
            tags,
            streams: Arc::new(streams),
            groups,
            functions,
            tickets,
        })
    }
}

fn field<'de, T: Deserialize<'de>, A: SeqAccess<'de>>(seq: &mut A) -> Result<T, A::Error> {
    seq.next_element()?
        .ok_or_else(|| A::Error::custom("the entry has too few fields"))
}
