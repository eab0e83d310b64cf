//! The screen of `top`.

use ratatui::{
    Frame,
    crossterm::event::KeyCode,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::Paragraph,
};

use super::tables::{edges, stages, streams};
use crate::{
    cli::{
        control::{checkpoints::last_checkpoint, figures::span, status::headline},
        harmless,
    },
    topology::report::{Outcome, Reload, Status},
};

/// Number of lines for reloads below the tables.
const RELOAD_LINES: u16 = 5;

/// The displayed status and the scroll position.
pub(super) struct Screen {
    status: Status,
    scrolled: u16,
    held: bool,
}

impl Screen {
    pub(super) const fn new(status: Status) -> Self {
        Self {
            status,
            scrolled: 0,
            held: false,
        }
    }

    /// Replaces the displayed status, with rates relative to the previous one, unless the screen is frozen.
    pub(super) fn show(&mut self, mut status: Status) {
        if !self.held {
            status.measure(&self.status);
            self.status = status;
        }
    }

    pub(super) fn press(&mut self, key: KeyCode) {
        self.scrolled = match key {
            KeyCode::Up => self.scrolled.saturating_sub(1),
            KeyCode::Down => self.scrolled.saturating_add(1),
            KeyCode::PageUp => self.scrolled.saturating_sub(10),
            KeyCode::PageDown => self.scrolled.saturating_add(10),
            KeyCode::Home => 0,
            KeyCode::Char(' ') => {
                self.held = !self.held;
                self.scrolled
            }
            _ => self.scrolled,
        };
    }

    pub(super) fn draw(&mut self, frame: &mut Frame<'_>) {
        let [head, body, reloads, foot] = Layout::vertical([
            Constraint::Length(2),
            Constraint::Min(0),
            Constraint::Length(RELOAD_LINES + 1),
            Constraint::Length(1),
        ])
        .areas(frame.area());
        frame.render_widget(Paragraph::new(self.heading()), head);
        self.tables(frame, body);
        frame.render_widget(self.reloads(), reloads);
        let still = if self.held { "  (held)" } else { "" };
        let keys = format!(" q ends   arrows scroll   Space holds{still}");
        let keys = Line::styled(keys, Style::new().add_modifier(Modifier::DIM));
        frame.render_widget(keys, foot);
    }

    fn heading(&self) -> Vec<Line<'static>> {
        let status = &self.status;
        let bold = Style::new().add_modifier(Modifier::BOLD);
        let mut second = match &status.peer {
            None => "nothing is shared".to_owned(),
            Some(peer) => format!(
                "peer {peer} on {}, {} others known",
                status.listens.join(", "),
                status.peers.len()
            ),
        };
        if let Some(checkpoint) = &status.checkpoint {
            second = format!("{}; {second}", last_checkpoint(checkpoint));
        }
        vec![
            Line::styled(format!(" {}", harmless(&headline(status))), bold),
            Line::raw(format!(" {second}")),
        ]
    }

    /// Draws the three tables as one long page, from the scroll position on.
    fn tables(&mut self, frame: &mut Frame<'_>, area: Rect) {
        let status = &self.status;
        let mut left = area;
        let mut skip = self.scrolled;
        let sizes = [
            status.stages.len(),
            status.edges.len(),
            status.streams.len(),
        ];
        let page: usize = sizes.iter().map(|rows| rows + 2).sum();
        let most = u16::try_from(page)
            .unwrap_or(u16::MAX)
            .saturating_sub(area.height);
        self.scrolled = self.scrolled.min(most);
        skip = skip.min(most);
        for (index, rows) in sizes.into_iter().enumerate() {
            let height = u16::try_from(rows).unwrap_or(u16::MAX).saturating_add(2);
            let hidden = skip.min(height);
            skip -= hidden;
            let seen = (height - hidden).min(left.height);
            if seen == 0 {
                continue;
            }
            let here = Rect {
                height: seen,
                ..left
            };
            left.y += seen;
            left.height -= seen;
            let hidden = usize::from(hidden);
            let table = match index {
                0 => stages(&status.stages),
                1 => edges(&status.edges),
                _ => streams(&status.streams),
            };
            frame.render_widget(table.fitted(area.width, hidden), here);
        }
    }

    fn reloads(&self) -> Paragraph<'static> {
        let mut lines = vec![title("RELOADS")];
        let newest = self.status.reloads.iter().rev();
        lines.extend(
            newest
                .take(usize::from(RELOAD_LINES))
                .map(|reload| self.reload(reload)),
        );
        if lines.len() == 1 {
            lines.push(Line::raw(" none yet"));
        }
        Paragraph::new(lines)
    }

    fn reload(&self, reload: &Reload) -> Line<'static> {
        let color = match reload.outcome {
            Outcome::Applied => Color::Green,
            Outcome::Unchanged => Color::Reset,
            Outcome::Refused | Outcome::Incomplete => Color::Red,
        };
        let ago = span(self.status.uptime_ms.saturating_sub(reload.at_ms));
        let text = harmless(&reload.text);
        let first = text.lines().next().unwrap_or_default().to_owned();
        Line::from(vec![
            Span::raw(format!(" {ago:>7} ago  ")),
            Span::styled(first, Style::new().fg(color)),
        ])
    }
}

pub(super) fn title(text: &'static str) -> Line<'static> {
    Line::styled(
        format!(" {text}"),
        Style::new().fg(Color::Cyan).add_modifier(Modifier::BOLD),
    )
}

#[cfg(test)]
mod tests;
