//! The picture that `top` draws.

use ratatui::{
    Frame,
    crossterm::event::KeyCode,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Block, Cell, Paragraph, Row, Table},
};

use crate::{
    cli::{
        control::{
            figures::{rate, reasons, short, span},
            status::{channels, headline},
        },
        harmless,
    },
    topology::report::{EdgeStatus, Outcome, Reload, StageStatus, Status, StreamStatus},
};

/// Lines of reloads below the tables.
const RELOAD_LINES: u16 = 5;
/// Cells of a queue's bar.
const BAR: u64 = 10;

/// What is drawn, and from which line on.
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

    /// Draws this from now on, with rates since what was drawn before, unless the picture is held.
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
        let second = match &status.peer {
            None => "nothing is shared".to_owned(),
            Some(peer) => format!(
                "peer {peer} on {}, {} others known",
                status.listens.join(", "),
                status.peers.len()
            ),
        };
        vec![
            Line::styled(format!(" {}", harmless(&headline(status))), bold),
            Line::raw(format!(" {second}")),
        ]
    }

    /// The three tables as one long page, of which the part that was scrolled to is seen.
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
                0 => stages(&status.stages, hidden),
                1 => edges(&status.edges, hidden),
                _ => streams(&status.streams, hidden),
            };
            frame.render_widget(table, here);
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

fn title(text: &'static str) -> Line<'static> {
    Line::styled(
        format!(" {text}"),
        Style::new().fg(Color::Cyan).add_modifier(Modifier::BOLD),
    )
}

/// A table under its title, with its first lines out of sight.
fn table(
    name: &'static str,
    heading: &[&'static str],
    widths: &[Constraint],
    rows: Vec<Row<'static>>,
    hidden: usize,
) -> Table<'static> {
    let dim = Style::new().add_modifier(Modifier::DIM);
    let rows = rows.into_iter().skip(hidden.saturating_sub(2));
    let table = Table::new(rows, widths.to_vec()).column_spacing(2);
    let table = match hidden {
        0 | 1 => table.header(Row::new(heading.to_vec()).style(dim)),
        _ => table,
    };
    if hidden == 0 {
        table.block(Block::new().title(title(name)))
    } else {
        table
    }
}

/// As wide as the widest of these, so many cells at most.
fn widest<'t>(texts: impl Iterator<Item = &'t str>, most: usize) -> Constraint {
    let widest = texts.map(|text| text.chars().count()).max().unwrap_or(0);
    Constraint::Length(u16::try_from(widest.clamp(6, most)).unwrap_or(u16::MAX))
}

fn right(text: String) -> Cell<'static> {
    Cell::new(Line::raw(text).right_aligned())
}

fn dropped(text: String) -> Cell<'static> {
    if text == "-" {
        Cell::new(text)
    } else {
        Cell::new(text).style(Style::new().fg(Color::Yellow))
    }
}

fn stages(stages: &[StageStatus], hidden: usize) -> Table<'static> {
    let rows = stages.iter().map(|stage| {
        let style = match stage.state.as_str() {
            "running" => Style::new().fg(Color::Green),
            "failed" => Style::new().fg(Color::Red),
            _ => Style::new(),
        };
        let trouble = match &stage.reason {
            Some(reason) => harmless(reason).replace('\n', " "),
            None => reasons(&stage.missing()),
        };
        Row::new(vec![
            Cell::new(format!(" {}", stage.role)),
            Cell::new(stage.name.clone()),
            Cell::new(stage.state.clone()).style(style),
            right(rate(stage.rate_in)),
            right(rate(stage.rate_out)),
            right(short(stage.datums_in as f64)),
            right(short(stage.datums_out as f64)),
            dropped(trouble),
        ])
    });
    let heading = [
        " role",
        "name",
        "state",
        "     in/s",
        "    out/s",
        "       in",
        "      out",
        "dropped",
    ];
    let widths = [
        Constraint::Length(9),
        widest(stages.iter().map(|stage| stage.name.as_str()), 24),
        Constraint::Length(8),
        Constraint::Length(9),
        Constraint::Length(9),
        Constraint::Length(9),
        Constraint::Length(9),
        Constraint::Fill(1),
    ];
    table("STAGES", &heading, &widths, rows.collect(), hidden)
}

fn edges(edges: &[EdgeStatus], hidden: usize) -> Table<'static> {
    let names = edges.iter();
    let names = names.map(|edge| format!(" {} -> {}", edge.stream, edge.stage));
    let names: Vec<String> = names.collect();
    let rows = edges.iter().zip(&names).map(|(edge, name)| {
        Row::new(vec![
            Cell::new(name.clone()),
            state(edge.online),
            right(rate(edge.rate)),
            Cell::new(bar(edge.queued, edge.buffer_size)),
            Cell::new(channels(&edge.producers)),
            dropped(reasons(&edge.dropped)),
        ])
    });
    let heading = [
        " stream -> stage",
        "",
        "   taken/s",
        "queued",
        "from",
        "dropped",
    ];
    let widths = [
        widest(names.iter().map(String::as_str), 48),
        Constraint::Length(7),
        Constraint::Length(10),
        Constraint::Length(22),
        Constraint::Length(20),
        Constraint::Fill(1),
    ];
    table("EDGES", &heading, &widths, rows.collect(), hidden)
}

fn streams(streams: &[StreamStatus], hidden: usize) -> Table<'static> {
    let names: Vec<String> = streams
        .iter()
        .map(|stream| format!(" {}", stream.name))
        .collect();
    let rows = streams.iter().zip(&names).map(|(stream, name)| {
        let online = if stream.written {
            state(stream.online)
        } else {
            Cell::new("-")
        };
        Row::new(vec![
            Cell::new(name.clone()),
            online,
            right(rate(stream.rate)),
            right(short(stream.queued as f64)),
            right(short(stream.sent_remote as f64)),
            Cell::new(channels(&stream.consumers)),
            dropped(reasons(&stream.dropped)),
        ])
    });
    let heading = [
        " name",
        "",
        " written/s",
        "   queued",
        "     sent",
        "to",
        "dropped",
    ];
    let widths = [
        widest(names.iter().map(String::as_str), 40),
        Constraint::Length(7),
        Constraint::Length(10),
        Constraint::Length(9),
        Constraint::Length(9),
        Constraint::Length(20),
        Constraint::Fill(1),
    ];
    table("STREAMS", &heading, &widths, rows.collect(), hidden)
}

fn state(online: bool) -> Cell<'static> {
    let (text, color) = if online {
        ("online", Color::Green)
    } else {
        ("offline", Color::Yellow)
    };
    Cell::new(text).style(Style::new().fg(color))
}

/// `#####..... 512/1.0 k`.
fn bar(queued: u64, size: u64) -> String {
    let full = (queued * BAR).div_ceil(size.max(1)).min(BAR);
    let (full, empty) = (full as usize, (BAR - full) as usize);
    let bar = format!("{}{}", "#".repeat(full), ".".repeat(empty));
    format!("{bar} {}/{}", short(queued as f64), short(size as f64))
}

#[cfg(test)]
mod tests;
