//! Converts lines to batches. Holds at most one line and one batch at a time.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Read},
    path::Path,
};

use anyhow::Context as _;
use data_encoding::BASE64;
use memchr::memchr;
use mosaik_streams::{Frames, FramesBuilder};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::StreamEncoding;
use crate::{connector::DEFAULT_MAX_DATUM_BYTES, stage::BATCH_DATUMS_MAX};

/// Size of a read and of a batch: 64 KiB. A batch exceeds it by at most one record.
const CHUNK_BYTES: usize = 64 * 1024;

/// Maximum length of a line: 2 MiB, which has room for the longest record of a source in base64 together with its port.
const LINE_BYTES_MAX: usize = 2 * DEFAULT_MAX_DATUM_BYTES;

/// A source of lines, with their ports and encodings.
pub(super) struct Lines {
    /// Name of the source in messages.
    pub(super) name: String,
    from: BufReader<Box<dyn Read>>,
    port: Port,
    line: u64,
    /// The line that was read after the last batch.
    ahead: Option<Line>,
}

enum Port {
    /// All lines are records for this port.
    One(usize, StreamEncoding),
    /// Each line names one of these ports.
    Tagged(Vec<(String, StreamEncoding)>),
}

/// Records for one port.
pub(super) struct Batch {
    pub(super) port: usize,
    pub(super) frames: Frames,
    /// The line number of each record.
    pub(super) lines: Vec<u64>,
}

/// The next input.
pub(super) enum Next {
    Batch(Batch),
    /// A line that is not a record, and the reason.
    Bad(u64, String),
    End,
}

enum Line {
    Datum {
        line: u64,
        port: usize,
        bytes: Vec<u8>,
    },
    Bad(u64, String),
    Blank,
    End,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tagged<'a> {
    port: &'a str,
    #[serde(borrow)]
    datum: Option<&'a RawValue>,
    datum_base64: Option<&'a str>,
}

impl Lines {
    /// Opens a file whose lines are all for one port; `-` is standard input.
    pub(super) fn open(path: &Path, port: usize, encoding: StreamEncoding) -> anyhow::Result<Self> {
        if path.as_os_str() == "-" {
            return Ok(Self::stdin(Port::One(port, encoding)));
        }
        let name = path.display().to_string();
        let file = File::open(path).with_context(|| format!("cannot open {name}"))?;
        Ok(Self::new(name, Box::new(file), Port::One(port, encoding)))
    }

    /// Reads standard input, whose lines each name one of these ports.
    pub(super) fn tagged(ports: Vec<(String, StreamEncoding)>) -> Self {
        Self::stdin(Port::Tagged(ports))
    }

    fn stdin(port: Port) -> Self {
        Self::new("stdin".to_owned(), Box::new(io::stdin()), port)
    }

    fn new(name: String, from: Box<dyn Read>, port: Port) -> Self {
        Self {
            name,
            from: BufReader::with_capacity(CHUNK_BYTES, from),
            port,
            line: 0,
            ahead: None,
        }
    }

    /// Waits for a line, and adds the lines that are already available.
    pub(super) fn next(&mut self) -> io::Result<Next> {
        let (mut frames, mut lines) = (FramesBuilder::new(), Vec::new());
        let mut batch_port = 0;
        loop {
            let next = match self.ahead.take() {
                Some(ahead) => ahead,
                None if frames.is_empty() || self.has_line() => self.read()?,
                None => break,
            };
            match next {
                Line::Blank => continue,
                Line::Datum { line, port, bytes } if frames.is_empty() || port == batch_port => {
                    batch_port = port;
                    frames.push(&bytes);
                    lines.push(line);
                }
                other if !frames.is_empty() => {
                    self.ahead = Some(other);
                    break;
                }
                Line::Bad(line, reason) => return Ok(Next::Bad(line, reason)),
                Line::Datum { .. } | Line::End => return Ok(Next::End),
            }
            if frames.count() >= BATCH_DATUMS_MAX || frames.wire_len() >= CHUNK_BYTES {
                break;
            }
        }
        Ok(Next::Batch(Batch {
            port: batch_port,
            frames: frames.finish(),
            lines,
        }))
    }

    /// Returns whether a complete line is available without waiting.
    fn has_line(&self) -> bool {
        memchr(b'\n', self.from.buffer()).is_some()
    }

    fn read(&mut self) -> io::Result<Line> {
        let mut text = Vec::new();
        let limit = LINE_BYTES_MAX as u64 + 1;
        let read = self
            .from
            .by_ref()
            .take(limit)
            .read_until(b'\n', &mut text)?;
        if read == 0 {
            return Ok(Line::End);
        }
        self.line += 1;
        if text.pop_if(|last| *last == b'\n').is_none() && text.len() > LINE_BYTES_MAX {
            self.from.skip_until(b'\n')?;
            let reason = format!("longer than {LINE_BYTES_MAX} bytes");
            return Ok(Line::Bad(self.line, reason));
        }
        text.pop_if(|last| *last == b'\r');
        let blank = text.trim_ascii().is_empty();
        let line = self.line;
        let datum = match &self.port {
            Port::One(_, StreamEncoding::Json | StreamEncoding::Postcard) | Port::Tagged(_)
                if blank =>
            {
                return Ok(Line::Blank);
            }
            Port::One(port, StreamEncoding::Postcard) => {
                base64(text.trim_ascii()).map(|bytes| (*port, bytes))
            }
            Port::One(port, _) => Ok((*port, text)),
            Port::Tagged(ports) => tagged(&text, ports),
        };
        Ok(match datum {
            Ok((_, bytes)) if bytes.len() > DEFAULT_MAX_DATUM_BYTES => Line::Bad(
                line,
                format!("a record longer than {DEFAULT_MAX_DATUM_BYTES} bytes"),
            ),
            Ok((port, bytes)) => Line::Datum { line, port, bytes },
            Err(reason) => Line::Bad(line, reason),
        })
    }
}

