//! The command line, with one file per command. Only this module prints.

mod build;
mod check;
mod checkpoint;
mod completions;
mod control;
mod graph;
mod inspect;
mod keygen;
mod load;
mod log;
mod new;
mod operator_args;
mod run_operator;
mod schema;
mod signals;
mod summary;
mod up;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use self::signals::Signals;
use crate::{
    checkpoint::is_guarded,
    machine::{self, Shortage},
};

/// The exit code of the process. The numbers are part of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Success.
    Success = 0,
    /// The manifest has mistakes, or an operator cannot be used or refuses its configuration or state.
    Mistakes = 1,
    /// The command line is invalid. This is the number that clap uses.
    Usage = 2,
    /// Starting failed, or a stage failed while running.
    Failed = 3,
    /// An operator run by `run-operator` rejected some of its input.
    Rejected = 4,
    /// Records were lost.
    Lost = 5,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The table of `docs/guarantees.md`; a test compares them.
const EXIT_CODES: &str = "Exit codes:
  0  success; with `up`, every record is accounted for and none was lost
  1  the manifest or a configuration has errors, an operator is unusable, or a reload is refused
  2  the command line is invalid
  3  failure: `up` did not start, a stage failed, a second signal arrived, or a command failed
  4  `run-operator`: the operator rejected records
  5  `up`: records were lost, and no stage failed";

/// Run YAML graphs of streams and WebAssembly operators.
///
/// A manifest declares streams, the producers that write them, the operators between them and the consumers that read
/// them. One node runs a manifest. Nodes with the same network name find each other and exchange records over QUIC.
#[derive(Debug, Parser)]
#[command(name = "mosaik-runner", version, max_term_width = 100, after_help = EXIT_CODES, after_long_help = EXIT_CODES)]
pub struct Cli {
    #[command(flatten)]
    output: OutputArgs,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Clone, Copy, Args)]
struct OutputArgs {
    /// Format of the log on stderr.
    #[arg(long = "log", global = true, value_enum, default_value_t = LogFormat::Text, value_name = "FORMAT")]
    log: LogFormat,
    /// Log more: -v adds debug messages, -vv adds trace messages.
    #[arg(short, long, global = true, action = clap::ArgAction::Count, conflicts_with = "quiet")]
    verbose: u8,
    /// Log errors only, and print no summary.
    #[arg(short, long, global = true)]
    quiet: bool,
    /// When to colour diagnostics and the log.
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    color: Color,
}

impl OutputArgs {
    fn log_is_json(self) -> bool {
        self.log == LogFormat::Json
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// Readable lines.
    Text,
    /// One JSON object per line.
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Color {
    /// When stderr is a terminal and `NO_COLOR` is not set.
    Auto,
    Always,
    Never,
}

impl Color {
    fn on_stderr(self) -> bool {
        use std::io::IsTerminal as _;
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => {
                std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
                    && std::io::stderr().is_terminal()
            }
        }
    }
}

#[derive(Debug, Subcommand)]
enum Verb {
    #[command(visible_alias = "run")]
    Up(up::UpArgs),
    Status(control::status::StatusArgs),
    Top(control::top::TopArgs),
    Tap(control::tap::TapArgs),
    Explain(control::explain::ExplainArgs),
    Peers(control::peers::PeersArgs),
    Plan(control::plan::PlanArgs),
    Reload(control::reload::ReloadArgs),
    Down(control::down::DownArgs),
    #[command(visible_aliases = ["validate", "lint"])]
    Check(check::CheckArgs),
    Checkpoint(checkpoint::CheckpointArgs),
    Graph(graph::GraphArgs),
    New(new::NewArgs),
    Build(build::BuildArgs),
    RunOperator(Box<run_operator::RunOperatorArgs>),
    Inspect(inspect::InspectArgs),
    Schema(schema::SchemaArgs),
    Keygen(keygen::KeygenArgs),
    Completions(completions::CompletionsArgs),
}

/// Parses the command line and runs the command.
pub fn main() -> ExitCode {
    // Before anything else, so that every signal from now on is a request to this node.
    let signals = std::env::args_os()
        .any(|arg| arg == "up" || arg == "run")
        .then(Signals::install)
        .transpose();
    explain_shortages();
    let cli = Cli::parse();
    log::init(cli.output);
    if let (Ok(Some(signals)), false) = (&signals, matches!(cli.verb, Verb::Up(_))) {
        signals.restore_default();
    }
    let done = match cli.verb {
        Verb::Up(args) => up::run(args, cli.output, signals),
        Verb::Status(args) => control::status::run(&args),
        Verb::Top(args) => control::top::run(&args),
        Verb::Tap(args) => control::tap::run(&args, cli.output.color.on_stderr()),
        Verb::Explain(args) => control::explain::run(&args),
        Verb::Peers(args) => control::peers::run(&args),
        Verb::Plan(args) => control::plan::run(&args),
        Verb::Reload(args) => control::reload::run(&args),
        Verb::Down(args) => control::down::run(&args),
        Verb::Check(args) => check::run(&args, cli.output),
        Verb::Checkpoint(args) => checkpoint::run(&args, cli.output),
        Verb::Graph(args) => graph::run(&args, cli.output),
        Verb::New(args) => new::run(&args),
        Verb::Build(args) => build::run(&args, cli.output),
        Verb::RunOperator(args) => run_operator::run(&args),
        Verb::Inspect(args) => inspect::run(&args),
        Verb::Schema(args) => schema::run(&args),
        Verb::Keygen(args) => keygen::run(&args),
        Verb::Completions(args) => completions::run(&args),
    };
    match done {
        Ok(exit) => exit.into(),
        Err(error) => {
            let shortage = error.chain().find_map(Shortage::of);
            let shortage = shortage.map_or_else(String::new, |shortage| format!("; {shortage}"));
            print_stderr(&format!("error: {}{shortage}", with_causes(&error)));
            Exit::Failed.into()
        }
    }
}

/// Formats an error and its causes, without causes that the error already contains.
fn with_causes(error: &anyhow::Error) -> String {
    error
        .chain()
        .map(ToString::to_string)
        .reduce(|text, cause| {
            if text.contains(&cause) {
                text
            } else {
                format!("{text}: {cause}")
            }
        })
        .unwrap_or_default()
}

/// Exits with one clear error message when a dependency panics because the system cannot start a thread.
fn explain_shortages() {
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let message = panic.payload_as_str().unwrap_or_default();
        if let Some(shortage) = Shortage::of_panic(message) {
            print_stderr(&format!("error: {shortage}"));
            std::process::exit(Exit::Failed as i32);
        }
        // One that becomes an error is reported as such.
        if !is_guarded() {
            default(panic);
        }
    }));
}

