//! The cost of idle streams.

use std::time::Duration;

use crate::{
    measure::{Bound, Case, Figure, Goal, Result, Row, Setting},
    process::Process,
};

const COUNTS: [usize; 4] = [1, 10, 100, 1000];
/// The time for startup work to finish.
const SETTLE: Duration = Duration::from_secs(3);
/// The interval of keep-alives, which are included once per connection.
const KEPT_ALIVE_EVERY: Duration = Duration::from_secs(10);

fn measure(setting: &Setting, streams: usize) -> Result<Vec<Figure>> {
    let count = streams.to_string();
    let mut offering = Process::part(["offer", &count])?;
    let addr = offering.says("ready")?;
    let mut subscribing = Process::part(["subscribe", &addr, &count])?;
    offering.says("began")?;
    subscribing.says("began")?;
    std::thread::sleep(SETTLE);
    let window = setting.window.max(KEPT_ALIVE_EVERY);
    let both = |what: &dyn Fn(&Process) -> Result<f64>| {
        Ok::<_, Box<dyn std::error::Error>>(what(&offering)? + what(&subscribing)?)
    };
    let cpu = |process: &Process| Ok(process.cpu_time()?.as_secs_f64());
    let before = both(&cpu)?;
    std::thread::sleep(window);
    let used = both(&cpu)? - before;
    let kib = both(&|process| Ok(process.resident_kib()? as f64))?;
    Ok(vec![
        Figure::new(
            format!("{streams} streams, CPU"),
            "ms/s",
            used * 1e3 / window.as_secs_f64(),
        ),
        Figure::new(format!("{streams} streams, memory of both"), "KiB", kib),
    ])
}

pub(super) fn row() -> Row {
    let case = Case::new(|setting| {
        let mut all = Vec::new();
        for streams in COUNTS {
            all.extend(measure(setting, streams)?);
        }
        let memory: Vec<f64> = all
            .iter()
            .filter(|figure| figure.unit == "KiB")
            .map(|figure| figure.value)
            .collect();
        if let [few, .., many] = memory[..] {
            // Each stream has an end in either process.
            let each = (many - few) / (COUNTS[3] - COUNTS[0]) as f64 / 2.0;
            all.push(Figure::new(
                "memory of a stream, in either process",
                "KiB",
                each,
            ));
        }
        Ok(all)
    });
    let inside = Case::new(|setting| {
        let measure = |streams: usize| -> Result<(f64, f64)> {
            let mut process = Process::part(["inside", &streams.to_string()])?;
            process.says("began")?;
            std::thread::sleep(SETTLE / 3);
            let before = process.cpu_time()?;
            std::thread::sleep(setting.window);
            let used = process.cpu_time()?.saturating_sub(before);
            Ok((
                process.resident_kib()? as f64,
                used.as_secs_f64() * 1e3 / setting.window.as_secs_f64(),
            ))
        };
        let ((few, _), (many, cpu)) = (measure(COUNTS[0])?, measure(COUNTS[3])?);
        let each = (many - few) / (COUNTS[3] - COUNTS[0]) as f64;
        Ok(vec![
            Figure::new("1000 streams within a node, CPU", "ms/s", cpu),
            Figure::new("memory of a stream within a node", "KiB", each),
        ])
    });
    Row::new(
        "idle",
        "streams on which nothing is sent, each subscribed to, over QUIC and within a node",
        vec![case, inside],
        vec![
            Goal::alone("memory of a stream within a node", Bound::AtMost(32.0)),
            Goal::alone("1000 streams within a node, CPU", Bound::AtMost(1.0)),
            Goal::alone("memory of a stream, in either process", Bound::AtMost(32.0)),
            Goal::alone("1000 streams, CPU", Bound::AtMost(10.0)),
        ],
    )
    .at_most(1)
}
