//! HyParView: each node has a few neighbours, and knows some more peers to replace them.
//!
//! See Leitão, Pereira and Rodrigues, "HyParView: a membership protocol for reliable gossip-based broadcast", 2007,
//! with iroh-gossip's two changes: a neighbour counts once it has answered, and a dismissed one is given other peers.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use super::{
    PeerId,
    random::Random,
    wire::{PeerData, PeerInfo, Priority, Swarm},
};

/// The maximum number of neighbours; the value of the paper and of iroh-gossip.
pub const ACTIVE_MAX: usize = 5;
/// The maximum number of other known peers; likewise.
pub(crate) const PASSIVE_MAX: usize = 30;
/// The maximum number of requests in progress. Other nodes can cause dials to arbitrary peers, at most this many per
/// second.
pub(crate) const PENDING_MAX: usize = 8;
/// The time in which a peer must confirm that it is a neighbour.
const PENDING_TIMEOUT: Duration = Duration::from_secs(1);
/// The length in hops of a joining peer's walk, and the remaining hops at which nodes add it to their known peers.
const WALK: u16 = 6;
const WALK_PASSIVE: u16 = 3;
/// The numbers of neighbours and of other peers in a shuffle.
const SHUFFLE_ACTIVE: usize = 3;
const SHUFFLE_PASSIVE: usize = 4;
/// The maximum number of peers taken from one message.
const NODES_MAX: usize = SHUFFLE_ACTIVE + SHUFFLE_PASSIVE + 1;
const SHUFFLE_INTERVAL: Duration = Duration::from_mins(1);
/// The maximum number of neighbours displaced in a burst, and the time per further one. A node that invents peers cannot
/// replace all neighbours at once with them.
const DISPLACED_MAX: u32 = 5;
const DISPLACED_EVERY: Duration = Duration::from_secs(1);

/// An action to perform.
#[derive(Debug, PartialEq)]
pub(crate) enum Output<Id> {
    Send(Id, Swarm<Id>),
    Up(Id),
    Down(Id),
    /// Stop sending to the peer.
    Leave(Id),
}

pub(crate) struct Membership<Id> {
    me: Id,
    /// The addresses of this node that peers receive.
    pub(crate) own_data: Option<PeerData>,
    active: BTreeSet<Id>,
    passive: BTreeSet<Id>,
    /// Peers asked to become neighbours, or notified that they are, and the deadline of their answers.
    pending: BTreeMap<Id, Instant>,
    /// Peers that disconnected and stay alive, so that the end of their connection has no meaning. At most
    /// [`PASSIVE_MAX`], all of them passive.
    live_on: BTreeSet<Id>,
    /// The addresses of the peers in any of these sets.
    data: BTreeMap<Id, PeerData>,
    shuffle_at: Instant,
    displaceable: u32,
    displaceable_since: Instant,
    random: Random,
    pub(crate) out: VecDeque<Output<Id>>,
}

impl<Id: PeerId> Membership<Id> {
    pub(crate) fn new(me: Id, random: Random, now: Instant) -> Self {
        Self {
            me,
            own_data: None,
            active: BTreeSet::new(),
            passive: BTreeSet::new(),
            pending: BTreeMap::new(),
            live_on: BTreeSet::new(),
            data: BTreeMap::new(),
            shuffle_at: now + SHUFFLE_INTERVAL,
            displaceable: DISPLACED_MAX,
            displaceable_since: now,
            random,
            out: VecDeque::new(),
        }
    }

    pub(crate) const fn active(&self) -> &BTreeSet<Id> {
        &self.active
    }

    /// Returns true if the peer is a neighbour or may become one.
    pub(crate) fn is_wanted(&self, peer: &Id) -> bool {
        self.active.contains(peer) || self.pending.contains_key(peer)
    }

    #[cfg(test)]
    pub(crate) fn known(&self) -> usize {
        let kept = self
            .active
            .iter()
            .chain(&self.passive)
            .chain(self.pending.keys());
        let kept: BTreeSet<&Id> = kept.chain(&self.live_on).chain(self.data.keys()).collect();
        kept.len()
    }

