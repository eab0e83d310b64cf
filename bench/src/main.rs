//! Figures of the release binary, measured in one run; see `bench/README.md` for the commands.

mod footprint;
#[expect(dead_code, reason = "others use the rest of it")]
#[path = "../../tests/support/guest.rs"]
mod guest;
mod idle;
mod operators;
mod transcode;

use std::process::ExitCode;

fn main() -> ExitCode {
    let verb = std::env::args().nth(1);
    let measured = match verb.as_deref() {
        Some("footprint") => footprint::measure(),
        Some("operators") => operators::measure(),
        Some("transcode") => transcode::measure(),
        _ => Err("usage: mosaik-bench footprint | operators | transcode".into()),
    };
    match measured {
        Ok(report) => {
            report::print(&report);
            ExitCode::SUCCESS
        }
        Err(error) => {
            report::complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// The only place that prints.
mod report {
    #![expect(
        clippy::print_stdout,
        clippy::print_stderr,
        reason = "this program is there to print"
    )]

    pub(crate) fn print(text: &str) {
        print!("{text}");
    }

    pub(crate) fn complain(text: &str) {
        eprintln!("error: {text}");
    }
}
