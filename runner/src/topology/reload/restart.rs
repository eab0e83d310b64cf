//! Prepares a restart of a node in the same process.

use std::sync::Arc;

use crate::{
    components::Library,
    graph::{Graph, Role},
    topology::{StartError, build::parts_of},
};

/// Builds everything that can be tried before a running node is shut down, and drops it again.
/// Sources are excluded: a second reader would take records from the first.
///
/// # Errors
/// A stage cannot be built.
pub(in crate::topology) async fn try_parts(
    graph: &Graph,
    library: &Arc<Library>,
) -> Result<(), StartError> {
    let tried = graph
        .stages()
        .filter(|stage| stage.key.role != Role::Producer);
    parts_of(graph, tried, library).await?;
    Ok(())
}