    /// Returns the addresses of a peer as reported by others.
    pub(crate) fn data(&self, peer: &Id) -> Option<&PeerData> {
        self.data.get(peer)
    }

    pub(crate) fn next_timeout(&self) -> Instant {
        let pending = self.pending.values().copied().min();
        pending.map_or(self.shuffle_at, |at| at.min(self.shuffle_at))
    }

    /// Asks a peer to become a neighbour and to forward that.
    pub(crate) fn join(&mut self, peer: Id) {
        if peer != self.me && !self.active.contains(&peer) {
            self.send(peer, Swarm::Join(self.own_data.clone()));
        }
    }

    /// Asks a peer to become a neighbour if it has room.
    pub(crate) fn invite(&mut self, peer: Id, now: Instant) {
        if peer != self.me && !self.active.contains(&peer) {
            self.ask(peer, None, Priority::Low, now);
        }
    }

    pub(crate) fn on_message(&mut self, from: Id, message: Swarm<Id>, now: Instant) {
        match message {
            Swarm::Join(data) => self.on_join(from, data, now),
            Swarm::ForwardJoin { peer, ttl } => {
                self.on_forward_join(from, peer.bounded(), ttl, now);
            }

            Swarm::Shuffle { origin, nodes, ttl } => self.on_shuffle(from, origin, nodes, ttl),
            Swarm::ShuffleReply { nodes } => {
                self.learn(nodes.into_iter().map(PeerInfo::bounded).collect());
                self.refill(None, now);
            }
            Swarm::Neighbor { priority, data } => {
                let is_answer = self.pending.remove(&from).is_some();
                self.remember(from, data);
                if !self.add_active(from, priority, !is_answer, now) {
                    self.dismiss(from, true);
                }
            }
            Swarm::Disconnect { alive, .. } => {
                self.pending.remove(&from);
                if self.active.contains(&from) {
                    self.remove_active(from, alive);
                    self.out.push_back(Output::Leave(from));
                    self.refill(Some(from), now);
                } else if alive && self.passive.contains(&from) {
                    self.live_on.insert(from);
                }
            }
        }
        self.trim();
    }

    /// Handles the end of a connection to a peer, or a failed dial.
    pub(crate) fn on_disconnected(&mut self, peer: Id, now: Instant) {
        let was_pending = self.pending.remove(&peer).is_some();
        if self.active.contains(&peer) {
            let live_on = self.live_on.remove(&peer);
            self.remove_active(peer, live_on);
            self.live_on.remove(&peer);
            self.refill(Some(peer), now);
        } else if !self.live_on.remove(&peer) {
            self.passive.remove(&peer);
            if was_pending {
                self.refill(None, now);
            }
        }
        self.trim();
    }

    pub(crate) fn on_timeout(&mut self, now: Instant) {
        let late: Vec<Id> = self
            .pending
            .iter()
            .filter(|(_, until)| **until <= now)
            .map(|(peer, _)| *peer)
            .collect();
        for peer in late {
            self.pending.remove(&peer);
            if !self.active.contains(&peer) {
                self.passive.remove(&peer);
                self.out.push_back(Output::Leave(peer));
                self.refill(Some(peer), now);
            }
        }
        if self.shuffle_at <= now {
            self.shuffle_at = now + SHUFFLE_INTERVAL;
            self.shuffle();
        }
        self.trim();
    }

    /// Disconnects from all neighbours.
    pub(crate) fn quit(&mut self) {
        for peer in std::mem::take(&mut self.active) {
            self.dismiss(peer, false);
        }
    }

    fn send(&mut self, to: Id, message: Swarm<Id>) {
        self.out.push_back(Output::Send(to, message));
    }

    fn info(&self, id: Id) -> PeerInfo<Id> {
        let data = self.data.get(&id).cloned();
        PeerInfo { id, data }
    }

    fn remember(&mut self, peer: Id, data: Option<PeerData>) {
        if let Some(data) = data.and_then(PeerData::bounded)
            && peer != self.me
        {
            self.data.insert(peer, data);
        }
    }

