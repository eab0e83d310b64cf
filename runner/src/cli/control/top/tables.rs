//! The tables of `top`, and the columns that they omit on narrow terminals.

use ratatui::{
    layout::Constraint,
    style::{Color, Modifier, Style},
    text::Line,
    widgets::{Block, Cell, Row, Table},
};

use super::screen::title;
use crate::{
    cli::{
        control::{
            figures::{rate, reasons, short},
            status::channels,
        },
        harmless,
    },
    topology::report::{EdgeStatus, StageStatus, StreamStatus},
};

/// Width of a queue's bar, in cells.
const BAR: u64 = 10;
/// Space between two columns, in cells.
const SPACING: u16 = 1;
/// Minimum width of a name on a narrow terminal, in cells.
const NAME_MIN: u16 = 8;
/// Width that the reason of a failure may take from other columns, in cells.
const REASON_MAX: usize = 24;

/// A column of a table.
struct Column {
    heading: &'static str,
    /// The width of its content, in cells.
    width: u16,
    /// Order of omission on a narrow terminal: the lowest rank first, [`ALWAYS`] never.
    rank: u8,
    cells: Vec<Cell<'static>>,
}

/// The rank of a column that is never omitted.
const ALWAYS: u8 = u8::MAX;

/// A table that selects its columns by the available width. The first column with rank [`ALWAYS`] may be truncated; the
/// last one takes the remaining width.
pub(super) struct Columns {
    name: &'static str,
    all: Vec<Column>,
    rows: usize,
}

impl Columns {
    fn new(name: &'static str, rows: usize) -> Self {
        Self {
            name,
            all: Vec::new(),
            rows,
        }
    }

    /// Adds a left-aligned column, as wide as its widest text but at most `most` cells.
    fn left(mut self, heading: &'static str, rank: u8, most: usize, texts: Vec<String>) -> Self {
        let width = widest(heading, &texts, most);
        let cells = texts.into_iter().map(Cell::new).collect();
        self.all.push(Column {
            heading,
            width,
            rank,
            cells,
        });
        self
    }

    /// Adds a right-aligned column of numbers.
    fn right(mut self, heading: &'static str, rank: u8, texts: Vec<String>) -> Self {
        let width = widest(heading, &texts, usize::MAX);
        let cells = texts.into_iter();
        let cells = cells.map(|text| Cell::new(Line::raw(text).right_aligned()));
        self.all.push(Column {
            heading,
            width,
            rank,
            cells: cells.collect(),
        });
        self
    }

    /// Adds the column of dropped records, in yellow if there are any.
    fn dropped(self, most: usize, texts: Vec<String>) -> Self {
        let color = |text: &String| match text.as_str() {
            "-" => Style::new(),
            _ => Style::new().fg(Color::Yellow),
        };
        let colors: Vec<_> = texts.iter().map(color).collect();
        self.left("dropped", ALWAYS, most, texts)
            .styled(colors.into_iter())
    }

    /// Sets the styles of the last column's cells.
    fn styled(mut self, styles: impl Iterator<Item = Style>) -> Self {
        if let Some(column) = self.all.last_mut() {
            let cells = std::mem::take(&mut column.cells).into_iter();
            column.cells = cells
                .zip(styles)
                .map(|(cell, style)| cell.style(style))
                .collect();
        }
        self
    }

    /// Returns the total width of the columns, in cells.
    fn width(&self) -> u16 {
        let widths = self.all.iter().map(|column| column.width);
        let between = u16::try_from(self.all.len())
            .unwrap_or(u16::MAX)
            .saturating_sub(1);
        widths.fold(between.saturating_mul(SPACING), u16::saturating_add)
    }

    /// Fits the table into this width. The first `hidden` lines are scrolled out of view.
    pub(super) fn fitted(mut self, width: u16, hidden: usize) -> Table<'static> {
        while self.width() > width {
            let ranks = self.all.iter().map(|column| column.rank);
            let Some(rank) = ranks.min().filter(|rank| *rank != ALWAYS) else {
                break;
            };
            // Truncate a name before omitting a column that contains more than a number.
            let over = self.width() - width;
            let name = self.all.iter_mut().find(|column| column.rank == ALWAYS);
            if let Some(name) = name.filter(|name| name.width.saturating_sub(over) >= NAME_MIN * 2)
            {
                name.width -= over;
                break;
            }
            self.all.retain(|column| column.rank != rank);
        }
        let over = self.width().saturating_sub(width);
        if let Some(name) = self.all.iter_mut().find(|column| column.rank == ALWAYS) {
            name.width = name
                .width
                .saturating_sub(over)
                .max(NAME_MIN.min(name.width));
        }
        self.table(hidden)
    }

    fn table(self, hidden: usize) -> Table<'static> {
        let dim = Style::new().add_modifier(Modifier::DIM);
        let last = self.all.len().saturating_sub(1);
        let widths = self.all.iter().enumerate().map(|(index, column)| {
            if index == last {
                Constraint::Min(column.width)
            } else {
                Constraint::Length(column.width)
            }
        });
        let widths: Vec<_> = widths.collect();
        let headings: Vec<_> = self.all.iter().map(|column| column.heading).collect();
        let mut cells: Vec<_> = self
            .all
            .into_iter()
            .map(|column| column.cells.into_iter())
            .collect();
        let rows = (0..self.rows).map(|_| {
            Row::new(
                cells
                    .iter_mut()
                    .filter_map(Iterator::next)
                    .collect::<Vec<_>>(),
            )
        });
        let rows: Vec<_> = rows.skip(hidden.saturating_sub(2)).collect();
        let table = Table::new(rows, widths).column_spacing(SPACING);
        let table = match hidden {
            0 | 1 => table.header(Row::new(headings).style(dim)),
            _ => table,
        };
        if hidden == 0 {
            table.block(Block::new().title(title(self.name)))
        } else {
            table
        }
    }
}

