//! This node's ends of its streams: opened for their writers, ended after them, cut off without readers.

use std::collections::BTreeMap;

use mosaik_streams::streams::status::When;
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;

use super::{DRAIN_DEADLINE, StartError, build::Parts, edges, node::Node};
use crate::graph::{Scope, StageKey, StreamConfig, StreamName};

/// A stream that has ended, while its readers still read.
#[derive(Debug)]
pub(super) struct Ending {
    /// Cuts them off.
    pub(super) cut: CancellationToken,
    /// Whether there are any.
    pub(super) when: When,
}

impl Node {
    /// Forgets a stream that has ended and was read, or was cut off.
    pub(super) fn stream_ended(&mut self, ended: Result<StreamName, JoinError>) {
        if let Ok(stream) = ended {
            self.endings.remove(&stream);
        }
    }

    /// Stops the stages whose results nobody can ever take any more, so that they do not wait for ever: all of them are
    /// private to this node, and the stages that read them have ended.
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
                tracing::info!("{key} stops: nobody reads its results any more");
                unread.push(key.clone());
            }
        }
        self.unread.extend(unread);
    }

    /// Whether somebody may still read a stream: a stage here, or another node.
    fn is_read(&self, stream: &StreamName) -> bool {
        self.graph.streams[stream].scope == Scope::Network
            || self
                .graph
                .readers(stream)
                .any(|reader| self.stages.contains_key(&reader.key))
    }

    /// Whether a stage here still writes a stream.
    pub(super) fn is_written(&self, stream: &StreamName) -> bool {
        self.graph
            .writers(stream)
            .any(|writer| self.stages.contains_key(&writer.key))
    }

    /// Whether a stream of this node alone has been written and read to its end.
    pub(super) fn is_over(&self, stream: &StreamName) -> bool {
        self.graph.streams[stream].scope == Scope::Node
            && !self.producers.contains_key(stream)
            && !self.endings.contains_key(stream)
    }

    /// A stream that has ended and is still being read cannot be written anew before it has been.
    pub(super) fn refuse_while_ending(&self, stream: &StreamName) -> Result<(), StartError> {
        if !self.endings.contains_key(stream) {
            return Ok(());
        }
        Err(StartError::Stream {
            stream: stream.clone(),
            reason: "it has just ended and is still being read; save the manifest again when it has been".into(),
        })
    }

    /// Ends the streams whose writers have all ended, so that the end travels along.
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
                .any(|stage| self.ledger.has_failed(&stage.key));
            let shared = self.graph.streams[&stream].scope == Scope::Network;
            let ending = Ending {
                cut: CancellationToken::new(),
                when: producer.when().clone(),
            };
            let (cut, ledger) = (ending.cut.clone(), self.ledger.clone());
            self.endings.insert(stream.clone(), ending);
            self.ending.spawn(async move {
                // What a failed stage leaves is not the end of the stream for other nodes: it may come back.
                let report = if failed && shared {
                    producer.close_within(DRAIN_DEADLINE).await
                } else {
                    producer.finish_unless(cut.cancelled()).await
                };
                ledger.note_producer(&stream, &report.stats);
                stream
            });
        }
        self.cut_unread_endings();
    }

    /// Without a reader, nothing that an ended stream still holds can ever be read.
    pub(super) fn cut_unread_endings(&self) {
        for (stream, ending) in &self.endings {
            if !self.is_read(stream) {
                ending.cut.cancel();
            }
        }
    }

    /// Opens this node's end of a stream, unless it is open.
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

    /// Opens what the stages to be launched write. Of a private stream that they read and nobody writes any more, the end
    /// has to be opened for them to meet it.
    pub(super) fn open_streams_for(
        &mut self,
        parts: &BTreeMap<StageKey, Parts>,
    ) -> Result<(), StartError> {
        let mut wanted = BTreeMap::new();
        for stage in parts.keys().filter_map(|key| self.graph.stage(key)) {
            let over = |stream: &&StreamName| {
                self.graph.streams[*stream].scope == Scope::Node
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