/// Exits with an error that names the memory limit. Does not allocate.
pub fn out_of_memory() -> ! {
    use std::io::Write as _;
    let mut text = [0; 256];
    let mut left = text.as_mut_slice();
    // The message fits into the buffer.
    let _ = writeln!(left, "error: {}", machine::OutOfMemory);
    let length = 256 - left.len();
    let _ = std::io::stderr().write_all(&text[..length]);
    std::process::exit(Exit::Failed as i32);
}

/// Writes a line to stderr, and ignores errors such as a closed stderr.
fn print_stderr(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Replaces control characters in untrusted text with pictures, so that the text cannot affect a terminal. Keeps line
/// ends and tabs.
fn harmless(text: &str) -> String {
    let picture = |c: char| match c {
        '\n' | '\t' => c,
        '\0'..='\x1f' => {
            char::from_u32(0x2400 + u32::from(c)).unwrap_or(char::REPLACEMENT_CHARACTER)
        }
        c if c.is_control() => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    text.chars().map(picture).collect()
}

/// Escapes control characters as in JSON (`\u001b`), so that text stays on one line of a terminal.
fn printable(text: &str) -> std::borrow::Cow<'_, str> {
    use std::fmt::Write as _;
    let steers = |c: char| c.is_control() && c != '\t';
    if !text.contains(steers) {
        return text.into();
    }
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) {
            // Writing to a string cannot fail.
            let _ = write!(escaped, "\\u{:04x}", u32::from(c));
        } else {
            escaped.push(c);
        }
    }
    escaped.into()
}

/// Writes to stdout.
///
/// # Errors
/// Writing to stdout failed, except because the reader has closed it.
fn print(text: &str) -> anyhow::Result<()> {
    use std::io::Write as _;
    let mut stdout = std::io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::{Cli, EXIT_CODES, harmless, with_causes};

    #[test]
    fn control_characters_in_untrusted_text_are_replaced() {
        assert_eq!(
            harmless("é\n\x1b[31m\r\u{9b}"),
            "é\n\u{241b}[31m\u{240d}\u{fffd}"
        );
    }

    #[test]
    fn a_cause_that_an_error_contains_is_not_repeated() {
        let error = anyhow::anyhow!("disk full").context("cannot write x: disk full");
        assert_eq!(with_causes(&error), "cannot write x: disk full");
        let error = error.context("cannot start");
        assert_eq!(
            with_causes(&error),
            "cannot start: cannot write x: disk full"
        );
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_has_one_style() {
        fn check(command: &clap::Command) {
            let name = command.get_name();
            let about = command.get_about().map(ToString::to_string);
            let about = about.unwrap_or_default();
            let verb = about.split(' ').next().unwrap_or_default();
            assert!(!about.ends_with('.'), "{name}: {about}");
            assert!(!verb.ends_with('s'), "{name}: {about}");
            for argument in command.get_arguments() {
                let help = argument.get_help().map(ToString::to_string);
                let help = help.unwrap_or_default();
                assert!(!help.ends_with('.'), "{name}: {help}");
                for word in ["datums", "Has ", "Whether ", "What ", "How "] {
                    assert!(!help.contains(word), "{name}: {help}");
                }
            }
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }

    #[test]
    fn the_exit_codes_are_those_of_the_page() {
        let page = include_str!("../../../docs/guarantees.md");
        let help = EXIT_CODES.replace("\n     ", " ");
        for line in help.lines().skip(1) {
            let (code, meaning) = line.trim().split_once("  ").unwrap();
            let row = format!("| {code} | {meaning} |");
            assert!(page.contains(&row), "not in docs/guarantees.md: {row}");
        }
    }
}
