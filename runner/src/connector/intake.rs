//! [`Intake`]: what every source of bytes shares, from a chunk read to batches handed out, counted and complained about.

use std::{
    io,
    time::{Duration, Instant},
};

use mosaik_streams::{Encoding, Frames, FramesBuilder};

use super::{
    ConfigError, SourceContext, SourceCounts, SourceError,
    csv::Header,
    framing::{Cut, Cutter, Held, Refusal, Refused, Tally, Target},
    magic::other_than_text,
    postcard::ToPostcard,
};
use crate::complaints::Complaints;

/// What is read at once: 128 KiB.
pub(super) const CHUNK_BYTES: usize = 128 * 1024;

/// A generator warns of datums that are not of its schema once in this time.
pub(super) const WARNING_INTERVAL: Duration = Duration::from_secs(10);

/// Cuts chunks into batches. Holds one chunk, the batch being filled, and what its cutter holds.
#[derive(Debug)]
pub(super) struct Intake {
    /// How messages call the source.
    name: String,
    cutter: Cutter,
    postcard: Option<ToPostcard>,
    out: FramesBuilder,
    batch_bytes: usize,
    chunk: Vec<u8>,
    /// How much of the chunk is cut.
    cut: usize,
    tally: Tally,
    /// Whether the content is known to be text.
    is_text: bool,
    /// What bytes are is for those to know who asked for them.
    is_bytes: bool,
    /// Lines that had no end when reading ended.
    unfinished: u64,
    /// What was skipped and told of.
    told: u64,
    datums: u64,
    bytes: u64,
    complaints: Complaints,
}

impl Intake {
    pub(super) fn new(
        name: String,
        cut: Cut,
        context: &SourceContext,
    ) -> Result<Self, ConfigError> {
        Ok(Self {
            name,
            cutter: Cutter::new(cut, &context.encoding, context.max_datum_bytes),
            postcard: ToPostcard::of(&context.encoding, context.max_datum_bytes)?,
            out: FramesBuilder::with_capacity(context.batch_bytes),
            batch_bytes: context.batch_bytes,
            chunk: Vec::new(),
            cut: 0,
            tally: Tally::default(),
            is_text: false,
            is_bytes: matches!(context.encoding, Encoding::Bytes),
            unfinished: 0,
            told: 0,
            datums: 0,
            bytes: 0,
            complaints: Complaints::default(),
        })
    }

    /// Cuts on in the chunk: a batch, or `None` when no record is left in it and the next chunk is due. The batch is empty
    /// if lines were skipped and nothing else was found.
    ///
    /// A batch ends with the chunk at the latest, so nothing waits for bytes that may take their time.
    pub(super) fn cut(&mut self) -> Result<Option<Frames>, SourceError> {
        if !self.is_text && !self.is_bytes && !self.chunk.is_empty() {
            if let Some(what) = other_than_text(&self.chunk) {
                return Err(SourceError::NoText {
                    name: self.name.clone(),
                    what,
                });
            }
            self.is_text = true;
        }
        while self.cut < self.chunk.len() && self.out.wire_len() < self.batch_bytes {
            let mut target = Target {
                out: &mut self.out,
                tally: &mut self.tally,
                postcard: self.postcard.as_mut(),
                full_bytes: self.batch_bytes,
            };
            let cut = self.cutter.cut(&self.chunk[self.cut..], &mut target);
            self.cut += cut.map_err(|source| SourceError::Header {
                name: self.name.clone(),
                source,
            })?;
        }
        Ok(self.hand_out())
    }