fn tagged(line: &[u8], ports: &[(String, StreamEncoding)]) -> Result<(usize, Vec<u8>), String> {
    let Tagged {
        port,
        datum,
        datum_base64,
    } = serde_json::from_slice(line)
        .map_err(|error| format!("not an object with `port` and `datum`: {error}"))?;
    let Some(number) = ports.iter().position(|(name, _)| name == port) else {
        return Err(format!("unknown input port `{port}`"));
    };
    let bytes = match (datum, datum_base64, ports[number].1) {
        (None, Some(text), _) => base64(text.as_bytes())?,
        (Some(datum), None, StreamEncoding::Json) => datum.get().as_bytes().to_vec(),
        (Some(datum), None, StreamEncoding::Text | StreamEncoding::Bytes) => {
            let text: String = serde_json::from_str(datum.get())
                .map_err(|_| format!("a record of port `{port}` must be a string"))?;
            text.into_bytes()
        }
        (Some(_), None, StreamEncoding::Postcard) => {
            return Err(format!(
                "a record of port `{port}` must be given as `datum_base64`"
            ));
        }
        (None, None, _) | (Some(_), Some(_), _) => {
            return Err("a record requires either `datum` or `datum_base64`".to_owned());
        }
    };
    Ok((number, bytes))
}

fn base64(text: &[u8]) -> Result<Vec<u8>, String> {
    BASE64
        .decode(text)
        .map_err(|error| format!("not base64: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &'static str, port: Port) -> Lines {
        Lines::new("test".to_owned(), Box::new(text.as_bytes()), port)
    }

    /// Formats each batch as a line with its port, its line numbers and its records.
    fn shown(mut lines: Lines) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            match lines.next().unwrap() {
                Next::Batch(batch) => {
                    let datums: Vec<_> = batch.frames.iter().map(String::from_utf8_lossy).collect();
                    all.push(format!(
                        "{} {:?} {}",
                        batch.port,
                        batch.lines,
                        datums.join("|")
                    ));
                }
                Next::Bad(line, reason) => all.push(format!("bad {line} {reason}")),
                Next::End => return all,
            }
        }
    }

    #[test]
    fn lines_are_records_and_blank_lines_only_for_text() {
        let text = "1\r\n\n 2\n3";
        let of = |encoding| shown(lines(text, Port::One(4, encoding)));
        assert_eq!(of(StreamEncoding::Json), ["4 [1, 3] 1| 2", "4 [4] 3"]);
        assert_eq!(of(StreamEncoding::Text), ["4 [1, 2, 3] 1|| 2", "4 [4] 3"]);
        let postcard = Port::One(0, StreamEncoding::Postcard);
        assert_eq!(
            shown(lines("YWI=\n?\n", postcard)),
            ["0 [1] ab", "bad 2 not base64: invalid length at 0"]
        );
    }

    #[test]
    fn tagged_lines_go_to_their_ports_in_order() {
        let ports = || {
            let named = |name: &str, encoding| (name.to_owned(), encoding);
            Port::Tagged(vec![
                named("a", StreamEncoding::Json),
                named("b", StreamEncoding::Text),
            ])
        };
        let text = "{\"port\":\"a\",\"datum\":{\"x\": 1}}\n\n{\"port\":\"a\",\"datum\":2}\n\
                    {\"port\":\"b\",\"datum\":\"t\\n\"}\n{\"port\":\"c\",\"datum\":1}\n{\"port\":\"b\",\"datum\":1}\n\
                    {\"port\":\"a\",\"datum_base64\":\"Mw==\"}\n{\"port\":\"a\"}\nx\n";
        assert_eq!(
            shown(lines(text, ports())),
            [
                "0 [1, 3] {\"x\": 1}|2",
                "1 [4] t\n",
                "bad 5 unknown input port `c`",
                "bad 6 a record of port `b` must be a string",
                "0 [7] 3",
                "bad 8 a record requires either `datum` or `datum_base64`",
                "bad 9 not an object with `port` and `datum`: expected value at line 1 column 1",
            ]
        );
    }

    #[test]
    fn a_line_above_the_limit_is_skipped_without_buffering() {
        let long = io::repeat(b'x').take(20 * LINE_BYTES_MAX as u64);
        let text = long.chain(&b"\n7\n"[..]);
        let port = Port::One(0, StreamEncoding::Json);
        let mut lines = Lines::new("test".to_owned(), Box::new(text), port);
        assert!(matches!(lines.next().unwrap(), Next::Bad(1, reason) if reason.contains("longer")));
        assert!(matches!(lines.next().unwrap(), Next::Batch(batch) if batch.lines == [2]));
    }

    #[test]
    fn a_batch_is_bounded() {
        let text = io::repeat(b'\n').take(20_000);
        let port = Port::One(0, StreamEncoding::Text);
        let mut lines = Lines::new("test".to_owned(), Box::new(text), port);
        let Next::Batch(batch) = lines.next().unwrap() else {
            panic!("there are records");
        };
        assert_eq!(batch.frames.count(), BATCH_DATUMS_MAX);
    }
}
