//! Parses the output of `mosaik-runner run-operator --report json`, one JSON object per line, into a [`Ran`].

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::ran::Ran;
use crate::host::Level;
use crate::{Error, Result, bail};

/// The supported version of the report.
const VERSION: u32 = 1;

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Start {
        report: u32,
        outputs: Vec<String>,
    },
    Output {
        port: String,
        datum: Option<Value>,
    },
    Rejected {
        index: usize,
        reason: String,
    },
    Log {
        level: String,
        message: String,
    },
    Done {
        counters: BTreeMap<String, u64>,
        failed: Option<String>,
    },
}

/// A report that is being read.
#[derive(Default)]
pub(super) struct Report {
    outputs: Option<Vec<String>>,
    ran: Ran,
    /// The final result, once it was read.
    done: Option<Result<()>>,
}

impl Report {
    /// Processes the next line.
    pub(super) fn line(&mut self, line: &str) -> Result<()> {
        let read: Line = serde_json::from_str(line).map_err(|error| {
            Error::new(format_args!("invalid line in the report ({error}): {line}"))
        })?;
        match read {
            Line::Start { report, outputs } => {
                if report != VERSION {
                    bail!(
                        "the report has version {report}, but this mosaik-wasm-sdk reads version {VERSION}"
                    );
                }
                self.outputs = Some(outputs);
            }
            Line::Output { port, datum } => {
                let outputs = self.outputs.as_deref().unwrap_or_default();
                let number = outputs.iter().position(|name| *name == port);
                let datum = datum.ok_or_else(|| {
                    Error::new(format_args!("a record on the port `{port}` is not JSON"))
                })?;
                self.ran.left(number.unwrap_or_default(), &port, datum);
            }
            Line::Rejected { index, reason } => self.ran.rejected.push((index, reason)),
            Line::Log { level, message } => self.ran.log.push((level_named(&level), message)),
            Line::Done { counters, failed } => {
                self.ran.counters = counters;
                self.done = Some(failed.map_or(Ok(()), |failed| Err(Error::new(failed))));
            }
        }
        Ok(())
    }

    /// Returns the results; `None` if the report is incomplete.
    pub(super) fn end(self) -> Option<Result<Ran>> {
        let done = self.done?;
        Some(done.map(|()| self.ran))
    }
}

fn level_named(name: &str) -> Level {
    match name {
        "trace" => Level::Trace,
        "debug" => Level::Debug,
        "warn" => Level::Warn,
        "error" => Level::Error,
        _ => Level::Info,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Result<Option<Result<Ran>>> {
        let mut report = Report::default();
        lines.iter().try_for_each(|line| report.line(line))?;
        Ok(report.end())
    }

    const START: &str = r#"{"start":{"report":1,"inputs":["in"],"outputs":["out","late"]}}"#;
    const DONE: &str = r#"{"done":{"counters":{"seen":2},"failed":null}}"#;

    #[test]
    fn a_report_is_what_was_seen() {
        let ran = read(&[
            START,
            r#"{"output":{"port":"out","datum":{"a":1}}}"#,
            r#"{"output":{"port":"late","datum":2}}"#,
            r#"{"rejected":{"port":"in","line":2,"index":1,"reason":"no"}}"#,
            r#"{"log":{"level":"warn","message":"hm"}}"#,
            DONE,
        ]);
        let ran = ran.unwrap().unwrap().unwrap();
        assert_eq!(ran.outputs, [serde_json::json!({"a": 1})]);
        assert_eq!(ran.on("late"), [&serde_json::json!(2)]);
        assert_eq!(ran.rejected, [(1, "no".to_owned())]);
        assert_eq!(ran.log, [(Level::Warn, "hm".to_owned())]);
        assert_eq!(ran.counters["seen"], 2);
    }

    #[test]
    fn what_is_no_whole_report_of_this_version_is_said() {
        assert!(read(&[START]).unwrap().is_none());
        let newer = START.replace("1,", "2,");
        assert!(read(&[&newer]).unwrap_err().reason().contains("version 2"));
        assert!(read(&["usage: …"]).unwrap_err().reason().contains("usage"));
        let failed = DONE.replace("null", "\"it trapped\"");
        let failed = read(&[START, &failed]).unwrap().unwrap();
        assert_eq!(failed.unwrap_err().reason(), "it trapped");
    }
}
