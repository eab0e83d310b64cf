//! The output of an operator: to stdout, to files, or to a report.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
};

use anyhow::Context as _;
use data_encoding::BASE64;
use mosaik_streams::Frames;
use serde::Serialize;
use serde_json::{json, value::RawValue};

use super::{Stop, StreamEncoding};
use crate::operator::{Description, Level};

/// The version of the report. Readers should reject versions that they do not know.
const REPORT_VERSION: u32 = 1;

/// The form of records on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// One line per record.
    Plain,
    /// `{"port":…,"datum":…}`.
    Tagged,
    /// `{"output":{"port":…,"datum":…}}`, between other events.
    Report,
}

/// The output ports of an operator run by `run-operator`.
pub(super) struct Outputs {
    ports: Vec<Port>,
    stdout: BufWriter<io::Stdout>,
    form: Form,
}

struct Port {
    name: String,
    encoding: StreamEncoding,
    /// `None` for stdout.
    file: Option<BufWriter<File>>,
    count: u64,
}

/// A record with its port, as JSON.
#[derive(Serialize)]
struct Tagged<'a> {
    port: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    datum: Option<Shown<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    datum_base64: Option<String>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Shown<'a> {
    Json(&'a RawValue),
    Text(&'a str),
}

impl<'a> Tagged<'a> {
    fn new(port: &'a str, encoding: StreamEncoding, datum: &'a [u8]) -> Self {
        let text = std::str::from_utf8(datum).ok();
        let shown = text.and_then(|text| match encoding {
            StreamEncoding::Json => serde_json::from_str(text).ok().map(Shown::Json),
            StreamEncoding::Text | StreamEncoding::Bytes => Some(Shown::Text(text)),
            StreamEncoding::Postcard => None,
        });
        Self {
            port,
            datum_base64: shown.is_none().then(|| BASE64.encode(datum)),
            datum: shown,
        }
    }
}

impl Outputs {
    /// Opens one output per port: the file given for the port, otherwise stdout.
    pub(super) fn open<'a>(
        ports: impl Iterator<Item = (&'a str, StreamEncoding, Option<&'a Path>)>,
        report: bool,
    ) -> anyhow::Result<Self> {
        let open = |(name, encoding, path): (&str, _, Option<&Path>)| {
            let file = path.filter(|path| path.as_os_str() != "-").map(|path| {
                File::create(path).with_context(|| format!("cannot create {}", path.display()))
            });
            Ok(Port {
                name: name.to_owned(),
                encoding,
                file: file.transpose()?.map(BufWriter::new),
                count: 0,
            })
        };
        let ports: Vec<Port> = ports.map(open).collect::<anyhow::Result<_>>()?;
        let form = match ports.iter().filter(|port| port.file.is_none()).count() {
            _ if report => Form::Report,
            0 | 1 => Form::Plain,
            _ => Form::Tagged,
        };
        Ok(Self {
            ports,
            stdout: BufWriter::new(io::stdout()),
            form,
        })
    }

    /// Writes the output of a port.
    pub(super) fn write(&mut self, port: u32, frames: &Frames) -> Result<(), Stop> {
        // The host has checked that the port exists.
        let Some(port) = self.ports.get_mut(port as usize) else {
            return Ok(());
        };
        port.count += frames.count() as u64;
        let Port {
            name,
            encoding,
            file,
            ..
        } = port;
        let encoding = *encoding;
        frames
            .iter()
            .try_for_each(|datum| match (&mut *file, self.form) {
                (Some(file), _) => plain(file, encoding, datum),
                (None, Form::Plain) => plain(&mut self.stdout, encoding, datum),
                (None, Form::Tagged) => {
                    let tagged = Tagged::new(name, encoding, datum);
                    json_line(&mut self.stdout, &tagged)
                }
                (None, Form::Report) => {
                    let output = Tagged::new(name, encoding, datum);
                    json_line(&mut self.stdout, &BTreeMap::from([("output", output)]))
                }
            })
            .map_err(closed)
    }

    /// Flushes all outputs.
    pub(super) fn flush(&mut self) -> Result<(), Stop> {
        let mut files = self.ports.iter_mut().filter_map(|port| port.file.as_mut());
        files
            .try_for_each(Write::flush)
            .and_then(|()| self.stdout.flush())
            .map_err(closed)
    }

    /// Returns the number of records written.
    pub(super) fn count(&self) -> u64 {
        self.ports.iter().map(|port| port.count).sum()
    }

    pub(super) fn report_start(&mut self, description: &Description) -> Result<(), Stop> {
        let (inputs, outputs) = (&description.inputs, &description.outputs);
        self.event(
            &json!({"start": {"report": REPORT_VERSION, "inputs": inputs, "outputs": outputs}}),
        )
    }

    pub(super) fn report_log(&mut self, level: Level, message: &str) -> Result<(), Stop> {
        let level = match level {
            Level::Trace => "trace",
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        };
        self.event(&json!({"log": {"level": level, "message": message}}))
    }

    /// Reports a rejected record: its port if known, its number among all records, and its line.
    pub(super) fn report_rejected(
        &mut self,
        port: Option<&str>,
        (index, line): (u64, u64),
        reason: &str,
    ) -> Result<(), Stop> {
        self.event(
            &json!({"rejected": {"port": port, "index": index, "line": line, "reason": reason}}),
        )
    }

    /// Reports the end of the run.
    pub(super) fn report_done(&mut self, done: &Done<'_>) -> Result<(), Stop> {
        self.event(&json!({"done": done}))
    }

    /// Writes an event to the report; does nothing without a report.
    fn event(&mut self, event: &serde_json::Value) -> Result<(), Stop> {
        if self.form != Form::Report {
            return Ok(());
        }
        json_line(&mut self.stdout, event).map_err(closed)
    }
}

