//! The gossip of one topic as a state machine: takes messages and the time, returns messages to send. No I/O, no clock.

use std::time::Instant;

use bytes::Bytes;

use super::{
    broadcast::{Broadcast, Verdict},
    membership::{self, Membership},
    random::Random,
    wire::{MAX_CONTENT_LEN, Message, PeerData, Swarm},
};
use crate::PeerId;

/// An action to perform.
#[derive(Debug, PartialEq)]
pub(super) enum Output {
    /// Send over the connection to the peer, which is opened if necessary.
    Send(PeerId, Message),
    /// The peer has become a neighbour.
    Up(PeerId),
    /// Stop sending to the peer.
    Leave(PeerId),
}

/// HyParView and PlumTree combined.
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

    /// Returns true if a message can carry this many bytes.
    pub(super) const fn carries(len: usize) -> bool {
        len <= MAX_CONTENT_LEN
    }

    /// Sets the addresses of this node that peers receive from now on.
    pub(super) fn set_own_data(&mut self, data: PeerData) {
        self.membership.own_data = data.bounded();
    }

    pub(super) fn neighbours(&self) -> usize {
        self.membership.active().len()
    }

    /// Returns true if the peer is a neighbour or may become one.
    pub(super) fn is_wanted(&self, peer: &PeerId) -> bool {
        self.membership.is_wanted(peer)
    }

    /// Returns the number of peers about which any state is kept.
    #[cfg(test)]
    pub(super) fn known(&self) -> usize {
        self.membership.known()
    }

    /// Returns the addresses of a peer as reported by others.
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

    /// Asks a peer to become a neighbour if it has room.
    pub(super) fn invite(&mut self, peer: PeerId, now: Instant) -> Vec<Output> {
        self.membership.invite(peer, now);
        self.outputs()
    }

    /// `decide` accepts or drops each new message before it is forwarded.
    pub(super) fn on_message(
        &mut self,
        from: PeerId,
        message: Message,
        now: Instant,
        mut decide: impl FnMut(&Bytes) -> Verdict,
    ) -> Vec<Output> {
        // Possible if a peer announces this node's own address.
        if from == self.me {
            return vec![Output::Leave(from)];
        }
        let is_disconnect = matches!(message, Message::Swarm(Swarm::Disconnect { .. }));
        match message {
            Message::Swarm(message) => self.membership.on_message(from, message, now),
            Message::Tree(message) => {
                self.broadcast.on_message(from, message, now, &mut decide);
            }
        }
        let mut outputs = self.outputs();
        // A peer that is not a neighbour has nothing more to send, and others may need the connection.
        if !is_disconnect && !self.is_wanted(&from) && !outputs.contains(&Output::Leave(from)) {
            outputs.push(Output::Leave(from));
        }
        outputs
    }

    pub(super) fn on_disconnected(&mut self, peer: PeerId, now: Instant) -> Vec<Output> {
        self.membership.on_disconnected(peer, now);
        self.outputs()
    }

    /// Broadcasts a message. Returns `None` if it is too large.
    pub(super) fn tell(&mut self, content: Bytes, now: Instant) -> Option<Vec<Output>> {
        if !Self::carries(content.len()) {
            return None;
        }
        self.broadcast.tell(&content, now);
        Some(self.outputs())
    }

    /// Sends a message's id to one neighbour, which can then request the message.
    pub(super) fn offer(&mut self, to: PeerId, content: &Bytes, now: Instant) -> Vec<Output> {
        if Self::carries(content.len()) {
            self.broadcast.offer(to, content, now);
        }
        self.outputs()
    }

    /// Sends a final message to all neighbours and to peers that may be about to become neighbours, and leaves them. The
    /// message cannot be requested later.
    pub(super) fn quit(
        &mut self,
        departure: &Bytes,
        also: impl IntoIterator<Item = PeerId>,
    ) -> Vec<Output> {
        self.broadcast.send_final(departure, also);
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
