//! Applies the changes of a new generation that need no restart: settings of streams, of
//! subscriptions, of sinks and of the node itself.

use mosaik_streams::{Tag, discovery::Discovery};

use super::Switch;
use crate::{
    manifest::shown_tickets,
    topology::{
        stages::Stages,
        streams::{Outlets, bootstrap, tags},
    },
};

impl Switch<'_> {
    /// Applies the differences to the producers and subscriptions that continue.
    pub(super) fn retune_streams(&self, stages: &Stages, outlets: &Outlets) {
        outlets.retune(self.diff, self.new);
        stages.inlets().retune(self.diff, self.new);
    }

    /// Changes the policies of the sinks that are retuned, also while they wait for their output.
    /// The streams that they write from now on are open.
    pub(super) fn retune_sinks(&self, stages: &Stages, outlets: &Outlets) {
        let retuned = self
            .new
            .stages()
            .filter(|stage| self.plan.swaps(&stage.key));
        for stage in retuned {
            stages.retune_sink(self.old.stage(&stage.key), stage, outlets);
        }
    }

    /// Applies the node settings that can change at run time: its name, tags, tickets and bootstrap
    /// nodes.
    pub(in crate::topology) async fn retune_node(&self, discovery: &Discovery, name: Option<&str>) {
        if self.diff.node.is_empty() {
            return;
        }
        let (old, new) = (&self.old.node, &self.new.node);
        let (before, after) = (tags(&old.tags), tags(&new.tags));
        let without = |tags: &[Tag], others: &[Tag]| -> Vec<Tag> {
            tags.iter()
                .filter(|tag| !others.contains(tag))
                .copied()
                .collect()
        };
        discovery.set_name(name);
        // Add new tickets first, so that a node that requires a renewed ticket sees no gap.
        shown_tickets(&new.tickets).for_each(|ticket| discovery.add_ticket(ticket));
        let kept: Vec<_> = shown_tickets(&new.tickets)
            .map(|ticket| ticket.id())
            .collect();
        shown_tickets(&old.tickets)
            .filter(|ticket| !kept.contains(&ticket.id()))
            .for_each(|ticket| discovery.remove_ticket(ticket.id()));
        discovery.remove_tags(without(&before, &after));
        discovery.add_tags(without(&after, &before));
        let added = new
            .bootstrap
            .iter()
            .filter(|peer| !old.bootstrap.contains(peer));
        discovery.dial(bootstrap(added)).await;
    }
}
