//! Measures the performance of this project in comparison with others; see `bench/README.md`.

mod budget;
#[expect(dead_code, reason = "others use the rest of it")]
#[path = "../../tests/support/guest.rs"]
mod guest;
mod measure;
mod part;
mod peers;
mod process;
mod report;
mod rows;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::{Parser, Subcommand};
use measure::{Result, Setting};
use report::Report;

/// Measure all rows in turns and print a table of figures and ratios.
#[derive(Debug, Parser)]
#[command(name = "bench", version)]
struct Cli {
    /// Only measure the rows whose name starts with ROW; may be repeated.
    #[arg(long, value_name = "ROW")]
    only: Vec<String>,
    /// The duration of a case in each round.
    #[arg(long, default_value_t = 2.0, value_parser = seconds)]
    seconds: f64,
    /// The number of rounds; the table shows medians.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Build real Mosaik and Zenoh nodes and measure them too.
    #[arg(long)]
    peers: bool,
    /// Save the results to FILE.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Show the differences from results saved in FILE.
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
    /// List the rows without measuring.
    #[arg(long)]
    list: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Count the instructions of hot functions with Valgrind's callgrind, and compare them with the saved budgets.
    Budgets(budget::Budgets),
    /// Run a part of a measurement in this process.
    #[command(hide = true)]
    Part {
        #[command(subcommand)]
        part: part::Part,
    },
}

fn seconds(text: &str) -> std::result::Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.1..=600.0).contains(&seconds) => Ok(seconds),
        _ => Err("a number of seconds from 0.1 to 600".to_owned()),
    }
}

fn main() -> ExitCode {
    if std::env::var_os(process::AS_RUNNER).is_some() {
        return mosaik_runner::cli::main();
    }
    let cli = Cli::parse();
    let done = match &cli.command {
        Some(Command::Budgets(budgets)) => budget::check(budgets, output::print).map(|within| {
            if within {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }),
        Some(Command::Part { part }) => part::run(part).map(|()| ExitCode::SUCCESS),
        None => bench(&cli),
    };
    done.unwrap_or_else(|error| {
        output::complain(&format!("error: {error}"));
        ExitCode::FAILURE
    })
}

fn bench(cli: &Cli) -> Result<ExitCode> {
    let mut rows = rows::all();
    if !cli.only.is_empty() {
        if let Some(unknown) = cli
            .only
            .iter()
            .find(|only| !rows.iter().any(|row| row.name.starts_with(only.as_str())))
        {
            return Err(format!("there is no row `{unknown}`; --list names them").into());
        }
        rows.retain(|row| {
            cli.only
                .iter()
                .any(|only| row.name.starts_with(only.as_str()))
        });
    }
    if cli.list {
        for row in &rows {
            output::print(&format!("{:<14} {}\n", row.name, row.about));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let old: Option<Report> = match &cli.compare {
        Some(path) => Some(serde_json::from_slice(
            &std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?,
        )?),
        None => None,
    };
    if cli.peers {
        peers::build()?;
    }
    let setting = Setting {
        window: Duration::from_secs_f64(cli.seconds),
        peers: cli.peers,
    };
    let report = report::measure(&rows, &setting, cli.rounds.into(), output::complain);
    output::print(&report.table()?);
    if let Some(path) = &cli.json {
        std::fs::write(path, serde_json::to_vec_pretty(&report)?)?;
    }
    if let Some(old) = old {
        output::print(&format!(
            "\nsince {}:\n{}",
            cli.compare
                .as_deref()
                .unwrap_or_else(|| std::path::Path::new(""))
                .display(),
            report.changes_since(&old)?
        ));
    }
    let missed = report.missed();
    if missed > 0 {
        output::print(&format!("\n{missed} goals were missed\n"));
    }
    Ok(ExitCode::SUCCESS)
}

/// The only module that prints.
mod output {
    #![expect(
        clippy::print_stdout,
        clippy::print_stderr,
        reason = "this program is there to print"
    )]

    pub(crate) fn print(text: &str) {
        print!("{text}");
    }

    pub(crate) fn complain(text: &str) {
        eprintln!("{text}");
    }
}
