//! The driver's bounds and bookkeeping, on operators made for it.

use mosaik_wasm_sdk::testing::{Harness, binding};
use mosaik_wasm_sdk::{
    ANSWER_LEN_MAX, Binding, Driver, Error, FramesOperator, Outputs, PENDING_LEN_MAX, Result,
};
use proptest::prelude::*;

/// Repeats each datum as often as its first byte says, thousandfold with `k` behind; `!` refuses after having pushed;
/// `d` asks to be drained, three records. Every record also goes to the second port.
#[derive(Debug)]
struct Repeat {
    to_drain: usize,
}

impl FramesOperator for Repeat {
    const OUTPUTS: &'static [&'static str] = &["out", "copy"];

    fn open(_: &str, _: &[Binding], _: &[Binding]) -> Result<Self> {
        Ok(Self { to_drain: 0 })
    }

    fn process(&mut self, _: usize, datum: &[u8], out: &mut Outputs) -> Result<()> {
        out.push(1, datum)?;
        let times = match datum {
            [b'!', ..] => return Err(Error::new(format_args!("refused {}", "x".repeat(2000)))),
            [b'd'] => {
                self.to_drain = 3;
                out.call_drain();
                return Ok(());
            }
            [times, b'k', ..] => usize::from(*times) * 1000,
            [times, ..] => usize::from(*times),
            [] => 1,
        };
        (0..times).try_for_each(|_| out.push(0, datum))
    }

    fn drain(&mut self, out: &mut Outputs) -> Result<()> {
        out.push(0, b"drained")?;
        self.to_drain -= 1;
        if self.to_drain > 0 {
            out.call_drain();
        }
        Ok(())
    }

    fn finish(&mut self, _: usize, last: bool, out: &mut Outputs) -> Result<()> {
        out.push(0, if last { b"last" } else { b"more" })
    }

    fn tick(&mut self, now_ms: u64, out: &mut Outputs) -> Result<()> {
        out.push(0, b"tick")?;
        if now_ms == 0 {
            return Err(Error::new("no clock"));
        }
        Ok(())
    }
}

fn frames(records: &[&[u8]]) -> Vec<u8> {
    let mut frames = Vec::new();
    for datum in records {
        frames.extend_from_slice(&(datum.len() as u32).to_be_bytes());
        frames.extend_from_slice(datum);
    }
    frames
}

fn on_out(harness: &mut Harness<Repeat>) -> Vec<Vec<u8>> {
    harness
        .take()
        .into_iter()
        .filter(|(port, _)| *port == 0)
        .map(|(_, datum)| datum)
        .collect()
}

#[test]
fn a_refused_datum_leaves_nothing_and_the_batch_goes_on() {
    let mut harness = Harness::<Repeat>::open("").unwrap();
    harness
        .send(0, [&b"\x01a"[..], b"!", b"", b"\x02b"])
        .unwrap();
    let sent = harness.take();
    assert_eq!(sent.iter().filter(|(port, _)| *port == 1).count(), 3);
    assert_eq!(sent.iter().filter(|(port, _)| *port == 0).count(), 4);
    assert_eq!(harness.rejected.len(), 1);
    assert_eq!(harness.rejected[0].0, 1);
    assert!(harness.rejected[0].1.starts_with("refused xxx") && harness.rejected[0].1.len() < 1100);
    assert_eq!(harness.answers, 1);
}

#[test]
fn what_explodes_is_answered_in_parts_and_waits_for_resume() {
    let mut driver = Driver::<Repeat>::new();
    driver.open("", &[], &[binding("out", "bytes")]).unwrap();
    let mut big = vec![1, b'k']; // a thousand of about 1 KiB, so that several records fill an answer
    big.resize(1020, 0);
    let batch: Vec<&[u8]> = std::iter::repeat_n(&big[..], 30)
        .chain([&b"!"[..]])
        .collect();
    let mut answer = driver.process(0, frames(&batch)).unwrap();
    let (mut total, mut answers) = (0, 1);
    loop {
        let len: usize = answer
            .outputs
            .iter()
            .map(|output| output.frames.len())
            .sum();
        assert!(len <= ANSWER_LEN_MAX, "an answer of {len} bytes");
        assert!(
            answer.outputs.iter().all(|output| output.port == 0),
            "a port without a stream gets nothing"
        );
        total += len;
        if !answer.more {
            break;
        }
        assert!(
            driver
                .process(0, Vec::new())
                .unwrap_err()
                .reason()
                .contains("call resume first")
        );
        assert!(driver.snapshot().is_err());
        answer = driver.resume().unwrap();
        answers += 1;
    }
    assert_eq!(total, 30 * 1000 * 1024);
    assert!(answers >= total / ANSWER_LEN_MAX);
    assert_eq!(
        answer.rejected[0].index, 30,
        "indices are those of the batch that was handed over"
    );
    driver.snapshot().unwrap();
}

