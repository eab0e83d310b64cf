//! The round trip of a record between two processes.

use crate::{
    measure::{Bound, Case, Figure, Goal, Result, Row, Setting},
    peers,
    process::Process,
};

fn figures(
    who: &str,
    mut echo: Process,
    ping: impl FnOnce(&str) -> Result<Process>,
) -> Result<Vec<Figure>> {
    let addr = echo.says("ready")?;
    let waits = ping(&addr)?.numbers("ended")?;
    let figure = |which: &str, at: usize| {
        let wait = waits.get(at).copied().unwrap_or(f64::NAN);
        Figure::new(format!("{who}, {which}"), "µs", wait)
    };
    Ok(vec![figure("p50", 0), figure("p99", 1)])
}

fn seconds(setting: &Setting) -> String {
    setting.window.as_secs_f64().to_string()
}

pub(super) fn row() -> Row {
    let cases = vec![
        Case::new(|setting| {
            figures("ours", Process::part(["echo"])?, |addr| {
                Process::part(["ping", addr, &seconds(setting)])
            })
        }),
        Case::new(|setting| {
            figures("quinn alone", Process::part(["quinn-echo"])?, |addr| {
                Process::part(["quinn-ping", addr, &seconds(setting)])
            })
        }),
        Case::of_peers(|setting| {
            let relay = peers::Relay::start()?;
            figures("Mosaik", peers::mosaik(&["echo", relay.url()])?, |addr| {
                peers::mosaik(&["ping", relay.url(), addr, &seconds(setting)])
            })
        }),
    ];
    let goals = ["p50", "p99"].into_iter().flat_map(|which| {
        let ours = format!("ours, {which}");
        [
            Goal::ratio(&ours, format!("quinn alone, {which}"), Bound::AtMost(1.3)),
            Goal::ratio(&ours, format!("Mosaik, {which}"), Bound::AtMost(1.0)),
        ]
    });
    let goals = goals.collect();
    Row::new(
        "latency",
        "100 B there and 100 B back, value by value, over two streams",
        cases,
        goals,
    )
}
