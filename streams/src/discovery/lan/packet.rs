//! The multicast DNS packets by which iroh nodes discover each other on a local network: service `_irohv1._udp.local`,
//! with one instance per node, named by its id in base32. No I/O.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use data_encoding::BASE32_NOPAD;
use simple_dns::{
    CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, ResourceRecord, TYPE,
    rdata::{A, AAAA, PTR, RData, SRV},
};

use crate::{EndpointAddr, PeerId};

const SERVICE: &str = "_irohv1._udp.local";
/// The validity of an answer in seconds; the usual value for services.
const TTL: u32 = 120;
/// The maximum length of received and sent packets in bytes.
pub(super) const PACKET_MAX: usize = 1472;
const HEADER_LEN: usize = 12;
/// The maximum number of records in a section. Packets of this service contain fewer.
const RECORDS_MAX: u16 = 64;
/// The maximum numbers of peers, and of addresses per peer, taken from one packet.
const PEERS_MAX: usize = 16;
const ADDRESSES_MAX: usize = 8;

/// The content of a packet.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// A query for nodes.
    Query,
    /// Nodes and their addresses.
    Peers(Vec<EndpointAddr>),
}

/// Builds a query for nodes.
pub(super) fn query() -> Vec<u8> {
    let mut packet = Packet::new_query(0);
    packet.questions.push(Question::new(
        Name::new_unchecked(SERVICE),
        TYPE::PTR.into(),
        CLASS::IN.into(),
        false,
    ));
    bytes_of(&packet)
}

/// Builds an answer with as many of this node's addresses as fit.
pub(super) fn response(me: &EndpointAddr) -> Vec<u8> {
    let id = BASE32_NOPAD.encode(me.id.as_bytes()).to_ascii_lowercase();
    let instance = format!("{id}.{SERVICE}");
    let mut ports: BTreeMap<u16, Vec<IpAddr>> = BTreeMap::new();
    for addr in me.addrs.iter().take(ADDRESSES_MAX) {
        ports.entry(addr.port()).or_default().push(addr.ip());
    }
    let targets: Vec<(String, u16, Vec<IpAddr>)> = ports
        .into_iter()
        .map(|(port, ips)| (format!("{id}-{port}.local"), port, ips))
        .collect();
    let record = |name, data| ResourceRecord::new(name, CLASS::IN, TTL, data);
    let mut packet = Packet::new_reply(0);
    packet.set_flags(PacketFlag::AUTHORITATIVE_ANSWER);
    let pointer = RData::PTR(PTR(Name::new_unchecked(&instance)));
    packet
        .answers
        .push(record(Name::new_unchecked(SERVICE), pointer));
    for (target, port, ips) in &targets {
        let service = SRV {
            priority: 0,
            weight: 0,
            port: *port,
            target: Name::new_unchecked(target),
        };
        let service = record(Name::new_unchecked(&instance), RData::SRV(service));
        packet.answers.push(service);
        for ip in ips {
            let data = match ip {
                IpAddr::V4(ip) => RData::A(A::from(*ip)),
                IpAddr::V6(ip) => RData::AAAA(AAAA::from(*ip)),
            };
            let address = record(Name::new_unchecked(target), data);
            packet.additional_records.push(address);
        }
    }
    bytes_of(&packet)
}

fn bytes_of(packet: &Packet<'_>) -> Vec<u8> {
    packet
        .build_bytes_vec_compressed()
        .expect("the names are short, and few")
}

/// Parses a packet. Returns `None` if it is invalid or of another service.
pub(super) fn read(bytes: &[u8]) -> Option<Heard> {
    let counts = bytes.get(4..HEADER_LEN)?.chunks_exact(2);
    let mut counts = counts.map(|count| u16::from_be_bytes([count[0], count[1]]));
    // The parser allocates for the announced number of records.
    if bytes.len() > PACKET_MAX || counts.any(|count| count > RECORDS_MAX) {
        return None;
    }
    let packet = Packet::parse(bytes).ok()?;
    let service = Name::new_unchecked(SERVICE);
    if !packet.has_flags(PacketFlag::RESPONSE) {
        let is_ours = |question: &Question<'_>| {
            question.qname == service
                && matches!(question.qtype, QTYPE::ANY | QTYPE::TYPE(TYPE::PTR))
                && matches!(question.qclass, QCLASS::ANY | QCLASS::CLASS(CLASS::IN))
        };
        return packet.questions.iter().any(is_ours).then_some(Heard::Query);
    }
    let records = packet.answers.iter().chain(&packet.additional_records);
    let records = || records.clone().filter(|record| record.class == CLASS::IN);
    let mut peers: BTreeMap<PeerId, BTreeSet<SocketAddr>> = BTreeMap::new();
    for record in records() {
        let (Some(peer), RData::SRV(srv)) = (peer_of(&record.name, &service), &record.rdata) else {
            continue;
        };
        if peers.len() >= PEERS_MAX && !peers.contains_key(&peer) {
            continue;
        }
        let of_target = records().filter(|record| record.name == srv.target);
        let addrs = of_target.filter_map(|record| {
            let ip = match &record.rdata {
                RData::A(a) => IpAddr::V4(a.address.into()),
                RData::AAAA(aaaa) => IpAddr::V6(aaaa.address.into()),
                _ => return None,
            };
            let can_be_dialled = srv.port != 0 && !ip.is_unspecified() && !ip.is_multicast();
            can_be_dialled.then(|| SocketAddr::new(ip, srv.port))
        });
        let known = peers.entry(peer).or_default();
        let room = ADDRESSES_MAX.saturating_sub(known.len());
        known.extend(addrs.take(room));
    }
    let peers = peers.into_iter().filter(|(_, addrs)| !addrs.is_empty());
    let peers: Vec<_> = peers
        .map(|(id, addrs)| EndpointAddr { id, addrs })
        .collect();
    (!peers.is_empty()).then_some(Heard::Peers(peers))
}

/// Returns the peer named by an instance of the service.
fn peer_of(name: &Name<'_>, service: &Name<'_>) -> Option<PeerId> {
    let [label, rest @ ..] = name.get_labels() else {
        return None;
    };
    if rest != service.get_labels() {
        return None;
    }
    let text = label.as_ref().to_ascii_uppercase();
    let bytes = BASE32_NOPAD.decode(&text).ok()?;
    PeerId::from_bytes(bytes.try_into().ok()?).ok()
}
