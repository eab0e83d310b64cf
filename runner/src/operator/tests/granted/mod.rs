//! Tests that operators with grants receive exactly these grants, within their limits.

mod bounds;
mod folders;
mod http;
mod probes;
mod reach;

use std::path::Path;
use std::time::Instant;

use super::guest::Guest;
use super::*;

/// Returns the answers of a guest to these records, each in its own batch.
fn asked(instance: &mut Instance, datums: &[&[u8]]) -> Vec<Vec<Vec<u8>>> {
    datums
        .iter()
        .map(|datum| {
            let processed = instance.process(0, &Frames::single(datum)).unwrap();
            let frames = processed
                .outputs
                .into_iter()
                .flat_map(|(_, frames)| frames.iter().map(<[u8]>::to_vec).collect::<Vec<_>>());
            frames.collect()
        })
        .collect()
}

fn granted(guest: &Guest<'_>, grants: Grants, setup: Setup) -> Instance {
    let component = engine()
        .load_granted(
            &guest.component(),
            LoadLimits::default(),
            grants.interfaces(),
        )
        .unwrap();
    component.instantiate(Setup { grants, ..setup }).unwrap()
}

fn run(guest: &Guest<'_>, grants: Grants, datums: &[&[u8]]) -> Vec<Vec<Vec<u8>>> {
    asked(&mut granted(guest, grants, setup(limits())), datums)
}

fn wasi() -> Grants {
    Grants {
        wasi: true,
        ..Grants::default()
    }
}

fn dir(path: &Path, write: bool) -> Grants {
    Grants {
        dirs: vec![Directory {
            path: path.to_owned(),
            name: "data".into(),
            write,
        }],
        ..Grants::default()
    }
}

fn hosts(hosts: &[(&str, Option<u16>)]) -> Grants {
    Grants {
        http: hosts
            .iter()
            .map(|(host, port)| HttpHost {
                host: (*host).into(),
                port: *port,
            })
            .collect(),
        ..Grants::default()
    }
}

fn everything() -> Grants {
    Grants {
        wasi: true,
        env: vec![("A".into(), "1".into())],
        dirs: vec![Directory {
            path: ".".into(),
            name: ".".into(),
            write: false,
        }],
        http: hosts(&[("example.org", None)]).http,
        random: true,
    }
}

/// Asserts that a call that waits for the host is cancelled, that only its instance is lost, and
/// that the engine still works.
#[track_caller]
fn ends_in_time(guest: &Guest<'_>, grants: Grants, datum: &[u8]) {
    let limit = Duration::from_millis(100);
    let engine = engine();
    let component = engine
        .load_granted(
            &guest.component(),
            LoadLimits::default(),
            grants.interfaces(),
        )
        .unwrap();
    let mut instance = component
        .instantiate(Setup {
            grants,
            ..setup(Limits {
                call_time_max: limit,
                call_wait_max: limit,
                ..limits()
            })
        })
        .unwrap();
    let start = Instant::now();
    let error = instance.process(0, &Frames::single(datum)).unwrap_err();
    let took = start.elapsed();
    let (call, with_record) = ("process", limit + limit / 1000);
    let ends = [
        CallError::WaitedTooLong {
            call,
            limit: with_record,
        },
        CallError::TimedOut {
            call,
            limit: with_record,
        },
    ];
    assert!(ends.contains(&error), "{error:?}");
    // 300 times the limit, for a busy machine.
    assert!(
        took >= limit && took < Duration::from_secs(30),
        "it took {took:?}"
    );
    assert!(instance.is_poisoned());
    assert_engine_works(&engine);
}
