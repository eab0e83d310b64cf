//! `mosaik-runner run-operator`: runs one operator without a manifest, with lines as input and output.

mod input;
mod listener;
mod output;
mod state;
mod trial;

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};

use self::trial::Trial;
use super::{
    Exit, harmless, load,
    operator_args::{self, LimitArgs},
    print_stderr,
};
use crate::{
    components::{Library, granted},
    declare::ProcessEnvironment,
    manifest::{Grants, is_yaml, parse_config},
    stage::Lost,
};

/// Run an operator without a manifest: its input is stdin, its output stdout.
///
/// Without `--in`, stdin goes to the first input port. With one output port, each record is printed on a line; with
/// several, a line is `{"port":…,"datum":…}`. An operator that rejects unused output ports, like `split`, gets the ports
/// that `--out` or its configuration names. All input ports end at the end of all input. Rejected records and the
/// operator's log go to stderr. Each line of JSON, text or bytes is one record; blank lines of JSON are skipped. Lines of
/// postcard are base64.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  mosaik-runner run-operator builtin:jq --config '\".price * 2\"' < in.jsonl > out.jsonl"
)]
pub(super) struct RunOperatorArgs {
    /// Path of a `.wasm` file, or `builtin:<name>`.
    operator: String,
    /// Configuration as in a manifest, in YAML or JSON, with `${env:NAME}` and `${file:PATH}`; `@FILE` reads it from a
    /// file.
    #[arg(
        long,
        default_value = "{}",
        hide_default_value = true,
        value_name = "YAML"
    )]
    config: String,
    /// Read an input port from a file, or from stdin with `-`. Several files are read in order.
    #[arg(long = "in", value_parser = port_file, value_name = "PORT=FILE")]
    inputs: Vec<(String, PathBuf)>,
    /// Read lines of `{"port":…,"datum":…}` from stdin, or with `datum_base64` for binary records.
    #[arg(long, conflicts_with = "inputs")]
    tagged: bool,
    /// Write an output port to a file, or to stdout with `-`. Default: stdout.
    #[arg(long = "out", value_parser = port_file, value_name = "PORT=FILE")]
    outputs: Vec<(String, PathBuf)>,
    /// Encoding of all ports, or of one port. Default: json.
    #[arg(long, value_parser = port_encoding, value_name = "[PORT=]ENCODING")]
    encoding: Vec<(Option<String>, StreamEncoding)>,
    #[command(flatten)]
    limits: LimitArgs,
    /// Grants, as `allow` in a manifest: `{env: [HOME], dirs: [{path: data}]}`. Default: none.
    #[arg(long, value_parser = operator_args::grants, value_name = "YAML")]
    allow: Option<Grants>,
    /// Call `tick` after the last record.
    #[arg(long)]
    tick: bool,
    /// Restore the state from a file that `--save-state` wrote.
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Save the state to a file after the last record. As in a reload, the inputs then do not end.
    #[arg(long, value_name = "FILE")]
    save_state: Option<PathBuf>,
    /// Report every event on stdout in this format: `start`, `output`, `rejected`, `log`, and `done` at the end.
    #[arg(long, value_enum, value_name = "FORMAT", conflicts_with = "outputs")]
    report: Option<ReportFormat>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ReportFormat {
    /// One JSON object per line.
    Json,
}

/// Encoding of a stream. No schema is required, because the operator itself decodes postcard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum StreamEncoding {
    #[default]
    Json,
    Text,
    Bytes,
    Postcard,
}

impl StreamEncoding {
    fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Text => "text",
            Self::Bytes => "bytes",
            Self::Postcard => "postcard",
        }
    }
}

/// A reason to end the run early.
#[derive(Debug)]
enum Stop {
    /// The command line is invalid.
    Usage(String),
    /// The operator cannot be used, or refuses its configuration or state.
    Unusable(String),
    /// The operator failed while running.
    Failed(String),
    /// Reading or writing failed.
    Io(anyhow::Error),
    /// The reader of stdout has closed it.
    Closed,
}

