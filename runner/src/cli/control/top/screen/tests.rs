//! The contents of the screen, on an in-memory terminal.

use std::collections::BTreeMap;

use ratatui::{Terminal, backend::TestBackend};

use super::*;
use crate::{
    graph::Deliveries,
    stage::Inputs,
    topology::report::{ChannelStatus, EdgeStatus, StageStatus, StreamStatus},
};

fn status() -> Status {
    let channel = |peer: Option<&str>| ChannelStatus {
        peer: peer.map(str::to_owned),
        peer_name: None,
        state: "connected".into(),
        silent_ms: None,
        connection: 1,
        datums: 10,
        consumers: 1,
    };
    let stage = |role: &str, name: &str, count: u64| StageStatus {
        role: role.into(),
        name: name.into(),
        state: "running".into(),
        reason: None,
        datums_in: count,
        datums_out: count,
        bytes_in: 0,
        bytes_out: 0,
        inputs: Inputs::default(),
        dropped: BTreeMap::new(),
        lost: 0,
        counters: BTreeMap::new(),
        dead_letters: 0,
        restarts: 0,
        rate_in: None,
        rate_out: None,
    };
    let mut rejecting = stage("operator", "mean", 48_000);
    rejecting.dropped.insert("rejected".into(), 12);
    let edge = |stage: &str, stream: &str, queued| EdgeStatus {
        stage: stage.into(),
        port: 0,
        stream: stream.into(),
        online: true,
        datums: 48_000,
        filtered: 0,
        dropped: BTreeMap::new(),
        queued,
        queued_bytes: 0,
        buffer_size: 1024,
        buffer_bytes: 0,
        producers: vec![channel(None)],
        rate: None,
    };
    Status {
        version: "0.1.0".into(),
        pid: 4711,
        manifest: "/srv/weather/pipeline.yaml".into(),
        name: None,
        generation: 3,
        uptime_ms: 61_000,
        window_ms: 0,
        peer: None,
        listens: vec![],
        stages: vec![
            stage("producer", "sensors", 50_000),
            rejecting,
            stage("consumer", "file", 480),
        ],
        edges: vec![
            edge("operator mean", "raw", 512),
            edge("consumer file", "means", 0),
        ],
        streams: vec![StreamStatus {
            name: "raw".into(),
            scope: "node".into(),
            written: true,
            online: true,
            datums: 50_000,
            sent_remote: 0,
            redelivered: 0,
            unconfirmed: 0,
            dropped: BTreeMap::new(),
            queued: 3,
            log: None,
            consumers: vec![channel(None), channel(Some("abc"))],
            rate: None,
        }],
        peers: vec![],
        checkpoint: None,
        delivery: Deliveries::default(),
        problems: vec![],
        reloads: vec![
            Reload::refused(
                20_000,
                2,
                None,
                "error: unknown stream `menas`\n --> 3".into(),
            ),
            Reload {
                outcome: Outcome::Applied,
                ..Reload::refused(
                    30_000,
                    3,
                    None,
                    "generation 3: swap operator mean (config); 2 stages kept".into(),
                )
            },
        ],
    }
}

fn drawn(screen: &mut Screen, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| screen.draw(frame)).unwrap();
    terminal.backend().to_string()
}

#[test]
fn the_screen_shows_rates_queues_drops_and_reloads() {
    let mut screen = Screen::new(status());
    let mut later = status();
    later.uptime_ms += 1000;
    later.stages[1].datums_in += 2500;
    later.edges[0].datums += 2500;
    screen.show(later);
    let picture = drawn(&mut screen, 120, 24);
    for part in [
        "pipeline.yaml, generation 3, up 1m 2s",
        "2.5 k/s",
        "12 rejected",
        "raw -> operator mean",
        "#####..... 512/1.0 k",
        "1 here, 1 remote",
        "32.0s ago  generation 3: swap operator mean (config)",
        "42.0s ago  error: unknown stream `menas`",
    ] {
        assert!(picture.contains(part), "{part} is missing:\n{picture}");
    }
}

#[test]
fn the_screen_fits_any_size_and_scrolls_to_the_end() {
    let mut screen = Screen::new(status());
    for (width, height) in [(1, 1), (20, 5), (80, 12), (300, 100)] {
        drawn(&mut screen, width, height);
    }
    assert!(!drawn(&mut screen, 100, 14).contains("STREAMS"));
    for _ in 0..50 {
        screen.press(KeyCode::Down);
    }
    let end = drawn(&mut screen, 100, 14);
    assert!(
        end.contains("STREAMS") && end.contains("1 here, 1 remote"),
        "{end}"
    );
    screen.press(KeyCode::Home);
    assert!(drawn(&mut screen, 100, 14).contains("STAGES"));
}

#[test]
fn a_frozen_screen_does_not_change() {
    let mut screen = Screen::new(status());
    screen.press(KeyCode::Char(' '));
    let before = drawn(&mut screen, 100, 30);
    let mut later = status();
    later.generation = 9;
    screen.show(later);
    assert_eq!(drawn(&mut screen, 100, 30), before);
    assert!(before.contains("(held)"));
}

#[test]
fn drops_are_whole_at_80_columns() {
    let mut status = status();
    let all = [
        ("rejected", 12),
        ("too_large", 3_400),
        ("undelivered", 56_000_000),
    ];
    let all: BTreeMap<String, u64> = all.map(|(reason, count)| (reason.to_owned(), count)).into();
    let shown = "12 rejected, 3.4 k too_large, 56 M undelivered";
    "a-stage-with-a-long-name".clone_into(&mut status.stages[1].name);
    status.stages[1].dropped.clone_from(&all);
    status.edges[0].dropped.clone_from(&all);
    status.streams[0].dropped = all;
    let later = status.clone();
    let mut screen = Screen::new(status);
    screen.show(later);
    let picture = drawn(&mut screen, 80, 24);
    assert_eq!(picture.matches(shown).count(), 3, "{picture}");
    for part in ["a-stage-", "raw -> o", "running"] {
        assert!(picture.contains(part), "{part} is missing:\n{picture}");
    }
    // Nothing is left out on a wide terminal.
    let picture = drawn(&mut screen, 160, 24);
    for part in [
        shown,
        "a-stage-with-a-long-name",
        "48 k",
        "512/1.0 k",
        "1 here, 1 remote",
        "sent",
    ] {
        assert!(picture.contains(part), "{part} is missing:\n{picture}");
    }
}