    /// Removes the addresses of peers that are in no set.
    fn trim(&mut self) {
        let (active, passive, pending) = (&self.active, &self.passive, &self.pending);
        self.live_on.retain(|peer| passive.contains(peer));
        self.data.retain(|peer, _| {
            active.contains(peer) || passive.contains(peer) || pending.contains_key(peer)
        });
    }

    fn on_join(&mut self, peer: Id, data: Option<PeerData>, now: Instant) {
        self.remember(peer, data);
        if !self.add_active(peer, Priority::High, true, now) {
            self.dismiss(peer, true);
            return;
        }
        let others: Vec<Id> = self
            .active
            .iter()
            .copied()
            .filter(|id| *id != peer)
            .collect();
        for other in others {
            let peer = self.info(peer);
            self.send(other, Swarm::ForwardJoin { peer, ttl: WALK });
        }
    }

    fn on_forward_join(&mut self, from: Id, peer: PeerInfo<Id>, ttl: u16, now: Instant) {
        let id = peer.id;
        if id == self.me {
            return;
        }
        if self.active.contains(&id) || ttl == 0 || self.active.len() <= 1 {
            self.ask(id, peer.data, Priority::High, now);
            return;
        }
        if ttl == WALK_PASSIVE {
            self.add_passive(peer.clone());
        }
        if self.pending.contains_key(&id) {
            return;
        }
        let next = self.pick(&self.active, |other| *other != from && *other != id);
        if let Some(next) = next {
            let ttl = ttl.min(WALK) - 1;
            self.send(next, Swarm::ForwardJoin { peer, ttl });
        }
    }

    fn on_shuffle(&mut self, from: Id, origin: Id, mut nodes: Vec<PeerInfo<Id>>, ttl: u16) {
        nodes.truncate(NODES_MAX);
        let nodes: Vec<PeerInfo<Id>> = nodes.into_iter().map(PeerInfo::bounded).collect();
        if origin == self.me {
            return;
        }
        if ttl == 0 || self.active.len() <= 1 {
            let count = nodes.len();
            self.learn(nodes);
            self.reply_to_shuffle(origin, count);
            return;
        }
        let next = self.pick(&self.active, |peer| *peer != origin && *peer != from);
        if let Some(next) = next {
            let ttl = ttl.min(WALK) - 1;
            self.send(next, Swarm::Shuffle { origin, nodes, ttl });
        }
    }

    fn reply_to_shuffle(&mut self, to: Id, count: usize) {
        let passive = self.sample(&self.passive, Some(to), count);
        let active = self.sample(&self.active, Some(to), count - passive.len());
        let nodes = passive.into_iter().chain(active);
        let nodes = nodes.map(|peer| self.info(peer)).collect();
        self.send(to, Swarm::ShuffleReply { nodes });
    }

    fn shuffle(&mut self) {
        let Some(to) = self.pick(&self.active, |_| true) else {
            return;
        };
        let active = self.sample(&self.active, Some(to), SHUFFLE_ACTIVE);
        let passive = self.sample(&self.passive, Some(to), SHUFFLE_PASSIVE);
        let others = active.into_iter().chain(passive);
        let mut nodes: Vec<PeerInfo<Id>> = others.map(|peer| self.info(peer)).collect();
        nodes.push(PeerInfo {
            id: self.me,
            data: self.own_data.clone(),
        });
        let (origin, ttl) = (self.me, WALK);
        self.send(to, Swarm::Shuffle { origin, nodes, ttl });
    }

    fn learn(&mut self, nodes: Vec<PeerInfo<Id>>) {
        for node in nodes.into_iter().take(NODES_MAX) {
            self.add_passive(node);
        }
    }

    fn add_passive(&mut self, peer: PeerInfo<Id>) {
        if peer.id == self.me || self.active.contains(&peer.id) {
            return;
        }
        if !self.passive.contains(&peer.id) && self.passive.len() >= PASSIVE_MAX {
            let displaced = self.pick(&self.passive, |_| true);
            displaced.map(|displaced| self.passive.remove(&displaced));
        }
        self.passive.insert(peer.id);
        self.remember(peer.id, peer.data);
    }

