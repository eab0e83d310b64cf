//! All measurements, by subject.

mod criteria;
mod graph;
mod idle;
mod latency;
mod local;
mod memory;
pub(crate) mod operators;
mod quic;
mod start;
mod transcode;
mod waiting;

use crate::measure::Row;

/// All rows, in the order in which they are shown.
pub(crate) fn all() -> Vec<Row> {
    vec![
        quic::typed(),
        quic::frames(),
        quic::mosaik(),
        quic::fan_out(),
        quic::stalled(),
        latency::row(),
        local::frames(),
        local::typed(),
        graph::file_to_file(),
        graph::chain(),
        criteria::row(),
        operators::call(),
        operators::jq(),
        operators::compiling(),
        transcode::row(),
        idle::row(),
        waiting::row(),
        start::row(),
        memory::row(),
    ]
}
