//! The gossip of one topic as a state that takes messages and the time, and says what is to be sent. No I/O, no clock.

use std::time::Instant;

use bytes::Bytes;

use super::{
    broadcast::{Broadcast, Verdict},
    membership::{self, Membership},
    random::Random,
    wire::{MAX_CONTENT_LEN, Message, PeerData, Swarm},
};
use crate::PeerId;

/// What is to be done.
#[derive(Debug, PartialEq)]
pub(super) enum Output {
    /// Over the connection to the peer, which is made if there is none.
    Send(PeerId, Message),
    /// The peer has become a neighbour.
    Up(PeerId),
    /// Nothing more is to be said to the peer.
    Leave(PeerId),
}

/// HyParView and PlumTree together.
pub(super) struct Core {
    me: PeerId,
    membership: Membership,
    broadcast: Broadcast,
}

impl Core {
    pub(super) fn new(me: PeerId, seed: u64, now: Instant) -> Self {
        Self {
            me,
            membership: Membership::new(me, Random::seeded(seed), now),
            broadcast: Broadcast::default(),
        }
    }

    /// Whether a message can carry so many bytes.
    pub(super) const fn carries(len: usize) -> bool {
        len <= MAX_CONTENT_LEN
    }

    /// Tells how this node is reached from now on.
    pub(super) fn set_own_data(&mut self, data: PeerData) {
        self.membership.own_data = data.bounded();
    }

    pub(super) fn neighbours(&self) -> usize {
        self.membership.active().len()
    }

    /// Whether the peer is a neighbour or may become one.
    pub(super) fn is_wanted(&self, peer: &PeerId) -> bool {
        self.membership.is_wanted(peer)
    }

    /// Peers of whom something is kept.
    #[cfg(test)]
    pub(super) fn known(&self) -> usize {
        self.membership.known()
    }

    /// What others said of how the peer is reached.
    pub(super) fn data(&self, peer: &PeerId) -> Option<&PeerData> {
        self.membership.data(peer)
    }

    pub(super) fn next_timeout(&self) -> Instant {
        let membership = self.membership.next_timeout();
        let broadcast = self.broadcast.next_timeout();
        broadcast.map_or(membership, |at| at.min(membership))
    }

    pub(super) fn on_timeout(&mut self, now: Instant) -> Vec<Output> {
        self.membership.on_timeout(now);
        self.broadcast.on_timeout(now);
        self.outputs()
    }

    pub(super) fn join(&mut self, peer: PeerId) -> Vec<Output> {
        self.membership.join(peer);
        self.outputs()
    }

    /// Asks a peer to be a neighbour if it has room.
    pub(super) fn invite(&mut self, peer: PeerId, now: Instant) -> Vec<Output> {
        self.membership.invite(peer, now);
        self.outputs()
    }

    /// `judge` decides over every message that is new here before it is passed on.
    pub(super) fn on_message(
        &mut self,
        from: PeerId,
        message: Message,
        now: Instant,
        mut judge: impl FnMut(&Bytes) -> Verdict,
    ) -> Vec<Output> {
        // Whoever sends a node to its own address.
        if from == self.me {
            return vec![Output::Leave(from)];
        }
        let is_farewell = matches!(message, Message::Swarm(Swarm::Disconnect { .. }));
        match message {
            Message::Swarm(message) => self.membership.on_message(from, message, now),
            Message::Tree(message) => {
                self.broadcast.on_message(from, message, now, &mut judge);
            }
        }
        let mut outputs = self.outputs();
        // Who is no neighbour has no more to say; the connection is one that others may need.
        if !is_farewell && !self.is_wanted(&from) && !outputs.contains(&Output::Leave(from)) {
            outputs.push(Output::Leave(from));
        }
        outputs
    }

    pub(super) fn on_disconnected(&mut self, peer: PeerId, now: Instant) -> Vec<Output> {
        self.membership.on_disconnected(peer, now);
        self.outputs()
    }

    /// Tells all. `None` if it is too large to be told so.
    pub(super) fn tell(&mut self, content: Bytes, now: Instant) -> Option<Vec<Output>> {
        if !Self::carries(content.len()) {
            return None;
        }
        self.broadcast.tell(&content, now);
        Some(self.outputs())
    }

    /// Lets one neighbour know that there is something to be asked for.
    pub(super) fn offer(&mut self, to: PeerId, content: &Bytes, now: Instant) -> Vec<Output> {
        if Self::carries(content.len()) {
            self.broadcast.offer(to, content, now);
        }
        self.outputs()
    }

    /// Tells all neighbours, and who may be about to be one, one last thing, which nobody will be able to ask for, and
    /// leaves them.
    pub(super) fn quit(
        &mut self,
        farewell: &Bytes,
        also: impl IntoIterator<Item = PeerId>,
    ) -> Vec<Output> {
        self.broadcast.farewell(farewell, also);
        let mut outputs = self.outputs();
        self.membership.quit();
        outputs.extend(self.outputs());
        outputs
    }

    fn outputs(&mut self) -> Vec<Output> {
        let mut outputs = Vec::new();
        while let Some(output) = self.membership.out.pop_front() {
            outputs.push(match output {
                membership::Output::Send(to, message) => Output::Send(to, Message::Swarm(message)),
                membership::Output::Up(peer) => {
                    self.broadcast.on_up(peer);
                    Output::Up(peer)
                }
                membership::Output::Down(peer) => {
                    self.broadcast.on_down(&peer);
                    continue;
                }
                membership::Output::Leave(peer) => Output::Leave(peer),
            });
        }
        let told = self.broadcast.out.drain(..);
        outputs.extend(told.map(|(to, message)| Output::Send(to, Message::Tree(message))));
        outputs
    }
}
