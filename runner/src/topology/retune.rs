//! Applies the changes of a new generation that need no restart: settings of streams, of
//! subscriptions and of the node itself.

use mosaik_streams::Tag;

use super::{edges, node::Node};
use crate::{graph::Graph, manifest::shown_tickets};

impl Node {
    /// Applies the stream settings of another graph to this node's producers.
    pub(super) fn retune_streams(&self, graph: &Graph) {
        for (name, producer) in &self.producers {
            if let (Some(old), Some(new)) = (self.graph.streams.get(name), graph.streams.get(name))
            {
                edges::retune_producer(&producer.control(), &old.settings, &new.settings);
            }
        }
    }

    /// Applies the settings of another graph to the subscriptions that continue.
    pub(super) fn retune_edges(&self, graph: &Graph) {
        let at = |graph: &Graph, key, port| {
            let edge = graph.stage(key)?.edge_at(port)?;
            let stream = graph.streams.get(&edge.stream)?;
            Some((stream.settings.clone(), edge.clone()))
        };
        for ((key, port), consumer) in &self.observer.view().edges {
            let (old, new) = (at(&self.graph, key, *port), at(graph, key, *port));
            if let (Some((old_stream, old)), Some((new_stream, new))) = (old, new) {
                edges::retune_consumer(consumer, (&old_stream, &old), (&new_stream, &new));
            }
        }
    }

    /// Applies the node settings that can change at run time: its tags, tickets and bootstrap
    /// nodes.
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
        // Add new tickets first, so that a node that requires a renewed ticket sees no gap.
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
