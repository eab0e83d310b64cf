//! The protocol without I/O: swarms of simulated nodes, and peers that violate the protocol.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use bytes::Bytes;
use proptest::prelude::*;

use super::peer;
use crate::{
    ACTIVE_MAX, IHave, MAX_MESSAGE_LEN, Message, MessageId, Node, Output, PeerData, PeerInfo,
    Priority, Scope, Swarm, Tree, Verdict,
    membership::{PASSIVE_MAX, PENDING_MAX},
};

type Peer = [u8; 32];

/// Nodes with simulated time whose messages arrive in order after 1 ms.
struct Simulation {
    now: Instant,
    nodes: BTreeMap<Peer, Node<Peer>>,
    /// The messages received by each node, in order.
    heard: BTreeMap<Peer, Vec<Bytes>>,
    on_the_way: VecDeque<(Peer, Peer, Message<Peer>)>,
    carried: usize,
}

impl Simulation {
    fn new(count: u8) -> Self {
        let now = Instant::now();
        let node = |n| (peer(n), Node::new(peer(n), u64::from(n), now));
        Self {
            now,
            nodes: (1..=count).map(node).collect(),
            heard: BTreeMap::new(),
            on_the_way: VecDeque::new(),
            carried: 0,
        }
    }

    fn act(
        &mut self,
        id: Peer,
        action: impl FnOnce(&mut Node<Peer>, Instant) -> Vec<Output<Peer>>,
    ) {
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        for output in action(node, self.now) {
            if let Output::Send(to, message) = output {
                let message = Message::decode(&message.encode()).expect("it is a message");
                self.on_the_way.push_back((id, to, message));
            }
        }
    }

    /// Advances time in steps of 1 ms.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now += Duration::from_millis(1);
            for (from, to, message) in std::mem::take(&mut self.on_the_way) {
                if !self.nodes.contains_key(&to) {
                    self.act(from, |core, now| core.on_disconnected(to, now));
                    continue;
                }
                self.carried += usize::from(matches!(message, Message::Tree(Tree::Gossip { .. })));
                let mut new = Vec::new();
                self.act(to, |core, now| {
                    core.on_message(from, message, now, |content| {
                        new.push(content.clone());
                        Verdict::Forward
                    })
                });
                self.heard.entry(to).or_default().extend(new);
            }
            let due: Vec<Peer> = self
                .nodes
                .iter()
                .filter(|(_, node)| node.next_timeout() <= self.now)
                .map(|(id, _)| *id)
                .collect();
            for id in due {
                self.act(id, Node::on_timeout);
            }
        }
    }

    fn kill(&mut self, id: Peer) {
        self.nodes.remove(&id);
        let left: Vec<Peer> = self.nodes.keys().copied().collect();
        for other in left {
            self.act(other, |core, now| core.on_disconnected(id, now));
        }
    }

    fn tell(&mut self, id: Peer, text: &str) {
        let content = Bytes::copy_from_slice(text.as_bytes());
        self.act(id, |core, now| {
            core.broadcast(content, now).expect("it is small")
        });
    }

    fn have_heard(&self, text: &str) -> usize {
        let once = |heard: &&Vec<Bytes>| heard.iter().filter(|it| **it == text).count() == 1;
        self.heard.values().filter(once).count()
    }
}

/// A swarm in which all nodes joined through the first one.
fn swarm(count: u8) -> Simulation {
    let mut swarm = Simulation::new(count);
    for n in 2..=count {
        swarm.act(peer(n), |core, _| core.join(peer(1)));
        swarm.pass(Duration::from_millis(300));
    }
    swarm.pass(Duration::from_secs(2));
    swarm
}

