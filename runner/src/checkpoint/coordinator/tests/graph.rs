//! [`Graph`]: a random graph, and the work of each stage for the records that the sources have sent.

use crate::checkpoint::random::Random;

/// A stage. Sources have no inputs, sinks have no output.
#[derive(Debug, Clone, Default)]
pub(super) struct Stage {
    /// The number of records of a source.
    pub(super) count: u64,
    /// The streams that it reads.
    pub(super) inputs: Vec<usize>,
    /// The stream that it writes.
    pub(super) output: Option<usize>,
    /// The stream of the records that it rejects, which several stages write.
    pub(super) letters: Option<usize>,
    /// The number of its instances, which work at the same time.
    pub(super) instances: u64,
}

/// A graph, whose stages are in order: writers before readers. Stream 0 is that of rejected records.
#[derive(Debug, Clone)]
pub(super) struct Graph {
    pub(super) stages: Vec<Stage>,
    pub(super) streams: usize,
}

/// The sum of the records that a stage has received, and their number.
pub(super) type Sums = (u64, u64);

impl Stage {
    pub(super) const fn is_source(&self) -> bool {
        self.inputs.is_empty()
    }

    /// Returns the streams that it writes.
    pub(super) fn writes(&self) -> impl Iterator<Item = usize> {
        self.output.into_iter().chain(self.letters)
    }

    /// Returns true if the stage rejects a record.
    pub(super) const fn rejects(&self, record: u64) -> bool {
        self.letters.is_some() && record.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 61 == 0
    }
}

/// Returns a record of a source.
pub(super) const fn record(source: usize, number: u64) -> u64 {
    (source as u64) << 40 | number
}

impl Graph {
    pub(super) fn random(random: &mut Random) -> Self {
        let mut stages = Vec::new();
        // The streams of the levels so far.
        let mut known = Vec::new();
        let mut streams = 1;
        for level in 0..2 + random.below(3) {
            let own: Vec<usize> = (streams..).take(1 + random.below(2) as usize).collect();
            streams += own.len();
            // Each stream has a writer, and some have several.
            for index in 0..own.len() + random.below(3) as usize {
                let mut stage = Stage {
                    output: Some(own[index % own.len()]),
                    instances: 1 + random.below(3),
                    ..Stage::default()
                };
                if level == 0 {
                    let counts = [u64::MAX, u64::MAX, random.below(3000)];
                    stage.count = counts[random.below(3) as usize];
                } else {
                    stage.inputs = some_of(&known, random);
                    stage.letters = random.once_in(2).then_some(0);
                }
                stages.push(stage);
            }
            known.extend(own);
        }
        known.push(0);
        for _ in 0..=random.below(3) {
            stages.push(Stage {
                inputs: some_of(&known, random),
                instances: 1,
                ..Stage::default()
            });
        }
        Self { stages, streams }
    }

    /// Returns the sources.
    pub(super) fn sources(&self) -> impl Iterator<Item = usize> {
        let stages = self.stages.iter().enumerate();
        stages.filter_map(|(index, stage)| stage.is_source().then_some(index))
    }

    /// Adds a record of a source to the sums of all stages.
    pub(super) fn add(&self, source: usize, record: u64, sums: &mut [Sums]) {
        // The number of times that each stream has it.
        let mut times = vec![0; self.streams];
        for (index, stage) in self.stages.iter().enumerate() {
            let received = if stage.is_source() {
                u64::from(index == source)
            } else {
                stage.inputs.iter().map(|input| times[*input]).sum()
            };
            let (sum, count) = &mut sums[index];
            *sum = sum.wrapping_add(record.wrapping_mul(received));
            *count += received;
            let output = if stage.rejects(record) {
                stage.letters
            } else {
                stage.output
            };
            if let Some(output) = output {
                times[output] += received;
            }
        }
    }
}

/// Returns one to three of these streams.
fn some_of(streams: &[usize], random: &mut Random) -> Vec<usize> {
    let mut left = streams.to_vec();
    let count = 1 + random.below(3.min(left.len() as u64));
    let take = |_| left.swap_remove(random.below(left.len() as u64) as usize);
    (0..count).map(take).collect()
}