#[test]
fn one_call_cannot_pass_the_bound() {
    let mut harness = Harness::<Repeat>::open("").unwrap();
    let mut huge = vec![200, b'k'];
    huge.resize(PENDING_LEN_MAX / 150_000, 0);
    harness.send(0, [&huge[..], b"\x01"]).unwrap();
    assert_eq!(on_out(&mut harness), [b"\x01"]);
    assert!(
        harness.rejected[0].1.contains("outputs of one call"),
        "{:?}",
        harness.rejected
    );
}

#[test]
fn a_datum_above_an_answer_leaves_alone() {
    let mut harness = Harness::<Repeat>::open_on("", &[], &[binding("out", "bytes")]).unwrap();
    let mut large = vec![1];
    large.resize(ANSWER_LEN_MAX + 1, 7);
    harness.send(0, [&b"\x01"[..], &large, b"\x01"]).unwrap();
    let lens: Vec<usize> = on_out(&mut harness).iter().map(Vec::len).collect();
    assert_eq!(lens, [1, ANSWER_LEN_MAX + 1, 1]);
}

#[test]
fn draining_comes_before_the_next_datum() {
    let mut harness = Harness::<Repeat>::open("").unwrap();
    harness.send(0, [&b"d"[..], b"\x01"]).unwrap();
    assert_eq!(
        on_out(&mut harness),
        [&b"drained"[..], b"drained", b"drained", b"\x01"]
    );
}

#[test]
fn the_end_a_clock_and_bad_calls() {
    let mut harness = Harness::<Repeat>::open("").unwrap();
    assert_eq!(harness.tick(0).unwrap_err().reason(), "no clock");
    harness.tick(1).unwrap();
    harness.finish(0).unwrap();
    assert_eq!(
        on_out(&mut harness),
        [&b"tick"[..], b"last"],
        "what a failed tick pushed is taken back"
    );
    assert!(
        harness
            .finish(1)
            .unwrap_err()
            .reason()
            .contains("no input port 1")
    );
    let driver = harness.driver();
    assert!(
        driver
            .process(0, b"\0\0\0\x09abc".to_vec())
            .unwrap_err()
            .reason()
            .contains("whole frame")
    );
    assert!(
        !driver.process(0, frames(&[b"\x01"])).unwrap().more,
        "a malformed batch leaves nothing behind"
    );
    let unknown = Driver::<Repeat>::new()
        .open("", &[binding("ins", "json")], &[])
        .unwrap_err();
    assert_eq!(unknown.reason(), "no input port `ins`; the ports are `in`");
    assert_eq!(
        Driver::<Repeat>::new().resume().unwrap_err().reason(),
        "the operator is not open"
    );
}

proptest! {
    #[test]
    fn order_and_number_are_kept_whatever_the_batches(
        records in proptest::collection::vec(proptest::collection::vec(0u8..40, 1..30), 0..60),
        size in 1usize..20,
    ) {
        let mut harness = Harness::<Repeat>::open("").unwrap();
        for batch in records.chunks(size) {
            harness.send(0, batch).unwrap();
        }
        let refused: Vec<_> = records.iter().filter(|datum| datum[0] == b'!').collect();
        let expected: Vec<Vec<u8>> = records
            .iter()
            .filter(|datum| datum[0] != b'!')
            .flat_map(|datum| std::iter::repeat_n(datum.clone(), usize::from(datum[0])))
            .collect();
        prop_assert_eq!(harness.rejected.len(), refused.len());
        prop_assert_eq!(on_out(&mut harness), expected);
    }
}
