//! `mosaik-runner tap`.

use std::io::{self, BufWriter, IsTerminal as _};

use clap::Args;
use mosaik_streams::Criteria;

use super::NodeArgs;
use crate::{
    cli::{Exit, print_stderr, printable},
    control::{ANSWER_TIME_MAX, Answer, AskError, Form, Found, Request, Shown},
    manifest::parse_criteria,
};

/// Print the records of a stream of a running node as they flow, one per line.
///
/// A tap never slows the pipeline: it misses the records that it does not read in time, and reports their number on
/// stderr. It continues across reloads, until Ctrl-C or --limit. A binary record is printed in base64 with a leading `=`;
/// a record above the size limit, as its beginning and its length. On a terminal, control characters are escaped, as in
/// `\u001b`. The node closes a tap that reads nothing for 30 s.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  mosaik-runner tap prices pipeline.yaml\n  mosaik-runner tap prices --where '{symbol: ETH, price: {gte: 3000}}' --limit 10"
)]
pub(in crate::cli) struct TapArgs {
    /// Name of the stream in the manifest.
    stream: String,
    #[command(flatten)]
    node: NodeArgs,
    /// Print only records that match these criteria, written as in a manifest, like `{city: Oslo}`. Default: all records.
    #[arg(long = "where", value_name = "CRITERIA")]
    criteria: Option<String>,
    /// Exit after N records. Default: no limit.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

pub(in crate::cli) fn run(args: &TapArgs, colored: bool) -> anyhow::Result<Exit> {
    let criteria = match args.criteria.as_deref().map(parse_criteria) {
        None => Criteria::default(),
        Some(Ok(criteria)) => criteria,
        Some(Err(mistakes)) => {
            print_stderr(mistakes.render(colored).trim_end());
            return Ok(Exit::Mistakes);
        }
    };
    let mut found = args.node.find()?;
    let mut answer = found.client.ask(&Request::Tap {
        stream: args.stream.clone(),
        criteria,
        limit: args.limit,
    });
    let escaped = io::stdout().is_terminal();
    let mut stdout = BufWriter::new(io::stdout().lock());
    let mut missed_before = 0;
    loop {
        match answer {
            Ok(Answer::Tapped { datums, missed }) => {
                match show(&mut stdout, &datums, escaped) {
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                        return Ok(Exit::Success);
                    }
                    shown => shown?,
                }
                if missed > missed_before {
                    print_stderr(&format!(
                        "missed {} records: they arrived faster than they were printed",
                        missed - missed_before
                    ));
                    missed_before = missed;
                }
            }
            Ok(Answer::Waiting) => print_stderr(&format!(
                "stream {} is not running; waiting for it",
                args.stream
            )),
            Ok(Answer::Done) => return Ok(Exit::Success),
            Ok(_) => return Err(AskError::Unexpected.into()),
            Err(AskError::Gone) => {
                let lives = |again: Found| again.hello.pid == found.hello.pid;
                anyhow::ensure!(
                    !args.node.find().is_ok_and(lives),
                    "the node has closed the connection: nothing was read for {ANSWER_TIME_MAX:?}"
                );
                print_stderr("the node has stopped");
                return Ok(Exit::Success);
            }
            Err(error) => return Err(error.into()),
        }
        answer = found.client.more();
    }
}

/// Writes each record as a line. With `escaped`, control characters that could affect a terminal are escaped.
fn show(out: &mut impl io::Write, datums: &[Shown], escaped: bool) -> io::Result<()> {
    for Shown { form, bytes } in datums {
        match form {
            Form::Text(text) if escaped => write!(out, "{}", printable(text))?,
            Form::Text(text) => write!(out, "{text}")?,
            Form::Base64(text) => write!(out, "={text}")?,
        }
        match bytes {
            Some(bytes) => writeln!(out, "… ({bytes} bytes)")?,
            None => writeln!(out)?,
        }
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_record_is_one_line_and_a_cut_one_shows_its_length() {
        let text = |text: &str, bytes| Shown {
            form: Form::Text(text.into()),
            bytes,
        };
        let binary = Shown {
            form: Form::Base64("/w==".into()),
            bytes: Some(7),
        };
        let mut lines = Vec::new();
        let shown = [text("a", None), text("b", Some(9)), binary];
        show(&mut lines, &shown, false).unwrap();
        assert_eq!(
            String::from_utf8(lines).unwrap(),
            "a\nb… (9 bytes)\n=/w==… (7 bytes)\n"
        );
    }

    #[test]
    fn control_characters_are_escaped_on_a_terminal_only() {
        let steering = [Shown {
            form: Form::Text("é\u{1b}[2J\ta\r\n\u{9b}1m\u{7f}".into()),
            bytes: None,
        }];
        for (escaped, expected) in [
            (true, "é\\u001b[2J\ta\\u000d\\u000a\\u009b1m\\u007f\n"),
            (false, "é\u{1b}[2J\ta\r\n\u{9b}1m\u{7f}\n"),
        ] {
            let mut lines = Vec::new();
            show(&mut lines, &steering, escaped).unwrap();
            assert_eq!(String::from_utf8(lines).unwrap(), expected);
        }
    }
}
