//! Manages this node's producers: opens them for their writers, ends them after their writers, and
//! cuts them off if they have no readers.

use std::collections::BTreeMap;

use mosaik_streams::streams::status::When;
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;

use super::{DRAIN_DEADLINE, StartError, build::Parts, edges, node::Node};
use crate::graph::{Scope, StageKey, StreamConfig, StreamName};

/// A stream that has ended while its readers still read.
#[derive(Debug)]
pub(super) struct Ending {
    /// Cuts the readers off.
    pub(super) cut: CancellationToken,
    /// The stream's online state: it is offline when it has no readers.
    pub(super) when: When,
}

impl Node {
    /// Forgets an ended stream that was read to its end or cut off.
    pub(super) fn stream_ended(&mut self, ended: Result<StreamName, JoinError>) {
        if let Ok(stream) = ended {
            self.endings.remove(&stream);
        }
    }

    /// Stops the stages whose output streams are all private and whose readers have all ended.
    /// Otherwise these stages would wait forever.
    pub(super) fn stop_writers_without_readers(&mut self) {
        let mut unread = Vec::new();
        for (key, running) in &self.stages {
            let Some(stage) = self.graph.stage(key) else {
                continue;
            };
            if stage.results().next().is_some()
                && !stage.results().any(|stream| self.is_read(stream))
                && running.give_up()
            {
                tracing::info!("{key} stops: its output has no reader any more");
                unread.push(key.clone());
            }
        }
        self.unread.extend(unread);
    }

    /// Returns true if a stream may still have readers: a stage here, or another node.
    fn is_read(&self, stream: &StreamName) -> bool {
        self.graph.streams[stream].settings.scope == Scope::Network
            || self
                .graph
                .readers(stream)
                .any(|reader| self.stages.contains_key(&reader.key))
    }

    /// Returns true if a stage here still writes a stream.
    pub(super) fn is_written(&self, stream: &StreamName) -> bool {
        self.graph
            .writers(stream)
            .any(|writer| self.stages.contains_key(&writer.key))
    }

    /// Returns true if a private stream has been written and read to its end.
    pub(super) fn is_over(&self, stream: &StreamName) -> bool {
        self.graph.streams[stream].settings.scope == Scope::Node
            && !self.producers.contains_key(stream)
            && !self.endings.contains_key(stream)
    }

    /// Returns an error if a stream has ended and is still being read: it cannot be written again
    /// until then.
    pub(super) fn refuse_while_ending(&self, stream: &StreamName) -> Result<(), StartError> {
        if !self.endings.contains_key(stream) {
            return Ok(());
        }
        Err(StartError::Stream {
            stream: stream.clone(),
            reason: "it has just ended and its records are still being read; save the manifest again later".into(),
        })
    }

    /// Ends the streams whose writers have all ended, so that their readers see the end.
    pub(super) fn end_streams_without_writers(&mut self) {
        let ended: Vec<_> = self
            .producers
            .keys()
            .filter(|stream| !self.is_written(stream))
            .cloned()
            .collect();
        for stream in ended {
            let Some(producer) = self.producers.remove(&stream) else {
                continue;
            };
            let failed = self
                .graph
                .writers(&stream)
                .any(|stage| self.run_totals.has_failed(&stage.key));
            let shared = self.graph.streams[&stream].settings.scope == Scope::Network;
            let ending = Ending {
                cut: CancellationToken::new(),
                when: producer.when().clone(),
            };
            let (cut, run_totals) = (ending.cut.clone(), self.run_totals.clone());
            self.endings.insert(stream.clone(), ending);
            self.ending.spawn(async move {
                // When a writer of a shared stream has failed, other nodes must not see the end of
                // the stream: the writer may be restarted.
                let report = if failed && shared {
                    producer.close_within(DRAIN_DEADLINE).await
                } else {
                    producer.finish_unless(cut.cancelled()).await
                };
                run_totals.note_producer(&stream, &report.stats);
                stream
            });
        }
        self.cut_unread_endings();
    }

    /// Cuts off the ended streams without readers: their remaining records can never be read.
    pub(super) fn cut_unread_endings(&self) {
        for (stream, ending) in &self.endings {
            if !self.is_read(stream) {
                ending.cut.cancel();
            }
        }
    }

    /// Opens this node's producer for a stream, unless it is open.
    ///
    /// # Errors
    /// The stream has just ended and is still being read.
    pub(super) fn open_stream(
        &mut self,
        name: &StreamName,
        stream: &StreamConfig,
    ) -> Result<(), StartError> {
        if self.producers.contains_key(name) {
            return Ok(());
        }
        self.refuse_while_ending(name)?;
        let producer = edges::open_producer(&self.network, name, stream).map_err(|error| {
            StartError::Stream {
                stream: name.clone(),
                reason: error.to_string(),
            }
        })?;
        self.producers.insert(name.clone(), producer);
        Ok(())
    }

    /// Opens the streams that the stages to be launched write. It also opens the private streams
    /// that these stages read and that have no writers any more, so that the readers see their end.
    pub(super) fn open_streams_for(
        &mut self,
        parts: &BTreeMap<StageKey, Parts>,
    ) -> Result<(), StartError> {
        let mut wanted = BTreeMap::new();
        for stage in parts.keys().filter_map(|key| self.graph.stage(key)) {
            let over = |stream: &&StreamName| {
                self.graph.streams[*stream].settings.scope == Scope::Node
                    && !self.endings.contains_key(*stream)
                    && !self.is_written(stream)
            };
            let read = stage.edges().map(|edge| &edge.stream).filter(over);
            wanted.extend(
                stage
                    .writes()
                    .chain(read)
                    .map(|name| (name.clone(), self.graph.streams[name].clone())),
            );
        }
        wanted
            .iter()
            .try_for_each(|(name, stream)| self.open_stream(name, stream))
    }
}