    /// Makes a peer a neighbour. Returns false if there is no room.
    fn add_active(&mut self, peer: Id, priority: Priority, answer: bool, now: Instant) -> bool {
        if peer == self.me {
            return false;
        }
        if !self.active.contains(&peer) {
            if self.active.len() >= ACTIVE_MAX && (priority == Priority::Low || !self.displace(now))
            {
                return false;
            }
            self.passive.remove(&peer);
            self.active.insert(peer);
            self.out.push_back(Output::Up(peer));
        }
        if answer {
            self.ask(peer, None, priority, now);
        }
        true
    }

    /// Dismisses a neighbour to make room. Returns false above the maximum rate.
    fn displace(&mut self, now: Instant) -> bool {
        let earned = now
            .saturating_duration_since(self.displaceable_since)
            .as_secs()
            / DISPLACED_EVERY.as_secs();
        if earned > 0 {
            let earned = u32::try_from(earned).unwrap_or(DISPLACED_MAX);
            self.displaceable = self.displaceable.saturating_add(earned).min(DISPLACED_MAX);
            self.displaceable_since = now;
        }
        if self.displaceable == 0 {
            return false;
        }
        self.displaceable -= 1;
        if let Some(displaced) = self.pick(&self.active, |_| true) {
            self.remove_active(displaced, true);
            self.dismiss(displaced, true);
        }
        true
    }

    fn remove_active(&mut self, peer: Id, keep: bool) {
        if self.active.remove(&peer) {
            self.out.push_back(Output::Down(peer));
            if keep {
                self.add_passive(self.info(peer));
                self.live_on.insert(peer);
            }
        }
    }

    /// Notifies a peer that it is not a neighbour, and sends it other peers.
    fn dismiss(&mut self, peer: Id, alive: bool) {
        self.reply_to_shuffle(peer, SHUFFLE_ACTIVE + SHUFFLE_PASSIVE);
        let respond = false;
        self.send(peer, Swarm::Disconnect { alive, respond });
        self.out.push_back(Output::Leave(peer));
    }

    /// Asks a peer to become a neighbour, or notifies it that it is one, unless that is already in progress.
    fn ask(&mut self, peer: Id, data: Option<PeerData>, priority: Priority, now: Instant) {
        let is_known = self.active.contains(&peer);
        if self.pending.contains_key(&peer) || (!is_known && self.pending.len() >= PENDING_MAX) {
            return;
        }
        // A neighbour is notified even if its answer cannot be awaited.
        if self.pending.len() < PENDING_MAX {
            self.pending.insert(peer, now + PENDING_TIMEOUT);
        }
        self.remember(peer, data);
        let data = self.own_data.clone();
        self.send(peer, Swarm::Neighbor { priority, data });
    }

    /// Asks one of the known peers to take a free place.
    fn refill(&mut self, without: Option<Id>, now: Instant) {
        if self.active.len() + self.pending.len() >= ACTIVE_MAX {
            return;
        }
        let next = self.pick(&self.passive, |peer| {
            Some(*peer) != without && !self.pending.contains_key(peer)
        });
        if let Some(next) = next {
            let priority = if self.active.is_empty() {
                Priority::High
            } else {
                Priority::Low
            };
            self.ask(next, None, priority, now);
        }
    }

    fn pick(&self, from: &BTreeSet<Id>, wanted: impl Fn(&Id) -> bool) -> Option<Id> {
        let wanted: Vec<Id> = from.iter().copied().filter(|peer| wanted(peer)).collect();
        self.random.pick(&wanted)
    }

    fn sample(&self, from: &BTreeSet<Id>, without: Option<Id>, most: usize) -> Vec<Id> {
        let mut all: Vec<Id> = from
            .iter()
            .copied()
            .filter(|peer| Some(*peer) != without)
            .collect();
        let mut sample = Vec::new();
        while sample.len() < most && !all.is_empty() {
            sample.push(all.swap_remove(self.random.below(all.len())));
        }
        sample
    }
}
