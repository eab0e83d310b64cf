//! What changes in place when a new generation comes: settings of streams, of subscriptions and of the node itself.

use mosaik_streams::Tag;

use super::{edges, node::Node};
use crate::{graph::Graph, manifest::shown_tickets};

impl Node {
    /// Gives this node's ends of streams the settings that they have in another graph.
    pub(super) fn retune_streams(&self, graph: &Graph) {
        for (name, producer) in &self.producers {
            if let (Some(old), Some(new)) = (self.graph.streams.get(name), graph.streams.get(name))
            {
                edges::retune_producer(&producer.control(), old, new);
            }
        }
    }

    /// Gives subscriptions that go on the settings that they have in another graph.
    pub(super) fn retune_edges(&self, graph: &Graph) {
        let at = |graph: &Graph, key, port| {
            let edge = graph.stage(key)?.edge_at(port)?;
            let stream = graph.streams.get(&edge.stream)?;
            Some((stream.clone(), edge.clone()))
        };
        for ((key, port), consumer) in &self.observer.view().edges {
            let (old, new) = (at(&self.graph, key, *port), at(graph, key, *port));
            if let (Some((old_stream, old)), Some((new_stream, new))) = (old, new) {
                edges::retune_consumer(consumer, (&old_stream, &old), (&new_stream, &new));
            }
        }
    }

    /// What of the node itself can change while it runs: its tags and tickets, and whom it asks for the network.
    pub(super) async fn retune_node(&self, graph: &Graph) {
        let discovery = self.network.discovery();
        let (before, after) = (
            edges::tags(&self.graph.node.tags),
            edges::tags(&graph.node.tags),
        );
        let without = |tags: &[Tag], others: &[Tag]| -> Vec<Tag> {
            tags.iter()
                .filter(|tag| !others.contains(tag))
                .copied()
                .collect()
        };
        discovery.set_name(self.settings.shown_name(graph));
        // New tickets first: with a renewed one, whoever asks for it sees no gap.
        let (old, new) = (&self.graph.node.tickets, &graph.node.tickets);
        shown_tickets(new).for_each(|ticket| discovery.add_ticket(ticket));
        let kept: Vec<_> = shown_tickets(new).map(|ticket| ticket.id()).collect();
        shown_tickets(old)
            .filter(|ticket| !kept.contains(&ticket.id()))
            .for_each(|ticket| discovery.remove_ticket(ticket.id()));
        discovery.remove_tags(without(&before, &after));
        discovery.add_tags(without(&after, &before));
        let added = graph
            .node
            .bootstrap
            .iter()
            .filter(|peer| !self.graph.node.bootstrap.contains(peer));
        discovery.dial(edges::bootstrap(added)).await;
    }
}