    /// An empty buffer for the next chunk, with room for [`CHUNK_BYTES`]; only when [`cut`](Self::cut) gave `None`.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        self.chunk.clear();
        self.cut = 0;
        self.chunk.reserve_exact(CHUNK_BYTES);
        &mut self.chunk
    }

    /// Takes the next chunk; only when [`cut`](Self::cut) gave `None`.
    pub(super) fn feed(&mut self, chunk: Vec<u8>) {
        self.chunk = chunk;
        self.cut = 0;
    }

    /// Gives up what is not cut yet.
    pub(super) fn into_rest(self) -> Vec<u8> {
        let mut chunk = self.chunk;
        chunk.drain(..self.cut);
        chunk
    }

    /// Says that the content ends here: its last datum, if it had no end yet. What is fed next is another content.
    pub(super) fn finish(&mut self) -> Result<Option<Frames>, SourceError> {
        let mut target = Target {
            out: &mut self.out,
            tally: &mut self.tally,
            postcard: self.postcard.as_mut(),
            full_bytes: self.batch_bytes,
        };
        let finished = self.cutter.finish(&mut target);
        finished.map_err(|source| SourceError::Header {
            name: self.name.clone(),
            source,
        })?;
        self.is_text = false;
        Ok(self.hand_out())
    }

    /// What was taken and is not whole yet.
    pub(super) fn held(&self) -> Option<Held> {
        self.cutter.held()
    }

    /// Counts what is not whole yet, as nothing follows: a line without an end as unfinished, the lines that an open quote
    /// has taken in as invalid.
    pub(super) fn conclude(&mut self) {
        match self.cutter.held() {
            Some(Held::Line) => self.unfinished += 1,
            Some(Held::OpenQuote { line, lines }) => {
                self.tally.refuse(line, Refusal::OpenQuote { lines });
                self.warn();
            }
            None => {}
        }
    }

    /// The columns of the present content, if it has any.
    pub(super) fn header(&self) -> Option<Header> {
        self.cutter.header()
    }

    /// Goes on with content that has these columns, after its first row.
    pub(super) fn go_on_with(&mut self, header: Header) {
        self.cutter.go_on_with(header);
    }

    pub(super) fn read_error(&self, source: io::Error) -> SourceError {
        SourceError::Read {
            name: self.name.clone(),
            source,
        }
    }

    pub(super) fn counts(&self) -> SourceCounts {
        SourceCounts {
            datums: self.datums,
            bytes: self.bytes,
            too_large: self.tally.too_large,
            invalid: self.tally.invalid,
            mixed: self.tally.mixed,
            unfinished: self.unfinished,
            missed_files: 0,
        }
    }

    fn hand_out(&mut self) -> Option<Frames> {
        self.warn();
        let skipped = self.tally.too_large + self.tally.invalid;
        let is_news = skipped != std::mem::replace(&mut self.told, skipped);
        if self.out.is_empty() {
            return is_news.then(Frames::default);
        }
        let batch = self.out.finish();
        self.datums += batch.count() as u64;
        self.bytes += batch.payload_len() as u64;
        Some(batch)
    }

    fn warn(&mut self) {
        for note in self.tally.take_notes() {
            tracing::warn!(source = self.name, "{note}");
        }
        let (too_large, invalid) = (self.tally.too_large, self.tally.invalid);
        let mut refused = self.tally.take_refused().peekable();
        if refused.peek().is_none() {
            return;
        }
        let source = &self.name;
        for Refused {
            refusal,
            line,
            count,
        } in refused
        {
            if !self.complaints.add(&refusal.to_string(), count) {
                continue;
            }
            let lines = match count {
                1 => String::new(),
                count => format!(" {count} lines"),
            };
            tracing::warn!(
                source,
                too_large,
                invalid,
                "skipped{lines}: line {line} {refusal}"
            );
        }
        if let Some(line) = self.complaints.summary("skipped", Instant::now()) {
            tracing::warn!(source, too_large, invalid, "{line}");
        }
    }

    /// Bytes of memory held, besides the batch being filled.
    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        let json = self.postcard.as_ref().map_or(0, ToPostcard::held_bytes);
        self.chunk.capacity() + self.cutter.held_bytes() + json
    }
}