#[test]
fn what_one_tells_all_hear_once() {
    let mut swarm = swarm(40);
    for (id, node) in &swarm.nodes {
        assert!((1..=ACTIVE_MAX).contains(&node.neighbours()), "{id:?}");
    }
    swarm.tell(peer(7), "first");
    swarm.pass(Duration::from_secs(1));
    assert_eq!(swarm.have_heard("first"), 39);
    // The tree is pruned: few more messages are sent than received.
    swarm.tell(peer(7), "second");
    swarm.pass(Duration::from_secs(1));
    swarm.carried = 0;
    swarm.tell(peer(7), "third");
    swarm.pass(Duration::from_secs(1));
    assert_eq!(swarm.have_heard("third"), 39);
    assert!(swarm.carried <= 39 + 10, "carried {} times", swarm.carried);
}

#[test]
fn a_swarm_survives_the_loss_of_every_third_node() {
    let mut swarm = swarm(40);
    for n in (3..=40).step_by(3) {
        swarm.kill(peer(n));
    }
    // The time of two shuffles, by which isolated nodes learn of others.
    swarm.pass(Duration::from_secs(125));
    let left = swarm.nodes.len();
    swarm.tell(peer(1), "after");
    swarm.pass(Duration::from_secs(2));
    assert_eq!(swarm.have_heard("after"), left - 1);
}

#[test]
fn a_departure_reaches_all_nodes_after_its_sender_is_gone() {
    let mut swarm = swarm(12);
    let departure = Bytes::from_static(b"bye");
    swarm.act(peer(5), |core, _| core.quit(&departure, []));
    swarm.nodes.remove(&peer(5));
    swarm.pass(Duration::from_secs(3));
    assert_eq!(swarm.have_heard("bye"), 11);
}

/// A node joins, is accepted, and departs before it learns of that.
#[test]
fn a_departure_reaches_a_peer_not_yet_known_as_a_neighbour() {
    let now = Instant::now();
    let (mut leaver, mut other) = (Node::new(peer(1), 1, now), Node::new(peer(2), 2, now));
    for output in leaver.join(peer(2)) {
        if let Output::Send(_, message) = output {
            other.on_message(peer(1), message, now, |_| Verdict::Forward);
        }
    }
    assert_eq!((leaver.neighbours(), other.neighbours()), (0, 1));
    let mut heard = Vec::new();
    for output in leaver.quit(&Bytes::from_static(b"bye"), [peer(2)]) {
        if let Output::Send(to, message) = output {
            assert_eq!(to, peer(2));
            other.on_message(peer(1), message, now, |content| {
                heard.push(content.clone());
                Verdict::Forward
            });
        }
    }
    assert_eq!(heard, ["bye"]);
}

#[test]
fn what_a_neighbour_only_offers_is_asked_for() {
    let mut pair = swarm(2);
    let content = Bytes::from_static(b"entry");
    pair.act(peer(1), |core, now| core.offer(peer(2), &content, now));
    pair.pass(Duration::from_millis(200));
    assert_eq!(pair.have_heard("entry"), 1);
}

#[test]
fn what_is_refused_is_not_passed_on_nor_looked_at_again() {
    let now = Instant::now();
    let mut core = Node::new(peer(1), 1, now);
    for n in 2..=3 {
        core.on_message(peer(n), Message::Swarm(Swarm::Join(None)), now, |_| {
            Verdict::Drop
        });
    }
    let content = Bytes::from_static(b"junk");
    let gossip = Message::Tree(Tree::Gossip {
        id: MessageId::of(&content),
        content,
        scope: Scope::Swarm(u16::MAX),
    });
    let mut asked = 0;
    for _ in 0..3 {
        let outputs = core.on_message(peer(2), gossip.clone(), now, |_| {
            asked += 1;
            Verdict::Drop
        });
        let passed_on = |it: &Output<Peer>| matches!(it, Output::Send(to, _) if *to == peer(3));
        assert!(!outputs.iter().any(passed_on), "{outputs:?}");
    }
    assert_eq!(asked, 1);
    // A message with another's id is ignored.
    let forged = Message::Tree(Tree::Gossip {
        id: MessageId([1; 32]),
        content: Bytes::from_static(b"else"),
        scope: Scope::Swarm(0),
    });
    core.on_message(peer(2), forged, now, |_| panic!("it is forged"));
}