fn widest(heading: &str, texts: &[String], most: usize) -> u16 {
    let widths = texts.iter().map(|text| text.chars().count().min(most));
    let widest = widths.max().unwrap_or(0).max(heading.chars().count());
    u16::try_from(widest).unwrap_or(u16::MAX)
}

/// Returns the texts of a column.
fn texts<T>(rows: &[T], text: impl Fn(&T) -> String) -> Vec<String> {
    rows.iter().map(text).collect()
}

pub(super) fn stages(stages: &[StageStatus]) -> Columns {
    let state = stages.iter().map(|stage| match stage.state.as_str() {
        "running" => Style::new().fg(Color::Green),
        "failed" => Style::new().fg(Color::Red),
        _ => Style::new(),
    });
    let dropped = texts(stages, |stage| match &stage.reason {
        Some(reason) => harmless(reason).replace('\n', " "),
        None => reasons(&stage.missing()),
    });
    let claimed = stages.iter().zip(&dropped).map(|(stage, text)| {
        let length = text.chars().count();
        if stage.reason.is_some() {
            length.min(REASON_MAX)
        } else {
            length
        }
    });
    let claimed = claimed.max().unwrap_or(0);
    Columns::new("STAGES", stages.len())
        .left(
            " role",
            3,
            9,
            texts(stages, |stage| format!(" {}", stage.role)),
        )
        .left(
            "name",
            ALWAYS,
            24,
            texts(stages, |stage| stage.name.clone()),
        )
        .left("state", 6, 8, texts(stages, |stage| stage.state.clone()))
        .styled(state)
        .right("    in/s", 4, texts(stages, |stage| rate(stage.rate_in)))
        .right("   out/s", 5, texts(stages, |stage| rate(stage.rate_out)))
        .right(
            "     in",
            1,
            texts(stages, |stage| short(stage.datums_in as f64)),
        )
        .right(
            "    out",
            2,
            texts(stages, |stage| short(stage.datums_out as f64)),
        )
        .dropped(claimed, dropped)
}

pub(super) fn edges(edges: &[EdgeStatus]) -> Columns {
    Columns::new("EDGES", edges.len())
        .left(
            " stream -> stage",
            ALWAYS,
            48,
            texts(edges, |edge| format!(" {} -> {}", edge.stream, edge.stage)),
        )
        .left("", 3, 7, texts(edges, |edge| online(edge.online)))
        .styled(edges.iter().map(|edge| color(edge.online)))
        .right(" taken/s", 4, texts(edges, |edge| rate(edge.rate)))
        .left(
            "queued",
            2,
            22,
            texts(edges, |edge| bar(edge.queued, edge.buffer_size)),
        )
        .left(
            "from",
            1,
            20,
            texts(edges, |edge| channels(&edge.producers)),
        )
        .dropped(usize::MAX, texts(edges, |edge| reasons(&edge.dropped)))
}

pub(super) fn streams(streams: &[StreamStatus]) -> Columns {
    let state = streams.iter().map(|stream| {
        if stream.written {
            color(stream.online)
        } else {
            Style::new()
        }
    });
    Columns::new("STREAMS", streams.len())
        .left(
            " name",
            ALWAYS,
            40,
            texts(streams, |stream| format!(" {}", stream.name)),
        )
        .left(
            "",
            3,
            7,
            texts(streams, |stream| {
                if stream.written {
                    online(stream.online)
                } else {
                    "-".to_owned()
                }
            }),
        )
        .styled(state)
        .right(" written/s", 5, texts(streams, |stream| rate(stream.rate)))
        .right(
            "  queued",
            4,
            texts(streams, |stream| short(stream.queued as f64)),
        )
        .right(
            "    sent",
            1,
            texts(streams, |stream| short(stream.sent_remote as f64)),
        )
        .left(
            "to",
            2,
            20,
            texts(streams, |stream| channels(&stream.consumers)),
        )
        .dropped(
            usize::MAX,
            texts(streams, |stream| reasons(&stream.dropped)),
        )
}

fn online(online: bool) -> String {
    crate::cli::control::status::online(online).to_owned()
}

const fn color(online: bool) -> Style {
    Style::new().fg(if online { Color::Green } else { Color::Yellow })
}

/// Formats the fill level of a queue: `#####..... 512/1.0 k`.
fn bar(queued: u64, size: u64) -> String {
    let full = (queued * BAR).div_ceil(size.max(1)).min(BAR);
    let (full, empty) = (full as usize, (BAR - full) as usize);
    let bar = format!("{}{}", "#".repeat(full), ".".repeat(empty));
    format!("{bar} {}/{}", short(queued as f64), short(size as f64))
}