impl From<anyhow::Error> for Stop {
    fn from(error: anyhow::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Lost> for Stop {
    fn from(lost: Lost) -> Self {
        Self::Failed(lost.to_string())
    }
}

pub(super) fn run(args: &RunOperatorArgs) -> anyhow::Result<Exit> {
    let (reason, exit) = match try_out(args) {
        Ok(exit) => return Ok(exit),
        Err(Stop::Closed) => return Ok(Exit::Success),
        Err(Stop::Io(error)) => return Err(error),
        Err(Stop::Usage(reason)) => (reason, Exit::Usage),
        Err(Stop::Unusable(reason)) => (reason, Exit::Mistakes),
        Err(Stop::Failed(reason)) => (reason, Exit::Failed),
    };
    let reason = harmless(&reason);
    print_stderr(&format!("error: {}: {reason}", args.operator));
    Ok(exit)
}

fn try_out(args: &RunOperatorArgs) -> Result<Exit, Stop> {
    let config = config(&args.config)?;
    let limits = args.limits.limits();
    let grants = args.allow.as_ref().map(granted).unwrap_or_default();
    let library = load::library()?;
    let component = Library::code(&operator_args::source(&args.operator), &limits)
        .map_err(|error| error.to_string())
        .and_then(|code| {
            let loaded = library.load(&code, &limits, grants.interfaces());
            loaded.map_err(|error| error.with_hint())
        })
        .map_err(Stop::Unusable);
    match component {
        Ok(component) => Trial::new(args, component, config, &limits, grants)?.run(),
        Err(Stop::Unusable(reason)) if args.report.is_some() => {
            output::report_failure(&reason)?;
            Err(Stop::Unusable(reason))
        }
        Err(stop) => Err(stop),
    }
}

/// The configuration as JSON, and the texts in it that messages must not show.
struct Config {
    json: String,
    secrets: Vec<String>,
}

/// Reads the configuration, in the form that manifests use for `config`. Paths in it are relative to the file that
/// contains it, or to the working directory.
fn config(text: &str) -> Result<Config, Stop> {
    let (text, base) = match text.strip_prefix('@') {
        Some(file) => {
            let path = Path::new(file);
            let text = fs::read_to_string(path)
                .map_err(|error| Stop::Usage(format!("--config {text}: {error}")))?;
            (text, path.parent().unwrap_or(Path::new("")).to_path_buf())
        }
        None => (text.to_owned(), PathBuf::new()),
    };
    // JSON is passed on unchanged, with all digits of its numbers.
    let is_json = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
    if is_json && !text.contains("${") {
        return Ok(Config {
            json: text,
            secrets: Vec::new(),
        });
    }
    match parse_config(&text, &ProcessEnvironment, &base) {
        Ok(config) => Ok(Config {
            json: (*config).to_string(),
            secrets: config.put_in().to_vec(),
        }),
        Err(wrong) => {
            let shown = wrong.render(false);
            let shown = shown.trim_end();
            let reason = shown.strip_prefix("error: ").unwrap_or(shown);
            Err(Stop::Usage(if is_yaml(&text) {
                format!("--config: {reason}")
            } else {
                format!("--config is neither JSON nor YAML: {reason}")
            }))
        }
    }
}

fn port_file(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((port, file)) if !port.is_empty() && !file.is_empty() => {
            Ok((port.to_owned(), PathBuf::from(file)))
        }
        _ => Err("expected PORT=FILE".to_owned()),
    }
}

fn port_encoding(text: &str) -> Result<(Option<String>, StreamEncoding), String> {
    let (port, encoding) = match text.rsplit_once('=') {
        Some((port, encoding)) => (Some(port.to_owned()), encoding),
        None => (None, text),
    };
    let encoding = StreamEncoding::from_str(encoding, false).map_err(|_| {
        "expected json, text, bytes or postcard, or PORT= and one of them".to_owned()
    })?;
    Ok((port, encoding))
}
