//! Logs when a shared stream waits for readers, and which nodes start and stop reading it.

use std::{collections::BTreeMap, time::Duration};

use mosaik_streams::{PeerId, producer::ProducerReading, status::ChannelInfo};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{explain::wants, observer::Observer};
use crate::graph::{Scope, StreamName};

/// Interval between two checks: 500 ms. A reader that connects and disconnects within one interval
/// is not logged.
const INTERVAL: Duration = Duration::from_millis(500);
/// Maximum number of lines in a burst per stream: 8.
const LINES_MAX: u32 = 8;
/// Interval after which a stream may log one more line: 5 s.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// Maximum number of nodes named in one line: 4. For more, the line shows their number.
const NAMED_MAX: usize = 4;

/// Logs the readers of a node's streams until the future is dropped.
pub(in crate::topology) async fn watch(observer: Observer) {
    let mut streams = BTreeMap::<StreamName, Readers>::new();
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let view = observer.view();
        let shared = |name: &&StreamName| {
            let declared = view.graph.streams.get(*name);
            declared.is_some_and(|stream| stream.settings.scope == Scope::Network)
        };
        streams.retain(|name, _| view.producers.contains_key(name));
        for name in view.producers.keys().filter(shared) {
            let Some(reading) = view.producers[name].read() else {
                continue;
            };
            let condition = view.graph.streams[name]
                .settings
                .online_when
                .producer
                .as_ref();
            let found = Found {
                readers: readers(&reading, |peer| view.discovery.describe(peer)),
                waits_for: (!reading.online)
                    .then(|| wants(&reading.conditions, "subscriber", condition)),
            };
            let readers = streams.entry(name.clone()).or_default();
            for line in readers.lines(found, Instant::now()) {
                tracing::info!("stream {name} {line}");
            }
        }
    }
}

/// Returns the remote nodes that read a stream, with their descriptions. Silent nodes are included.
fn readers(
    reading: &ProducerReading,
    describe: impl Fn(&PeerId) -> String,
) -> BTreeMap<PeerId, String> {
    let remote = reading
        .consumers
        .iter()
        .filter(|channel| channel.is_connected() && !channel.is_local());
    let remote = remote.map(ChannelInfo::consumer_id);
    remote.map(|peer| (*peer, describe(peer))).collect()
}

/// A stream's readers at one point in time.
struct Found {
    readers: BTreeMap<PeerId, String>,
    /// The unmet `online_when` condition while the stream is offline.
    waits_for: Option<String>,
}

/// The readers of a stream as last logged.
#[derive(Debug)]
struct Readers {
    nodes: BTreeMap<PeerId, String>,
    waits: bool,
    /// Number of lines that the stream may log now.
    lines: u32,
    since: Instant,
}

impl Default for Readers {
    fn default() -> Self {
        Self {
            nodes: BTreeMap::new(),
            waits: false,
            lines: LINES_MAX,
            since: Instant::now(),
        }
    }
}

impl Readers {
    /// Returns the changes since the last logged state. If the rate limit does not admit all of
    /// them, returns none, and the next check finds them again.
    fn lines(&mut self, found: Found, now: Instant) -> Vec<String> {
        while self.lines < LINES_MAX && now.saturating_duration_since(self.since) >= LINE_EVERY {
            self.since += LINE_EVERY;
            self.lines += 1;
        }
        if self.lines == LINES_MAX {
            self.since = now;
        }
        let Found { readers, waits_for } = found;
        let mut lines = said(&only_in(&readers, &self.nodes), "is read by");
        lines.extend(said(
            &only_in(&self.nodes, &readers),
            "is no longer read by",
        ));
        if let (Some(wants), false) = (&waits_for, self.waits) {
            lines.push(format!("waits for readers: {wants}"));
        }
        let count = u32::try_from(lines.len()).unwrap_or(u32::MAX);
        if count > self.lines {
            return Vec::new();
        }
        self.lines -= count;
        self.nodes = readers;
        self.waits = waits_for.is_some();
        lines
    }
}

/// Returns the names of the nodes that are in `first` and not in `second`.
fn only_in<'r>(
    first: &'r BTreeMap<PeerId, String>,
    second: &BTreeMap<PeerId, String>,
) -> Vec<&'r str> {
    let only = first.iter().filter(|(peer, _)| !second.contains_key(peer));
    only.map(|(_, name)| name.as_str()).collect()
}

fn said(nodes: &[&str], what: &str) -> Vec<String> {
    if nodes.len() > NAMED_MAX {
        return vec![format!("{what} {} nodes", nodes.len())];
    }
    nodes.iter().map(|node| format!("{what} {node}")).collect()
}

#[cfg(test)]
mod tests {
    use mosaik_streams::SecretKey;

    use super::*;

    fn found(readers: &[PeerId], waits: bool) -> Found {
        Found {
            readers: readers
                .iter()
                .map(|peer| (*peer, "desk".to_owned()))
                .collect(),
            waits_for: waits.then(|| "online_when requires 1 subscriber, has none".to_owned()),
        }
    }

    #[test]
    fn connections_and_disconnections_are_logged_once() {
        let desk = SecretKey::generate().public();
        let mut readers = Readers::default();
        let now = Instant::now();
        let mut lines = |found| readers.lines(found, now);
        assert_eq!(
            lines(found(&[], true)),
            ["waits for readers: online_when requires 1 subscriber, has none"]
        );
        assert!(lines(found(&[], true)).is_empty());
        assert_eq!(lines(found(&[desk], false)), ["is read by desk"]);
        let gone = lines(found(&[], true));
        assert_eq!(gone[0], "is no longer read by desk");
        assert_eq!(gone.len(), 2);
        let many: Vec<_> = (0..5).map(|_| SecretKey::generate().public()).collect();
        assert_eq!(lines(found(&many, false)), ["is read by 5 nodes"]);
    }

    #[test]
    fn a_flapping_reader_is_logged_at_a_bounded_rate() {
        let desk = SecretKey::generate().public();
        let mut readers = Readers::default();
        let start = Instant::now();
        let mut count = 0;
        for look in 0..1000_u32 {
            let now = start + INTERVAL * look;
            let there: &[PeerId] = if look.is_multiple_of(2) { &[desk] } else { &[] };
            count += readers.lines(found(there, false), now).len();
        }
        assert!((100..=109).contains(&count), "{count}");
    }
}
