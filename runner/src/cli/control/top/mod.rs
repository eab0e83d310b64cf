//! `mosaik-runner top`.

mod screen;
mod tables;

use std::{
    io::{self, IsTerminal as _},
    time::{Duration, Instant},
};

use clap::Args;
use ratatui::{
    DefaultTerminal,
    crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers},
};

use self::screen::Screen;
use super::NodeArgs;
use crate::{
    cli::{Exit, print_stderr},
    control::{AskError, Client},
};

/// Interval between requests to the node: 1 s.
const INTERVAL: Duration = Duration::from_secs(1);

/// Show stages, subscriptions, rates, queues, drops and reloads of a running node, updated live.
///
/// Keys: q, Esc or Ctrl-C quits; the arrow keys, Page Up and Page Down scroll; Space freezes the screen.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mosaik-runner top pipeline.yaml")]
pub(in crate::cli) struct TopArgs {
    #[command(flatten)]
    node: NodeArgs,
}

pub(in crate::cli) fn run(args: &TopArgs) -> anyhow::Result<Exit> {
    let mut found = args.node.find()?;
    anyhow::ensure!(
        io::stdout().is_terminal(),
        "top requires a terminal; `status` prints the same once"
    );
    let mut terminal = ratatui::try_init()?;
    let ended = watch(&mut terminal, &mut found.client);
    ratatui::try_restore()?;
    match ended {
        Ok(()) => Ok(Exit::Success),
        Err(End::Node(AskError::Gone)) => {
            print_stderr("the node has stopped");
            Ok(Exit::Success)
        }
        Err(End::Node(error)) => Err(error.into()),
        Err(End::Terminal(error)) => Err(error.into()),
    }
}

/// The reason that the display ended without a key press.
enum End {
    Node(AskError),
    Terminal(io::Error),
}

impl From<AskError> for End {
    fn from(error: AskError) -> Self {
        Self::Node(error)
    }
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Terminal(error)
    }
}

fn watch(terminal: &mut DefaultTerminal, client: &mut Client) -> Result<(), End> {
    let mut screen = Screen::new(client.status(0)?);
    let mut asked = Instant::now();
    loop {
        terminal.draw(|frame| screen.draw(frame))?;
        let left = INTERVAL.saturating_sub(asked.elapsed());
        if event::poll(left)? {
            match event::read()? {
                Event::Key(key) if key.kind != KeyEventKind::Release && ends(key) => return Ok(()),
                Event::Key(key) if key.kind != KeyEventKind::Release => screen.press(key.code),
                // Any event, such as a resize, redraws the screen.
                _ => {}
            }
            continue;
        }
        asked = Instant::now();
        screen.show(client.status(0)?);
    }
}

/// Returns whether a key ends the display.
fn ends(key: KeyEvent) -> bool {
    matches!(key.code, KeyCode::Char('q') | KeyCode::Esc)
        || (key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL))
}