#[test]
fn nobody_displaces_all_neighbours_at_once() {
    let now = Instant::now();
    let mut core = Node::new(peer(1), 1, now);
    let join = || Message::Swarm(Swarm::Join(None));
    let mut admitted = 0;
    for n in 2..=200 {
        let outputs = core.on_message(peer(n), join(), now, |_| Verdict::Drop);
        admitted += usize::from(outputs.contains(&Output::Up(peer(n))));
        assert!(core.neighbours() <= ACTIVE_MAX);
    }
    assert_eq!(admitted, 2 * ACTIVE_MAX);
    let later = now + Duration::from_secs(1);
    let outputs = core.on_message(peer(201), join(), later, |_| Verdict::Drop);
    assert!(outputs.contains(&Output::Up(peer(201))));
}

#[test]
fn what_is_passed_on_fits_a_message() {
    let now = Instant::now();
    let mut core = Node::new(peer(1), 1, now);
    for n in 2..=4 {
        let joins = Message::Swarm(Swarm::Join(None));
        core.on_message(peer(n), joins, now, |_| Verdict::Drop);
    }
    for len in [400, 401] {
        let node = |n| PeerInfo {
            id: peer(n),
            data: Some(PeerData(vec![0; len].into())),
        };
        let (origin, nodes, ttl) = (peer(2), (10..30).map(node).collect(), u16::MAX);
        let shuffle = Message::Swarm(Swarm::Shuffle { origin, nodes, ttl });
        let outputs = core.on_message(peer(2), shuffle, now, |_| Verdict::Drop);
        let [Output::Send(_, passed_on)] = outputs.as_slice() else {
            panic!("it goes on to one: {outputs:?}");
        };
        assert!(passed_on.encode().len() <= MAX_MESSAGE_LEN);
        let Message::Swarm(Swarm::Shuffle { nodes, ttl, .. }) = passed_on else {
            panic!("it is a shuffle");
        };
        assert_eq!((nodes.len(), *ttl), (8, 5));
        assert!(nodes.iter().all(|node| node.data.is_some() == (len == 400)));
    }
}

#[test]
fn ids_of_messages_that_never_come_are_forgotten() {
    let now = Instant::now();
    let mut core = Node::new(peer(1), 1, now);
    core.on_message(peer(2), Message::Swarm(Swarm::Join(None)), now, |_| {
        Verdict::Drop
    });
    let mut grafts = 0;
    for n in 0..50u16 {
        let ids = (0..100u8).map(|m| {
            let [high, low] = n.to_be_bytes();
            let mut id = [m; 32];
            (id[0], id[1]) = (high, low);
            IHave {
                id: MessageId(id),
                round: 0,
            }
        });
        let ids = Message::Tree(Tree::IHave(ids.collect()));
        core.on_message(peer(2), ids, now, |_| Verdict::Drop);
    }
    for ms in [100, 200, 300] {
        let outputs = core.on_timeout(now + Duration::from_millis(ms));
        let graft =
            |it: &&Output<Peer>| matches!(it, Output::Send(_, Message::Tree(Tree::Graft { .. })));
        grafts += outputs.iter().filter(graft).count();
    }
    // The limit of announced messages per neighbour, each requested once.
    assert_eq!(grafts, 1024);
    assert!(core.next_timeout() >= now + Duration::from_secs(1));
}

fn any_peer() -> impl Strategy<Value = Peer> {
    prop_oneof![(1..12u8), any::<u8>().prop_filter("a key", |n| *n > 0)].prop_map(peer)
}

fn any_data() -> impl Strategy<Value = Option<PeerData>> {
    let bytes = proptest::collection::vec(any::<u8>(), 0..700);
    proptest::option::of(bytes.prop_map(|bytes| PeerData(bytes.into())))
}

