//! Streams between two processes over loopback: this project, quinn alone, Mosaik and Zenoh.

use crate::{
    measure::{Bound, Case, Figure, Goal, Result, Row, Setting},
    peers,
    process::Process,
};

const RECORDS: &str = "records/s";
const BYTES: &str = "B/s";

/// Starts a producer, then a consumer with its address, and measures the received records. Returns records and bytes
/// per second, and the CPU seconds per second of both.
pub(super) fn measure(
    mut producer: Process,
    consumer: impl FnOnce(&str) -> Result<Process>,
) -> Result<Flow> {
    let addr = producer.says("ready")?;
    let mut consumer = consumer(&addr)?;
    consumer.says("began")?;
    let cpu = |producer: &Process, consumer: &Process| -> Result<_> {
        Ok(producer.cpu_time()? + consumer.cpu_time()?)
    };
    let (start, before) = (std::time::Instant::now(), cpu(&producer, &consumer)?);
    let ended = consumer.numbers("ended")?;
    let used = cpu(&producer, &consumer)?.saturating_sub(before);
    let rate = |at: usize| ended.get(at).copied().unwrap_or_default();
    Ok(Flow {
        datums: rate(0),
        bytes: rate(1),
        cpu: used.as_secs_f64() / start.elapsed().as_secs_f64(),
    })
}

/// The rates of a stream.
pub(super) struct Flow {
    pub(super) datums: f64,
    pub(super) bytes: f64,
    pub(super) cpu: f64,
}

/// This project on both sides.
pub(super) fn ours(setting: &Setting, produce: &[&str], consume: &[&str]) -> Result<Flow> {
    let seconds = setting.window.as_secs_f64().to_string();
    measure(Process::part([&["produce"], produce].concat())?, |addr| {
        Process::part([&["consume", addr, &seconds], consume].concat())
    })
}

fn quinn_alone(setting: &Setting) -> Result<f64> {
    let seconds = setting.window.as_secs_f64().to_string();
    let flow = measure(Process::part(["quinn-write"])?, |addr| {
        Process::part(["quinn-read", addr, &seconds])
    })?;
    Ok(flow.datums)
}

fn zenoh(setting: &Setting, over: &'static str) -> Result<f64> {
    let seconds = setting.window.as_secs_f64().to_string();
    let flow = measure(peers::zenoh(&["publish", over, "100"])?, |addr| {
        peers::zenoh(&["subscribe", addr, &seconds])
    })?;
    Ok(flow.datums)
}

/// Typed values, one by one.
pub(super) fn typed() -> Row {
    let (ours_is, zenoh_quic, zenoh_tcp) = ("ours, typed", "Zenoh over QUIC", "Zenoh over TCP");
    let cases = vec![
        Case::new(move |setting| {
            let flow = ours(setting, &["100", "--typed"], &["--typed"])?;
            Ok(Figure::alone(ours_is, RECORDS, flow.datums))
        }),
        Case::of_peers(move |setting| {
            Ok(Figure::alone(zenoh_quic, RECORDS, zenoh(setting, "quic")?))
        }),
        Case::of_peers(move |setting| {
            Ok(Figure::alone(zenoh_tcp, RECORDS, zenoh(setting, "tcp")?))
        }),
    ];
    let goals = vec![Goal::ratio(ours_is, zenoh_quic, Bound::AtLeast(1.2))];
    Row::new(
        "quic-typed",
        "a producer and a consumer of a type's values of 100 B, two processes, value by value",
        cases,
        goals,
    )
}