/// The last line of a report.
#[derive(Debug, Default, Serialize)]
pub(super) struct Done<'a> {
    pub(super) datums_in: u64,
    pub(super) datums_out: u64,
    pub(super) rejected: u64,
    /// Number of records in the batch during which the operator failed.
    pub(super) lost: u64,
    pub(super) counters: BTreeMap<String, u64>,
    /// The reason of the failure, if the operator failed.
    pub(super) failed: Option<&'a str>,
}

/// Writes the report for an operator that could not be loaded.
pub(super) fn report_failure(reason: &str) -> Result<(), Stop> {
    let done = Done {
        failed: Some(reason),
        ..Done::default()
    };
    let mut stdout = io::stdout().lock();
    json_line(&mut stdout, &json!({"done": done}))
        .and_then(|()| stdout.flush())
        .map_err(closed)
}

fn plain(to: &mut impl Write, encoding: StreamEncoding, datum: &[u8]) -> io::Result<()> {
    match encoding {
        StreamEncoding::Postcard => to.write_all(BASE64.encode(datum).as_bytes())?,
        StreamEncoding::Json | StreamEncoding::Text | StreamEncoding::Bytes => {
            to.write_all(datum)?;
        }
    }
    to.write_all(b"\n")
}

fn json_line(to: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    // A JSON record is written unchanged. It may contain line breaks between tokens, but not within tokens.
    for byte in &mut line {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    line.push(b'\n');
    to.write_all(&line)
}

fn closed(error: io::Error) -> Stop {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Stop::Closed,
        _ => Stop::Io(anyhow::Error::new(error).context("cannot write the output of the operator")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_printed_on_one_line() {
        let shown = |encoding, datum: &[u8]| {
            let mut line = Vec::new();
            json_line(&mut line, &Tagged::new("out", encoding, datum)).unwrap();
            String::from_utf8(line).unwrap()
        };
        for (encoding, datum, expected) in [
            (
                StreamEncoding::Json,
                &b"{\"a\":\n1.10}"[..],
                r#""datum":{"a": 1.10}"#,
            ),
            (StreamEncoding::Json, b"{no", r#""datum_base64":"e25v""#),
            (StreamEncoding::Text, b"a\nb", r#""datum":"a\nb""#),
            (StreamEncoding::Bytes, b"\xff", r#""datum_base64":"/w==""#),
            (StreamEncoding::Postcard, b"ab", r#""datum_base64":"YWI=""#),
        ] {
            assert_eq!(
                shown(encoding, datum),
                format!("{{\"port\":\"out\",{expected}}}\n")
            );
        }
    }
}
