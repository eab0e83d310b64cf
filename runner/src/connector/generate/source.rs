//! Generated records: `{"seq":0,"time":1767225600000,"value":0.318}`, identical in every run.
//!
//! `time` is in milliseconds since 1970 and starts at 2026-01-01T00:00:00Z. It advances according to the rate, or by 1
//! ms per record if no rate is set. `value` is distributed uniformly over `0.000` to `0.999`. All three depend only on
//! `seq` and the settings.

use std::time::Duration;

use bytes::{BufMut, BytesMut};
use futures::future::BoxFuture;
use mosaik_streams::{Frames, FramesBuilder, schema::TranscodeError};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep_until};

use super::Generate;
use crate::connector::{
    ConfigError, Position, ResumeError, Source, SourceContext, SourceCounts, SourceError,
    format::{intake::WARNING_INTERVAL, postcard::ToPostcard},
};

/// Time of the first record: 2026-01-01T00:00:00Z.
const FIRST_TIME_MS: u64 = 1_767_225_600_000;

/// Maximum number of records generated before checking the clock and yielding to other tasks.
const BATCH_DATUMS_MAX: u64 = 65_536;

/// Maximum backlog after a stall: 1 s of records, then the schedule restarts. Without this limit, a stream that was
/// full for hours would receive all overdue records at once.
const MAX_BEHIND: Duration = Duration::from_secs(1);

/// Longest sleep: 1 h. Keeps very small rates within the range of the clock.
const MAX_SLEEP: Duration = Duration::from_hours(1);

/// Generates records.
#[derive(Debug)]
pub(super) struct Generator {
    rate: Option<f64>,
    count: Option<u64>,
    size_bytes: usize,
    batch_bytes: usize,
    out: FramesBuilder,
    postcard: Option<ToPostcard>,
    /// Sequence number of the next record.
    seq: u64,
    datums: u64,
    bytes: u64,
    too_large: u64,
    invalid: u64,
    warned: Option<Instant>,
    /// Time at which pacing began, and the sequence number of the first record of the schedule.
    schedule: Option<(Instant, u64)>,
}

impl Generator {
    pub(super) fn new(config: &Generate, context: &SourceContext) -> Result<Self, ConfigError> {
        Ok(Self {
            rate: config.rate,
            count: config.count,
            size_bytes: config.size.unwrap_or(0) as usize,
            batch_bytes: context.batch_bytes,
            out: FramesBuilder::with_capacity(context.batch_bytes),
            postcard: ToPostcard::of(&context.encoding, context.max_datum_bytes)?,
            seq: 0,
            datums: 0,
            bytes: 0,
            too_large: 0,
            invalid: 0,
            warned: None,
            schedule: None,
        })
    }

    async fn generate(&mut self) -> Option<Frames> {
        loop {
            let batch = self.next_due().await?;
            if !batch.is_empty() {
                return Some(batch);
            }
        }
    }

    /// Generates the records that are due, without those that do not match the stream's schema.
    async fn next_due(&mut self) -> Option<Frames> {
        // Without a rate nothing else here yields to other tasks.
        tokio::task::consume_budget().await;
        let left = self
            .count
            .map_or(u64::MAX, |count| count.saturating_sub(self.seq));
        if left == 0 {
            return None;
        }
        let due = match self.rate {
            Some(rate) => self.wait_until_due(rate).await,
            None => u64::MAX,
        };
        for _ in 0..due.min(left).min(BATCH_DATUMS_MAX) {
            self.add();
            if self.out.wire_len() >= self.batch_bytes {
                break;
            }
        }
        let batch = self.out.finish();
        self.datums += batch.count() as u64;
        self.bytes += batch.payload_len() as u64;
        Some(batch)
    }

    fn count(&self) -> SourceCounts {
        SourceCounts {
            datums: self.datums,
            bytes: self.bytes,
            too_large: self.too_large,
            invalid: self.invalid,
            ..SourceCounts::default()
        }
    }

