//! [`Worker`]: an operator or sink of a [`Process`](super::process::Process), with several instances.

use tokio::sync::{Notify, mpsc, oneshot};

use super::{
    graph::{Stage, Sums},
    *,
};
use crate::checkpoint::NextLine;

/// What all instances of a stage share.
#[derive(Clone)]
pub(super) struct Worker {
    pub(super) stage: Stage,
    pub(super) output: Option<FramesProducer>,
    pub(super) letters: Option<FramesProducer>,
}

enum Work {
    Batch(Frames),
    Snapshot(oneshot::Sender<Sums>),
}

impl Worker {
    /// Works off batches, as one of several instances.
    async fn work(self, (mut sum, mut count): Sums, mut todo: mpsc::Receiver<Work>) {
        while let Some(work) = todo.recv().await {
            let batch = match work {
                Work::Batch(batch) => batch,
                Work::Snapshot(answer) => {
                    let _ = answer.send((sum, count));
                    continue;
                }
            };
            for bytes in &batch {
                let record = u64::from_be_bytes(bytes.try_into().unwrap());
                sum = sum.wrapping_add(record);
                count += 1;
                let is_rejected = self.stage.rejects(record);
                let to = if is_rejected {
                    &self.letters
                } else {
                    &self.output
                };
                if let Some(to) = to {
                    to.send_frames(Frames::single(bytes)).await.unwrap();
                }
            }
        }
    }
}

/// Runs the instances of a stage.
pub(super) async fn run(
    mut inputs: Vec<FramesConsumer>,
    worker: Worker,
    state: Sums,
    mut line: Line,
    (next_line, is_rewired): (NextLine, Arc<Notify>),
) {
    let (instances, mut tasks) = (worker.stage.instances, JoinSet::new());
    let mut slots = Vec::new();
    for instance in 0..instances {
        let (slot, todo) = mpsc::channel(2);
        let state = if instance == 0 { state } else { (0, 0) };
        tasks.spawn(worker.clone().work(state, todo));
        slots.push(slot);
    }
    drop(worker);
    let mut open = vec![true; inputs.len()];
    let mut alignment = line.alignment();
    let mut turn = 0;
    while open.contains(&true) {
        next_line.take_over(&mut line);
        alignment.release_if_over(&line);
        if let Some(number) = alignment.complete(&line, |input| open[input]) {
            alignment.release();
            line.pass(number, image(&slots).await);
        }
        tokio::select! {
            () = line.opens() => {}
            () = is_rewired.notified() => continue,
        }
        let received = tokio::select! {
            received = next_received(&mut inputs, &open, &alignment) => received,
            () = is_rewired.notified() => continue,
            signal = line.signal() => {
                match signal {
                    Signal::Begun(begun) => line.pass(begun.number, image(&slots).await),
                    Signal::Over => alignment.release_if_over(&line),
                }
                continue;
            }
        };
        match received {
            (_, Some(Received::Batch(batch))) => {
                turn += 1;
                let slot = &slots[turn % slots.len()];
                slot.send(Work::Batch(batch)).await.map_err(drop).unwrap();
            }
            (input, Some(Received::Mark(number))) => alignment.arrive(&line, input, number),
            (input, None) => open[input] = false,
        }
    }
    let last = image(&slots).await;
    drop(slots);
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    line.ends(last);
    // No line may follow that nobody takes over.
    next_line.take_over(&mut line);
}

async fn image(slots: &[mpsc::Sender<Work>]) -> StageImage {
    let mut instances = Vec::new();
    for slot in slots {
        let (answer, sums) = oneshot::channel();
        slot.send(Work::Snapshot(answer))
            .await
            .map_err(drop)
            .unwrap();
        let (sum, count) = sums.await.unwrap();
        instances.push(InstanceImage {
            version: 1,
            kept: count,
            entries: vec![(None, sum.to_be_bytes().to_vec())],
        });
    }
    StageImage::Operator {
        read: Vec::new(),
        ended_ports: Vec::new(),
        key: None,
        component: String::new(),
        instances,
        ended: false,
    }
}
