//! [`Intake`]: the common part of all byte sources. Turns chunks into batches, counts records and logs warnings.

use std::{
    io,
    time::{Duration, Instant},
};

use mosaik_streams::{Encoding, Frames, FramesBuilder};

use super::{
    csv::Header,
    framing::{Cut, Cutter, HeaderError, Held, Refusal, Refused, Tally, Target},
    magic::other_than_text,
    place::{ColumnPlace, Place},
    postcard::ToPostcard,
};
use crate::{
    connector::{ConfigError, SourceContext, SourceCounts, SourceError},
    rate_limited_warnings::RateLimitedWarnings,
};

/// Size of a chunk: 128 KiB.
pub(in crate::connector) const CHUNK_BYTES: usize = 128 * 1024;

/// Minimum time between two warnings of a generator about records that do not match its schema: 10 s.
pub(in crate::connector) const WARNING_INTERVAL: Duration = Duration::from_secs(10);

/// Cuts chunks into batches. Holds one chunk, the current batch and the bytes kept by its cutter.
#[derive(Debug)]
pub(in crate::connector) struct Intake {
    /// Name of the source in messages.
    name: String,
    cutter: Cutter,
    postcard: Option<ToPostcard>,
    out: FramesBuilder,
    batch_bytes: usize,
    chunk: Vec<u8>,
    /// Number of bytes of the chunk that have been cut.
    cut: usize,
    tally: Tally,
    /// Whether the content is known to be text.
    is_text: bool,
    /// Set if the stream carries raw bytes, whose content is not checked for being text.
    is_bytes: bool,
    /// Number of lines without a line end when reading ended.
    unfinished: u64,
    /// Number of skipped lines that were reported already.
    reported: u64,
    datums: u64,
    bytes: u64,
    warnings: RateLimitedWarnings,
}

impl Intake {
    pub(in crate::connector) fn new(
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
            reported: 0,
            datums: 0,
            bytes: 0,
            warnings: RateLimitedWarnings::default(),
        })
    }

    /// Continues to cut the current chunk. Returns a batch, or `None` if no record is left in the chunk and the next
    /// chunk must be fed. The batch is empty if lines were skipped and no record was found.
    ///
    /// A batch never spans two chunks, so no record is delayed by waiting for further input.
    pub(in crate::connector) fn cut(&mut self) -> Result<Option<Frames>, SourceError> {
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

    /// Returns an empty buffer for the next chunk, with a capacity of [`CHUNK_BYTES`]. Call only after
    /// [`cut`](Self::cut) has returned `None`.
    pub(in crate::connector) fn buffer(&mut self) -> &mut Vec<u8> {
        self.chunk.clear();
        self.cut = 0;
        self.chunk.reserve_exact(CHUNK_BYTES);
        &mut self.chunk
    }

    /// Sets the next chunk. Call only after [`cut`](Self::cut) has returned `None`.
    pub(in crate::connector) fn feed(&mut self, chunk: Vec<u8>) {
        self.chunk = chunk;
        self.cut = 0;
    }

    /// Returns the bytes that have not been cut.
    pub(in crate::connector) fn into_rest(self) -> Vec<u8> {
        let mut chunk = self.chunk;
        chunk.drain(..self.cut);
        chunk
    }

    /// Ends the content. Returns its last record if that had no line end. Chunks fed afterwards are separate content.
    pub(in crate::connector) fn finish(&mut self) -> Result<Option<Frames>, SourceError> {
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

    /// Returns the state of a record that has begun and not ended.
    pub(in crate::connector) fn held(&self) -> Option<Held> {
        self.cutter.held()
    }

    /// Counts an incomplete record when no more input will be fed: a line without a line end as unfinished, the lines
    /// inside an open quote as invalid.
    pub(in crate::connector) fn conclude(&mut self) {
        match self.cutter.held() {
            Some(Held::Line) => self.unfinished += 1,
            Some(Held::OpenQuote { line, lines }) => {
                self.tally.refuse(line, Refusal::OpenQuote { lines });
                self.warn();
            }
            None => {}
        }
    }

    /// Returns the columns of the current content, if it has any.
    pub(in crate::connector) fn header(&self) -> Option<Header> {
        self.cutter.header()
    }

    /// Continues with content that has these columns and whose first row is already read.
    pub(in crate::connector) fn go_on_with(&mut self, header: Header) {
        self.cutter.go_on_with(header);
    }

    /// Returns the state behind the records that were handed out, and the number of the last bytes of the input that
    /// belong to none of them. Call between two batches.
    pub(in crate::connector) fn place(&self) -> (u64, Place) {
        let (held, place) = self.cutter.place();
        ((self.chunk.len() - self.cut) as u64 + held, place)
    }

    /// Goes on at a place of an earlier process. `is_begun` is set if it is not at the beginning of the content. Call
    /// before the first chunk.
    pub(in crate::connector) fn resume(
        &mut self,
        place: &Place,
        is_begun: bool,
    ) -> Result<(), HeaderError> {
        self.is_text = is_begun;
        self.cutter.resume(place, self.postcard.as_ref())
    }

    /// Returns columns of an earlier process; `None` if the format has none.
    pub(in crate::connector) fn header_of(
        &self,
        columns: &[ColumnPlace],
    ) -> Result<Option<Header>, HeaderError> {
        self.cutter.header_of(columns, self.postcard.as_ref())
    }

    pub(in crate::connector) fn read_error(&self, source: io::Error) -> SourceError {
        SourceError::Read {
            name: self.name.clone(),
            source,
        }
    }

    pub(in crate::connector) fn counts(&self) -> SourceCounts {
        SourceCounts {
            datums: self.datums,
            bytes: self.bytes,
            too_large: self.tally.too_large,
            invalid: self.tally.invalid,
            mixed: self.tally.mixed,
            unfinished: self.unfinished,
            missed_files: 0,
            cut_off: 0,
        }
    }

    fn hand_out(&mut self) -> Option<Frames> {
        self.warn();
        let skipped = self.tally.too_large + self.tally.invalid;
        let is_news = skipped != std::mem::replace(&mut self.reported, skipped);
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
            if !self.warnings.add(&refusal.to_string(), count) {
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
        if let Some(line) = self.warnings.summary("skipped", Instant::now()) {
            tracing::warn!(source, too_large, invalid, "{line}");
        }
    }

    /// Number of bytes of memory held, without the current batch.
    #[cfg(test)]
    pub(in crate::connector) fn held_bytes(&self) -> usize {
        let json = self.postcard.as_ref().map_or(0, ToPostcard::held_bytes);
        self.chunk.capacity() + self.cutter.held_bytes() + json
    }
}

#[cfg(test)]
mod tests;