    /// Waits until the next record is due and returns the number of due records. Due times are computed from one start
    /// time, so rounding errors do not accumulate.
    async fn wait_until_due(&mut self, rate: f64) -> u64 {
        loop {
            let now = Instant::now();
            let (mut start, mut first) = *self.schedule.get_or_insert((now, self.seq));
            let done = (self.seq - first) as f64;
            let behind = (now - start).as_secs_f64() - done / rate;
            if behind > MAX_BEHIND.as_secs_f64() {
                start = now.checked_sub(MAX_BEHIND).unwrap_or(now);
                first = self.seq;
                self.schedule = Some((start, first));
            }
            // The first record is due at the start time itself. `as` saturates and rounds down.
            #[expect(
                clippy::cast_sign_loss,
                reason = "neither a time that has passed nor a rate is negative"
            )]
            let due_in_all = ((now - start).as_secs_f64() * rate) as u64;
            let due = due_in_all
                .saturating_add(1)
                .saturating_sub(self.seq - first);
            if due > 0 {
                return due;
            }
            let next = Duration::try_from_secs_f64((self.seq - first) as f64 / rate)
                .unwrap_or(Duration::MAX);
            let wait = next
                .saturating_sub(now - start)
                .clamp(Duration::from_millis(1), MAX_SLEEP);
            sleep_until(now + wait).await;
        }
    }

    fn add(&mut self) {
        let (seq, size_bytes) = (self.seq, self.size_bytes);
        #[expect(clippy::cast_sign_loss, reason = "a rate is not negative")]
        let since_first_ms = self
            .rate
            .map_or(seq, |rate| (seq as f64 * 1000.0 / rate) as u64);
        let time_ms = FIRST_TIME_MS.saturating_add(since_first_ms);
        self.seq += 1;
        let write = |out: &mut BytesMut| {
            write_datum(out, seq, time_ms, size_bytes);
            Ok::<_, TranscodeError>(())
        };
        let added = match &mut self.postcard {
            None => self.out.push_with(write),
            Some(postcard) => postcard.push_with(&mut self.out, write),
        };
        if let Err(error) = added {
            self.refuse(seq, &error);
        }
    }

    fn refuse(&mut self, seq: u64, error: &TranscodeError) {
        match error {
            TranscodeError::TooLarge { .. } => self.too_large += 1,
            _ => self.invalid += 1,
        }
        if self
            .warned
            .is_none_or(|warned| warned.elapsed() >= WARNING_INTERVAL)
        {
            self.warned = Some(Instant::now());
            tracing::warn!(
                source = "generate",
                too_large = self.too_large,
                invalid = self.invalid,
                "skipped: record {seq} is {error}"
            );
        }
    }
}

impl Source for Generator {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Frames>, SourceError>> {
        Box::pin(async { Ok(self.generate().await) })
    }

    fn position(&self) -> Option<Position> {
        serde_json::to_value(Generated { seq: self.seq }).ok()
    }

    fn resume<'a>(&'a mut self, position: &'a Position) -> BoxFuture<'a, Result<(), ResumeError>> {
        let resumed = Generated::deserialize(position)
            .map(|generated| self.seq = generated.seq)
            .map_err(|error| ResumeError::foreign("generate", &error));
        Box::pin(std::future::ready(resumed))
    }

    fn counts(&self) -> SourceCounts {
        self.count()
    }

    fn is_finite(&self) -> bool {
        self.count.is_some()
    }
}

/// The position of a generator. The schedule of a rate restarts.
#[derive(Debug, Serialize, Deserialize)]
struct Generated {
    /// Sequence number of the next record.
    seq: u64,
}

const PAD_START: &[u8] = b",\"pad\":\"";

fn write_datum(out: &mut BytesMut, seq: u64, time_ms: u64, size_bytes: usize) {
    let start = out.len();
    out.put_slice(b"{\"seq\":");
    write_number(out, seq);
    out.put_slice(b",\"time\":");
    write_number(out, time_ms);
    let thousandths = spread(seq) % 1000;
    let digit = |unit: u64| b'0' + (thousandths / unit % 10) as u8;
    out.put_slice(&[
        b',',
        b'"',
        b'v',
        b'a',
        b'l',
        b'u',
        b'e',
        b'"',
        b':',
        b'0',
        b'.',
        digit(100),
        digit(10),
        digit(1),
    ]);
    // A record that is already as long, or too long for another field name to fit, is not padded.
    if let Some(pad) = size_bytes.checked_sub(out.len() - start + PAD_START.len() + 2) {
        out.put_slice(PAD_START);
        out.put_bytes(b'x', pad);
        out.put_u8(b'"');
    }
    out.put_u8(b'}');
}

fn write_number(out: &mut BytesMut, mut number: u64) {
    // `u64::MAX` has 20 digits.
    let mut digits = [0; 20];
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.put_slice(&digits[first..]);
}

/// The finalizer of SplitMix64 (Steele, Lea and Flood 2014): consecutive inputs give very different outputs.
fn spread(seq: u64) -> u64 {
    let mut bits = seq.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests;
