//! [`Node`]: the gossip of one node.

use std::{fmt, time::Instant};

use bytes::Bytes;

use super::{
    PeerId,
    broadcast::{Broadcast, Verdict},
    membership::{self, Membership},
    random::Random,
    wire::{MAX_CONTENT_LEN, Message, PeerData, Swarm},
};

/// An action that the caller performs for the protocol.
#[derive(Debug, PartialEq)]
pub enum Output<Id> {
    /// Send over the connection to the peer, which is opened if necessary.
    Send(Id, Message<Id>),
    /// The peer has become a neighbour.
    Up(Id),
    /// Stop sending to the peer.
    Leave(Id),
}

/// The gossip of one node on one topic, as a state machine. It performs no I/O and reads no clock: it is given messages,
/// events and the time, and returns the actions to perform.
pub struct Node<Id> {
    me: Id,
    membership: Membership<Id>,
    broadcast: Broadcast<Id>,
}

impl<Id: PeerId> fmt::Debug for Node<Id> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("me", &self.me)
            .field("neighbours", self.membership.active())
            .finish_non_exhaustive()
    }
}

impl<Id: PeerId> Node<Id> {
    /// Creates a node without neighbours. Nodes with different seeds make different choices.
    pub fn new(me: Id, seed: u64, now: Instant) -> Self {
        Self {
            me,
            membership: Membership::new(me, Random::seeded(seed), now),
            broadcast: Broadcast::default(),
        }
    }

    /// Sets the addresses of this node that peers receive from now on.
    pub fn set_own_data(&mut self, data: PeerData) {
        self.membership.own_data = data.bounded();
    }

    /// Returns the number of neighbours.
    pub fn neighbours(&self) -> usize {
        self.membership.active().len()
    }

    /// Returns true if the peer is a neighbour or may become one.
    pub fn is_wanted(&self, peer: &Id) -> bool {
        self.membership.is_wanted(peer)
    }

    /// Returns the number of peers about which any state is kept.
    #[cfg(test)]
    #[cfg(test)]
    pub(crate) fn known(&self) -> usize {
        self.membership.known()
    }

    /// Returns the addresses of a peer as reported by others.
    pub fn data(&self, peer: &Id) -> Option<&PeerData> {
        self.membership.data(peer)
    }

    /// Returns the time at which [`on_timeout`](Self::on_timeout) is to be called, unless something else happens before.
    pub fn next_timeout(&self) -> Instant {
        let membership = self.membership.next_timeout();
        let broadcast = self.broadcast.next_timeout();
        broadcast.map_or(membership, |at| at.min(membership))
    }

    /// Performs the actions that are due at `now`.
    pub fn on_timeout(&mut self, now: Instant) -> Vec<Output<Id>> {
        self.membership.on_timeout(now);
        self.broadcast.on_timeout(now);
        self.outputs()
    }

    /// Asks a peer to become a neighbour, even if another one must make room.
    pub fn join(&mut self, peer: Id) -> Vec<Output<Id>> {
        self.membership.join(peer);
        self.outputs()
    }

    /// Asks a peer to become a neighbour if it has room.
    pub fn invite(&mut self, peer: Id, now: Instant) -> Vec<Output<Id>> {
        self.membership.invite(peer, now);
        self.outputs()
    }

    /// Takes a message from a peer. `decide` accepts or drops each new content before it is forwarded.
    pub fn on_message(
        &mut self,
        from: Id,
        message: Message<Id>,
        now: Instant,
        mut decide: impl FnMut(&Bytes) -> Verdict,
    ) -> Vec<Output<Id>> {
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

    /// Notes that the connection to a peer has ended or could not be opened.
    pub fn on_disconnected(&mut self, peer: Id, now: Instant) -> Vec<Output<Id>> {
        self.membership.on_disconnected(peer, now);
        self.outputs()
    }

    /// Broadcasts a message. Returns `None` if it is too large.
    pub fn broadcast(&mut self, content: Bytes, now: Instant) -> Option<Vec<Output<Id>>> {
        if content.len() > MAX_CONTENT_LEN {
            return None;
        }
        self.broadcast.broadcast(&content, now);
        Some(self.outputs())
    }

    /// Sends a message's id to one neighbour, which can then request the message.
    pub fn offer(&mut self, to: Id, content: &Bytes, now: Instant) -> Vec<Output<Id>> {
        if content.len() <= MAX_CONTENT_LEN {
            self.broadcast.offer(to, content, now);
        }
        self.outputs()
    }

    /// Sends a final message to all neighbours and to peers that may be about to become neighbours, and leaves them. The
    /// message cannot be requested later.
    pub fn quit(
        &mut self,
        departure: &Bytes,
        also: impl IntoIterator<Item = Id>,
    ) -> Vec<Output<Id>> {
        self.broadcast.send_final(departure, also);
        let mut outputs = self.outputs();
        self.membership.quit();
        outputs.extend(self.outputs());
        outputs
    }

    fn outputs(&mut self) -> Vec<Output<Id>> {
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
        let sent = self.broadcast.out.drain(..);
        outputs.extend(sent.map(|(to, message)| Output::Send(to, Message::Tree(message))));
        outputs
    }
}
