//! PlumTree: messages are sent along a tree of neighbours; other neighbours receive message ids only.
//!
//! See Leitão, Pereira and Rodrigues, "Epidemic broadcast trees", 2007. Unlike the paper and iroh-gossip, a message is
//! forwarded only after the application has accepted it, and the state that peers can cause is bounded.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque, hash_map::Entry},
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::PeerId;
use super::wire::{IHAVES_PER_MESSAGE, IHave, MessageId, Scope, Tree};

/// The time for which a message can be requested, and for which its id is remembered. These and the next four values
/// are those of iroh-gossip.
const KEEP_CONTENT: Duration = Duration::from_secs(30);
const KEEP_ID: Duration = Duration::from_secs(90);
/// The time for which a message may still arrive over the tree after its id was received.
const GRAFT_AFTER: Duration = Duration::from_millis(80);
/// The delay before the message is requested from another peer.
const GRAFT_NEXT_AFTER: Duration = Duration::from_millis(40);
/// The time for which ids are collected before they are sent.
const ANNOUNCE_IDS_AFTER: Duration = Duration::from_millis(5);
/// The number of hops by which another path must be shorter to replace a path of the tree.
const SHORTCUT: u16 = 7;
/// The maximum number of remembered ids, and of bytes of kept messages. The oldest are removed first.
const IDS_MAX: usize = 65_536;
const CONTENT_MAX: usize = 8 * 1024 * 1024;
/// The maximum number of announced messages that have not arrived: in total, and per announcing peer. Then the maximum
/// number of providers kept for each.
const MISSING_MAX: usize = 4096;
const MISSING_OF_PEER_MAX: usize = 1024;
const PROVIDERS_MAX: usize = 5;
/// The maximum number of ids that wait to be sent to one peer.
const UNANNOUNCED_MAX: usize = 4096;

/// The decision of the application about a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Forward it.
    Forward,
    /// Do not forward it.
    Drop,
}

struct Missing<Id> {
    providers: VecDeque<(Id, u16)>,
    /// The peer that announced it first.
    first: Id,
    graft_at: Instant,
}

pub(crate) struct Broadcast<Id> {
    /// Neighbours that receive all messages.
    eager: BTreeSet<Id>,
    /// Neighbours that receive ids only.
    lazy: BTreeSet<Id>,
    received: BTreeSet<MessageId>,
    received_order: VecDeque<(Instant, MessageId)>,
    contents: HashMap<MessageId, (Bytes, u16)>,
    contents_order: VecDeque<(Instant, MessageId)>,
    contents_len: usize,
    missing: HashMap<MessageId, Missing<Id>>,
    /// The number of `missing` entries that each peer announced first.
    missing_of: HashMap<Id, usize>,
    unannounced: BTreeMap<Id, Vec<IHave>>,
    announce_at: Option<Instant>,
    pub(crate) out: VecDeque<(Id, Tree)>,
}

impl<Id> Default for Broadcast<Id> {
    fn default() -> Self {
        Self {
            eager: BTreeSet::new(),
            lazy: BTreeSet::new(),
            received: BTreeSet::new(),
            received_order: VecDeque::new(),
            contents: HashMap::new(),
            contents_order: VecDeque::new(),
            contents_len: 0,
            missing: HashMap::new(),
            missing_of: HashMap::new(),
            unannounced: BTreeMap::new(),
            announce_at: None,
            out: VecDeque::new(),
        }
    }
}

impl<Id: PeerId> Broadcast<Id> {
    pub(crate) fn on_up(&mut self, peer: Id) {
        self.lazy.remove(&peer);
        self.eager.insert(peer);
    }

    pub(crate) fn on_down(&mut self, peer: &Id) {
        self.eager.remove(peer);
        self.lazy.remove(peer);
        self.unannounced.remove(peer);
        for missing in self.missing.values_mut() {
            missing.providers.retain(|(provider, _)| provider != peer);
        }
        let gone = |(id, it): (&MessageId, &Missing<Id>)| it.providers.is_empty().then_some(*id);
        let gone: Vec<MessageId> = self.missing.iter().filter_map(gone).collect();
        for id in gone {
            self.forget_missing(&id);
        }
    }

