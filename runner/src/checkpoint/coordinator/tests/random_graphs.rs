//! Random graphs with restarts and changes: every checkpoint holds what all stages had done with the same records.

use std::time::Instant;

use super::{
    graph::{Graph, Sums, record},
    process::{Process, id, sums_of},
    *,
};
use crate::checkpoint::random::Random;

/// The longest time of a checkpoint. One that waits for a barrier that never comes takes longer.
const PROMPT: Duration = Duration::from_secs(20);

/// Returns the number of graphs.
fn graphs() -> u64 {
    let graphs = std::env::var("MOSAIK_GRAPHS").ok();
    graphs.and_then(|graphs| graphs.parse().ok()).unwrap_or(40)
}

/// What the stages must have done by a checkpoint.
struct Expected {
    graph: Graph,
    positions: Vec<u64>,
    sums: Vec<Sums>,
}

impl Expected {
    /// Checks a checkpoint that follows the last one.
    fn check(&mut self, images: &BTreeMap<StageId, StageImage>, context: &str) {
        for source in self.graph.sources() {
            let position = number(&images[&id(source)]);
            let before = std::mem::replace(&mut self.positions[source], position);
            assert!(position >= before, "{context}: {}", id(source));
            for number in before..position {
                self.graph
                    .add(source, record(source, number), &mut self.sums);
            }
        }
        for (stage, expected) in self.sums.iter().enumerate() {
            if !self.graph.stages[stage].is_source() {
                let found = sums_of(&images[&id(stage)]);
                assert_eq!(
                    found,
                    *expected,
                    "{context}: {} of {:?}",
                    id(stage),
                    self.graph
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_checkpoint_of_a_random_graph_is_consistent() {
    for seed in 0..graphs() {
        let mut random = Random::seeded(seed);
        let graph = Graph::random(&mut random);
        let folder = tempfile::tempdir().unwrap();
        let mut expected = Expected {
            positions: vec![0; graph.stages.len()],
            sums: vec![(0, 0); graph.stages.len()],
            graph: graph.clone(),
        };
        for process in 0..3 {
            let context = format!("seed {seed}, process {process}");
            let process = Process::start(folder.path(), &graph).await;
            live(process, &mut expected, &mut random, &context).await;
        }
        assert!(
            expected.positions.iter().sum::<u64>() > 0
                || graph
                    .sources()
                    .all(|source| graph.stages[source].count == 0),
            "seed {seed}"
        );
    }
}

/// Takes checkpoints of a process, and kills it.
async fn live(mut process: Process, expected: &mut Expected, random: &mut Random, context: &str) {
    if !process.restored.is_empty() {
        expected.check(&process.restored, &format!("{context}, restored"));
    }
    // A change may take effect in the checkpoint that follows it.
    let mut was_changed = false;
    for round in 0..2 + random.below(4) {
        let context = format!("{context}, checkpoint {round}");
        tokio::time::sleep(Duration::from_millis(random.below(4))).await;
        let began = Instant::now();
        let taking = tokio::spawn({
            let checkpoints = process.checkpoints.clone();
            async move { checkpoints.take(false).await }
        });
        let mut is_changed = false;
        while random.once_in(2) {
            is_changed = true;
            change(&mut process, random, &expected.graph).await;
        }
        let outcome = within(&context, taking).await.unwrap();
        assert!(began.elapsed() < PROMPT, "{context}: {outcome:?}");
        match outcome {
            Outcome::Committed { .. } => expected.check(&process.checkpoints.last(), &context),
            Outcome::GivenUp { .. } if is_changed || was_changed => {}
            Outcome::GivenUp { reason } => panic!("{context}: {reason}"),
        }
        was_changed = is_changed;
    }
    if random.once_in(2) {
        match within(context, process.checkpoints.take(true)).await {
            Outcome::Committed { .. } => expected.check(&process.checkpoints.last(), context),
            Outcome::GivenUp { .. } if was_changed => {}
            Outcome::GivenUp { reason } => panic!("{context}: {reason}"),
        }
    }
    process.kill().await;
}

/// Changes a stage that does not end meanwhile.
async fn change(process: &mut Process, random: &mut Random, graph: &Graph) {
    let stage = random.below(graph.stages.len() as u64) as usize;
    for _ in 0..random.below(3) {
        tokio::task::yield_now().await;
    }
    if process.is_finite(stage) {
        return;
    }
    if graph.stages[stage].is_source() {
        process.hand_over(stage).await;
    } else {
        process.rewire(stage);
    }
}
