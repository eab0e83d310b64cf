//! [`Storm`]: kills a node again and again while its input grows and its manifest changes.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use rustix::process::Signal;

use super::{
    feed::{Feed, INPUT, LAST},
    succeeds,
};
use crate::{
    conservation::random::Random,
    support::{Node, eventually, runner},
};

/// The number of records that are there before the first start.
const BACKLOG: u64 = 40_000;
/// The number of records that are appended for each kill.
const RECORDS_A_KILL: u64 = 3000;

/// A graph under test.
#[derive(Clone, Copy)]
pub(super) struct Graph {
    /// Returns the manifest in one of the variants that a reload switches between.
    pub(super) manifest: fn(variant: u64) -> String,
    /// The number of variants.
    pub(super) variants: u64,
    /// True if the input is rotated.
    pub(super) rotates: bool,
    /// Other inputs, by name.
    pub(super) inputs: fn() -> Vec<(&'static str, String)>,
    pub(super) outputs: &'static [&'static str],
    /// The output that gets the last line of the input.
    pub(super) letters: &'static str,
}

/// A graph in a folder of its own.
struct Place {
    folder: PathBuf,
    graph: Graph,
}

/// A moment at which a node is killed.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// While it starts or restores its state.
    Start,
    /// While it works.
    Work,
    /// During a reload.
    Reload,
    /// After it was stopped for a while, as on a machine that is too busy.
    Stopped,
}

const MOMENTS: [Moment; 6] = [
    Moment::Start,
    Moment::Work,
    Moment::Work,
    Moment::Work,
    Moment::Reload,
    Moment::Stopped,
];

impl Place {
    fn new(folder: PathBuf, graph: Graph) -> Self {
        fs::create_dir_all(&folder).expect("the folder is ours");
        for (name, text) in (graph.inputs)() {
            fs::write(folder.join(name), text).expect("the folder is ours");
        }
        let place = Self { folder, graph };
        place.change(0);
        place
    }

    /// Replaces the manifest as a whole.
    fn change(&self, variant: u64) {
        let next = self.folder.join("next.yaml");
        fs::write(&next, (self.graph.manifest)(variant)).expect("the folder is ours");
        fs::rename(next, self.folder.join("m.yaml")).expect("the folder is ours");
    }

    fn up(&self) -> Node {
        let mut command = runner();
        command.env("XDG_STATE_HOME", self.folder.join("home"));
        command.arg("up").arg(self.folder.join("m.yaml"));
        Node::spawn(command)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.join(name)).unwrap_or_default()
    }

    /// Runs until the last line of the input has gone through, and returns the outputs. Then another start must add
    /// nothing.
    fn finish(&self) -> Vec<String> {
        let node = self.up();
        let letters = self.folder.join(self.graph.letters);
        eventually("the last record is written", || {
            node.is_running() && fs::read_to_string(&letters).is_ok_and(|text| text.contains(LAST))
        });
        stop(node);
        let outputs = self.outputs();
        let node = self.up();
        node.logged("generation 1 runs");
        stop(node);
        assert!(
            self.outputs() == outputs,
            "another start has changed the outputs"
        );
        outputs
    }

    fn outputs(&self) -> Vec<String> {
        let outputs = self.graph.outputs.iter();
        outputs.map(|name| self.read(name)).collect()
    }
}

/// Stops a node behind a last checkpoint, so that everything before it is written.
fn stop(node: Node) {
    node.signal(Signal::TERM);
    let done = node.wait();
    succeeds(&done);
    assert!(
        done.stderr.contains("taken; the next start"),
        "{}",
        done.stderr
    );
}

/// The outputs of a storm, and those of a run of which nothing was killed.
pub(super) struct Outcome {
    pub(super) found: Vec<String>,
    pub(super) expected: Vec<String>,
    /// The seed, and the log of the last kills.
    pub(super) context: String,
}

/// Kills a node so many times.
pub(super) fn storm(folder: &Path, graph: Graph, kills: u64, seed: u64) -> Outcome {
    let mut random = Random::seeded(seed);
    let place = Place::new(folder.join("killed"), graph);
    let mut feed = Feed::new(&place.folder);
    feed.append(BACKLOG, &mut random);
    let mut logs = Vec::new();
    for kill in 0..kills {
        let moment = random.pick(&MOMENTS);
        let log = strike(&place, &mut feed, moment, &mut random);
        logs.push(format!("seed {seed}, kill {kill}, {moment:?}:\n{log}"));
    }
    let restored = logs
        .iter()
        .filter(|log| log.contains("goes on from checkpoint"));
    let (restored, refused) = (restored.count() as u64, "continues unchanged");
    let context = logs[logs.len().saturating_sub(5)..].join("\n");
    assert!(
        restored > kills / 3,
        "only {restored} starts had a checkpoint\n{context}"
    );
    let is_refused = |log: &&String| log.contains(refused);
    assert_eq!(logs.iter().find(is_refused), None, "a reload was refused");
    feed.end();
    let found = place.finish();

    let undisturbed = Place::new(folder.join("undisturbed"), graph);
    fs::write(undisturbed.folder.join(INPUT), feed.all()).expect("the folder is ours");
    let expected = undisturbed.finish();
    assert!(
        expected.iter().all(|output| output.lines().count() > 5),
        "{context}"
    );
    Outcome {
        found,
        expected,
        context,
    }
}

/// Starts a node, kills it, and returns its log. The input grows at random times.
fn strike(place: &Place, feed: &mut Feed, moment: Moment, random: &mut Random) -> String {
    if random.below(4) == 0 {
        place.change(random.below(place.graph.variants));
    }
    let before = random.below(RECORDS_A_KILL);
    grow(place, feed, before, random);
    let node = place.up();
    let pause = |random: &mut Random, ms: u64| {
        thread::sleep(Duration::from_millis(random.below(ms)));
    };
    match moment {
        Moment::Start => pause(random, 250),
        Moment::Work => {
            node.logged("generation 1 runs");
            pause(random, 200);
        }
        Moment::Reload => {
            node.logged("generation 1 runs");
            pause(random, 100);
            place.change(random.below(place.graph.variants));
            pause(random, 300);
        }
        Moment::Stopped => {
            node.logged("generation 1 runs");
            pause(random, 150);
            node.signal(Signal::STOP);
            grow(place, feed, 100, random);
            pause(random, 100);
        }
    }
    grow(place, feed, RECORDS_A_KILL - before, random);
    pause(random, 60);
    node.kill_running()
}

fn grow(place: &Place, feed: &mut Feed, records: u64, random: &mut Random) {
    if place.graph.rotates && random.below(4) == 0 {
        feed.rotate();
    }
    feed.append(records + 1, random);
}