/// Batches of frames.
pub(super) fn frames() -> Row {
    let mut cases = vec![Case::new(|setting| {
        Ok(Figure::alone("quinn alone", BYTES, quinn_alone(setting)?))
    })];
    let mut goals = Vec::new();
    for (name, size) in [("100 B", "100"), ("1 KiB", "1024"), ("64 KiB", "65536")] {
        cases.push(Case::new(move |setting| {
            let flow = ours(setting, &[size], &[])?;
            let mut figures = Figure::alone(format!("ours, {name}"), BYTES, flow.bytes);
            if size == "100" {
                figures.push(Figure::new("ours, 100 B, in records", RECORDS, flow.datums));
            }
            Ok(figures)
        }));
        goals.push(Goal::ratio(
            format!("ours, {name}"),
            "quinn alone",
            Bound::AtLeast(0.8),
        ));
    }
    cases.push(Case::of_peers(|setting| {
        Ok(Figure::alone(
            "Zenoh over QUIC, 100 B",
            RECORDS,
            zenoh(setting, "quic")?,
        ))
    }));
    goals.push(Goal::ratio(
        "ours, 100 B, in records",
        "Zenoh over QUIC, 100 B",
        Bound::AtLeast(2.0),
    ));
    Row::new(
        "quic-frames",
        "a producer and a consumer of frames, two processes, in batches of 64 KiB, against quinn's bytes",
        cases,
        goals,
    )
}

/// This project and real Mosaik nodes, in either direction.
pub(super) fn mosaik() -> Row {
    let names = ["Mosaik to Mosaik", "ours to Mosaik", "Mosaik to ours"];
    let case = |name: &'static str, from_us: bool, to_us: bool| {
        Case::of_peers(move |setting| {
            let seconds = setting.window.as_secs_f64().to_string();
            let relay = peers::Relay::start()?;
            let producer = if from_us {
                Process::part(["produce", "100", "--typed"])?
            } else {
                peers::mosaik(&["produce", relay.url(), "100"])?
            };
            let flow = measure(producer, |addr| {
                if to_us {
                    Process::part(["consume", addr, &seconds, "--typed"])
                } else {
                    peers::mosaik(&["consume", relay.url(), addr, &seconds])
                }
            })?;
            Ok(Figure::alone(name, RECORDS, flow.datums))
        })
    };
    Row::new(
        "mosaik",
        "values of 100 B from and to real Mosaik 0.3.13 nodes",
        vec![
            case(names[0], false, false),
            case(names[1], true, false),
            case(names[2], false, true),
        ],
        vec![
            Goal::ratio(names[1], names[0], Bound::AtLeast(25.0)),
            Goal::ratio(names[2], names[0], Bound::AtLeast(1.0)),
        ],
    )
}

/// One producer, many consumers.
pub(super) fn fan_out() -> Row {
    let (mut cases, mut goals) = (Vec::new(), Vec::new());
    for count in ["1", "10", "100"] {
        cases.push(Case::new(move |setting| {
            let flow = ours(setting, &["1024"], &["--consumers", count])?;
            Ok(vec![
                Figure::new(
                    format!("{count} consumers"),
                    "B per CPU-s",
                    flow.bytes / flow.cpu,
                ),
                Figure::new(
                    format!("{count} consumers, all together"),
                    BYTES,
                    flow.bytes,
                ),
            ])
        }));
        if count != "1" {
            goals.push(Goal::ratio(
                format!("{count} consumers"),
                "1 consumers",
                Bound::AtLeast(0.7),
            ));
        }
    }
    Row::new(
        "fan-out",
        "records of 1 KiB to 1, 10 and 100 consumers, each with a connection of its own",
        cases,
        goals,
    )
}

/// One stalled consumer among ten.
pub(super) fn stalled() -> Row {
    let case = |name: &'static str, stalled: &'static str| {
        Case::new(move |setting| {
            let flow = ours(
                setting,
                &["1024", "--unhurried"],
                // Until the stalled one holds as much as it can.
                &["--consumers", "9", "--stalled", stalled, "--warm-up", "2"],
            )?;
            Ok(Figure::alone(name, BYTES, flow.bytes))
        })
    };
    let (nine, ten) = ("nine alone", "nine beside one that is stalled");
    Row::new(
        "stalled",
        "nine consumers beside a tenth that takes nothing, where the producer waits for nobody",
        vec![case(nine, "0"), case(ten, "1")],
        vec![Goal::ratio(ten, nine, Bound::AtLeast(0.95))],
    )
}
