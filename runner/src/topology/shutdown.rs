//! Shuts the stages of a node down in order: stops the sources, then drains the other stages in the
//! order of the graph.

use futures::future::join_all;
use mosaik_streams::status::When;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    stages::Stages,
    streams::{Outlets, over},
};
use crate::{
    graph::{Graph, Role, Stage},
    stage::Drain,
};

/// Stops all stages and ends the private streams. Afterwards, no stage runs. At the deadline, or
/// when `hurry` is cancelled, stages have to give up their remaining records. With
/// [`Drain::Queued`] for the sources, later ones of this process continue with standard input where
/// these stopped. With [`Drain::Suspend`], no stage ends its inputs.
pub(super) async fn stop_stages(
    graph: &Graph,
    stages: &mut Stages,
    outlets: &mut Outlets,
    sources_drain: Drain,
    until: Instant,
    hurry: &CancellationToken,
) {
    let is_suspended = sources_drain == Drain::Suspend;
    let (sources, others): (Vec<&Stage>, Vec<_>) = graph
        .in_order()
        .partition(|stage| stage.key.role == Role::Producer);
    let mut stopping = Vec::new();
    for stage in sources {
        let over = over(until, outputs_of(stage, outlets));
        if let Some(stopped) = stages.stop(&stage.key, sources_drain, over, hurry) {
            stopping.push(async move { (&stage.key, stopped.await) });
        }
    }
    for (key, ended) in join_all(stopping).await {
        stages.settle(graph, key, ended);
    }
    for stage in others {
        let drain = if is_suspended {
            // Its inputs do not end: the next process goes on with them.
            Drain::Suspend
        } else {
            outlets.end_private(&stages.active(graph));
            Drain::ToEnd
        };
        let over = over(until, outputs_of(stage, outlets));
        if let Some(stopped) = stages.stop(&stage.key, drain, over, hurry) {
            let ended = stopped.await;
            stages.settle(graph, &stage.key, ended);
        }
    }
    outlets.end_private(&stages.active(graph));
}

/// Returns the online conditions of the streams that a stage writes to.
fn outputs_of(stage: &Stage, outlets: &Outlets) -> Vec<When> {
    let when = stage.writes().filter_map(|name| outlets.when(name));
    when.collect()
}
