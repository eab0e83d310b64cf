//! The cost and the savings of criteria.

use std::{hint::black_box, time::Instant};

use mosaik_streams::{Criteria, Encoding};

use super::quic::ours;
use crate::{
    measure::{Bound, Case, Figure, Goal, Row},
    part::throughput::batch,
};

const SIZE: usize = 200;

pub(super) fn row() -> Row {
    let (evaluated, all, selected) = (
        "evaluated on one core",
        "bytes a record, all",
        "bytes a record, one in ten wanted",
    );
    let cases = vec![
        Case::new(move |setting| {
            let criteria: Criteria = serde_json::from_str(r#"{"kind":0}"#)?;
            let selector = criteria.selector(&Encoding::Json)?;
            let batch = batch(SIZE, true);
            let (start, mut count) = (Instant::now(), 0);
            while start.elapsed() < setting.window {
                black_box(selector.select(black_box(&batch)));
                count += batch.count();
            }
            Ok(Figure::alone(
                evaluated,
                "records/s",
                count as f64 / start.elapsed().as_secs_f64(),
            ))
        }),
        Case::new(move |setting| {
            let size = SIZE.to_string();
            let whole = ours(setting, &[&size, "--json"], &[])?;
            let part = ours(setting, &[&size, "--json"], &["--select"])?;
            Ok(vec![
                Figure::new("flows, all", "records/s", whole.datums),
                Figure::new(
                    "looked at, one in ten wanted",
                    "records/s",
                    part.datums * 10.0,
                ),
                Figure::new(all, "B", whole.bytes / whole.datums),
                Figure::new(selected, "B", part.bytes / (part.datums * 10.0)),
            ])
        }),
    ];
    let goals = vec![
        Goal::alone(evaluated, Bound::AtLeast(2e6)),
        Goal::ratio(all, selected, Bound::AtLeast(9.9)),
    ];
    Row::new(
        "criteria",
        "criteria that select one in ten of JSON objects of 200 B, at the producer",
        cases,
        goals,
    )
}