fn any_nodes() -> impl Strategy<Value = Vec<PeerInfo<Peer>>> {
    let node = (any_peer(), any_data()).prop_map(|(id, data)| PeerInfo { id, data });
    proptest::collection::vec(node, 0..20)
}

fn any_message() -> impl Strategy<Value = Message<Peer>> {
    let priority = prop_oneof![Just(Priority::High), Just(Priority::Low)];
    let id = || any::<[u8; 1]>().prop_map(|[byte]| MessageId([byte; 32]));
    let ihave = (id(), any::<u16>()).prop_map(|(id, round)| IHave { id, round });
    let scope = prop_oneof![any::<u16>().prop_map(Scope::Swarm), Just(Scope::Neighbors)];
    let content = proptest::collection::vec(any::<u8>(), 0..3);
    prop_oneof![
        any_data().prop_map(|data| Message::Swarm(Swarm::Join(data))),
        (any_peer(), any_data(), any::<u16>()).prop_map(|(id, data, ttl)| {
            let peer = PeerInfo { id, data };
            Message::Swarm(Swarm::ForwardJoin { peer, ttl })
        }),
        (any_peer(), any_nodes(), any::<u16>()).prop_map(|(origin, nodes, ttl)| {
            Message::Swarm(Swarm::Shuffle { origin, nodes, ttl })
        }),
        any_nodes().prop_map(|nodes| Message::Swarm(Swarm::ShuffleReply { nodes })),
        (priority, any_data())
            .prop_map(|(priority, data)| { Message::Swarm(Swarm::Neighbor { priority, data }) }),
        any::<(bool, bool)>()
            .prop_map(|(alive, respond)| { Message::Swarm(Swarm::Disconnect { alive, respond }) }),
        (content, scope).prop_map(|(content, scope)| {
            let (id, content) = (MessageId::of(&content), content.into());
            Message::Tree(Tree::Gossip { id, content, scope })
        }),
        Just(Message::Tree(Tree::Prune)),
        (proptest::option::of(id()), any::<u16>())
            .prop_map(|(id, round)| Message::Tree(Tree::Graft { id, round })),
        proptest::collection::vec(ihave, 0..30).prop_map(|ids| Message::Tree(Tree::IHave(ids))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever peers send, the node keeps few of them, and neither stops sending nor sends endlessly.
    #[test]
    fn no_message_breaks_the_bounds(
        steps in proptest::collection::vec((any_peer(), any_message(), 0..400u64, any::<bool>()), 1..60),
    ) {
        let me = peer(1);
        let mut now = Instant::now();
        let mut core = Node::new(me, 1, now);
        let mut neighbours = BTreeSet::new();
        for (from, message, ms, good) in steps {
            now += Duration::from_millis(ms);
            let mut outputs = core.on_timeout(now);
            let verdict = if good { Verdict::Forward } else { Verdict::Drop };
            outputs.extend(core.on_message(from, message, now, |_| verdict));
            for output in &outputs {
                match output {
                    Output::Send(to, message) => {
                        prop_assert_ne!(*to, me);
                        prop_assert!(message.encode().len() <= MAX_MESSAGE_LEN);
                    }
                    Output::Up(peer) => _ = neighbours.insert(*peer),
                    Output::Leave(_) => {}
                }
            }
            prop_assert!(outputs.len() <= 64, "{} outputs", outputs.len());
            prop_assert!(core.neighbours() <= ACTIVE_MAX);
            prop_assert!(core.known() <= ACTIVE_MAX + PASSIVE_MAX + PENDING_MAX);
            prop_assert!(core.next_timeout() <= now + Duration::from_secs(90));
        }
        prop_assert!(!neighbours.contains(&me));
    }

    #[test]
    fn messages_come_back_as_they_were(message in any_message()) {
        prop_assert_eq!(Message::decode(&message.encode()), Some(message));
    }

    #[test]
    fn nothing_that_comes_makes_the_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Some(message) = Message::<Peer>::decode(&bytes) {
            prop_assert!(Message::<Peer>::decode(&message.encode()).is_some());
        }
    }
}