    fn forget_missing(&mut self, id: &MessageId) -> Option<Missing<Id>> {
        let missing = self.missing.remove(id)?;
        if let Entry::Occupied(mut of_peer) = self.missing_of.entry(missing.first) {
            *of_peer.get_mut() -= 1;
            if *of_peer.get() == 0 {
                of_peer.remove();
            }
        }
        Some(missing)
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let graft = self.missing.values().map(|missing| missing.graft_at).min();
        let expiry = [self.received_order.front(), self.contents_order.front()];
        let expiry = expiry.into_iter().flatten().map(|(at, _)| *at);
        expiry.chain(graft).chain(self.announce_at).min()
    }

    pub(crate) fn on_timeout(&mut self, now: Instant) {
        if self.announce_at.is_some_and(|at| at <= now) {
            self.announce_at = None;
            for (peer, ids) in std::mem::take(&mut self.unannounced) {
                for ids in ids.chunks(IHAVES_PER_MESSAGE) {
                    self.out.push_back((peer, Tree::IHave(ids.to_vec())));
                }
            }
        }
        let due: Vec<MessageId> = self
            .missing
            .iter()
            .filter(|(_, missing)| missing.graft_at <= now)
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            self.graft(id, now);
        }
        while let Some((at, id)) = self.received_order.front().copied()
            && (at <= now || self.received_order.len() > IDS_MAX)
        {
            self.received_order.pop_front();
            self.received.remove(&id);
        }
        while let Some((at, _)) = self.contents_order.front()
            && *at <= now
        {
            self.drop_oldest_content();
        }
    }

    fn graft(&mut self, id: MessageId, now: Instant) {
        let Some(missing) = self.missing.get_mut(&id) else {
            return;
        };
        let Some((peer, round)) = missing.providers.pop_front() else {
            self.forget_missing(&id);
            return;
        };
        missing.graft_at = now + GRAFT_NEXT_AFTER;
        self.make_eager(peer);
        let id = Some(id);
        self.out.push_back((peer, Tree::Graft { id, round }));
    }

    /// Broadcasts a message: eager neighbours receive the content, lazy ones the id.
    pub(crate) fn broadcast(&mut self, content: &Bytes, now: Instant) {
        let id = MessageId::of(content);
        self.keep(id, content, 0, now);
        self.queue_id(id, 0, None, now);
        for peer in self.eager.clone() {
            self.send(peer, id, content, 0);
        }
    }

    /// Sends a final message to all neighbours and some other peers, in full, because they cannot request it later.
    pub(crate) fn send_final(&mut self, content: &Bytes, also: impl IntoIterator<Item = Id>) {
        let id = MessageId::of(content);
        let neighbours = self.eager.union(&self.lazy).copied();
        let all: BTreeSet<Id> = neighbours.chain(also).collect();
        for peer in all {
            self.send(peer, id, content, 0);
        }
    }

    /// Sends a message's id to one neighbour, which requests the message if it is missing.
    pub(crate) fn offer(&mut self, to: Id, content: &Bytes, now: Instant) {
        let id = MessageId::of(content);
        self.keep(id, content, 0, now);
        self.out
            .push_back((to, Tree::IHave(vec![IHave { id, round: 0 }])));
    }

    pub(crate) fn on_message(
        &mut self,
        from: Id,
        message: Tree,
        now: Instant,
        decide: &mut impl FnMut(&Bytes) -> Verdict,
    ) {
        match message {
            Tree::Gossip { id, content, scope } => {
                self.on_gossip(from, id, &content, scope, now, decide);
            }
            _ if !self.is_neighbour(&from) => {}
            Tree::Prune => self.make_lazy(from),
            Tree::Graft { id, .. } => {
                self.make_eager(from);
                if let Some(id) = id
                    && let Some((content, round)) = self.contents.get(&id).cloned()
                {
                    self.send(from, id, &content, round);
                }
            }
            Tree::IHave(ids) => {
                for IHave { id, round } in ids {
                    self.on_id(from, id, round, now);
                }
            }
        }
    }

    fn is_neighbour(&self, peer: &Id) -> bool {
        self.eager.contains(peer) || self.lazy.contains(peer)
    }

    fn on_gossip(
        &mut self,
        from: Id,
        id: MessageId,
        content: &Bytes,
        scope: Scope,
        now: Instant,
        decide: &mut impl FnMut(&Bytes) -> Verdict,
    ) {
        if self.received.contains(&id) {
            if self.is_neighbour(&from) {
                self.make_lazy(from);
                self.out.push_back((from, Tree::Prune));
            }
            return;
        }
        if id != MessageId::of(content) {
            return;
        }
        let verdict = decide(content);
        let Scope::Swarm(round) = scope else {
            return;
        };
        let missing = self.forget_missing(&id);
        if verdict == Verdict::Drop {
            // Marked as received, so that it is not validated again.
            self.mark_received(id, now);
            return;
        }
        let round = round.saturating_add(1);
        self.keep(id, content, round, now);
        let others: Vec<Id> = self
            .eager
            .iter()
            .copied()
            .filter(|to| *to != from)
            .collect();
        for to in others {
            self.send(to, id, content, round);
        }
        self.queue_id(id, round, Some(from), now);
        if let Some(missing) = missing {
            self.take_shortcut(from, round, &missing);
        }
    }

    /// Prefers a neighbour from which the message was available many hops earlier.
    fn take_shortcut(&mut self, from: Id, round: u16, missing: &Missing<Id>) {
        let nearest = missing.providers.iter().min_by_key(|(_, round)| *round);
        if let Some((peer, nearer)) = nearest.copied()
            && nearer.saturating_add(SHORTCUT) <= round
            && self.is_neighbour(&from)
        {
            if self.lazy.contains(&peer) {
                self.make_eager(peer);
                let (id, round) = (None, nearer);
                self.out.push_back((peer, Tree::Graft { id, round }));
            }
            self.make_lazy(from);
            self.out.push_back((from, Tree::Prune));
        }
    }

    fn on_id(&mut self, from: Id, id: MessageId, round: u16, now: Instant) {
        if self.received.contains(&id) {
            return;
        }
        if let Some(missing) = self.missing.get_mut(&id) {
            let is_new = missing.providers.iter().all(|(peer, _)| *peer != from);
            if is_new && missing.providers.len() < PROVIDERS_MAX {
                missing.providers.push_back((from, round));
            }
            return;
        }
        let of_peer = self.missing_of.get(&from).copied().unwrap_or(0);
        if self.missing.len() < MISSING_MAX && of_peer < MISSING_OF_PEER_MAX {
            self.missing_of.insert(from, of_peer + 1);
            let missing = Missing {
                providers: VecDeque::from([(from, round)]),
                first: from,
                graft_at: now + GRAFT_AFTER,
            };
            self.missing.insert(id, missing);
        }
    }

    fn make_eager(&mut self, peer: Id) {
        if self.lazy.remove(&peer) {
            self.eager.insert(peer);
        }
    }

    fn make_lazy(&mut self, peer: Id) {
        if self.eager.remove(&peer) {
            self.lazy.insert(peer);
        }
    }

    fn send(&mut self, to: Id, id: MessageId, content: &Bytes, round: u16) {
        let (content, scope) = (content.clone(), Scope::Swarm(round));
        let message = Tree::Gossip { id, content, scope };
        self.out.push_back((to, message));
    }

    fn queue_id(&mut self, id: MessageId, round: u16, from: Option<Id>, now: Instant) {
        for peer in self.lazy.iter().filter(|peer| Some(**peer) != from) {
            let unannounced = self.unannounced.entry(*peer).or_default();
            // Above the limit, the peer receives the message over the tree only, or not at all.
            if unannounced.len() < UNANNOUNCED_MAX {
                unannounced.push(IHave { id, round });
            }
        }
        if !self.unannounced.is_empty() {
            self.announce_at.get_or_insert(now + ANNOUNCE_IDS_AFTER);
        }
    }

    fn mark_received(&mut self, id: MessageId, now: Instant) {
        if self.received.insert(id) {
            self.received_order.push_back((now + KEEP_ID, id));
        }
        while self.received_order.len() > IDS_MAX {
            if let Some((_, oldest)) = self.received_order.pop_front() {
                self.received.remove(&oldest);
            }
        }
    }

    fn keep(&mut self, id: MessageId, content: &Bytes, round: u16, now: Instant) {
        self.mark_received(id, now);
        if self.contents.insert(id, (content.clone(), round)).is_none() {
            self.contents_len += content.len();
            self.contents_order.push_back((now + KEEP_CONTENT, id));
        }
        while self.contents_len > CONTENT_MAX {
            self.drop_oldest_content();
        }
    }

    fn drop_oldest_content(&mut self) {
        if let Some((_, oldest)) = self.contents_order.pop_front()
            && let Some((content, _)) = self.contents.remove(&oldest)
        {
            self.contents_len -= content.len();
        }
    }
}
