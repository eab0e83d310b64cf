//! Tests of the log on a simulated disk.

mod crash;
mod damage;
mod reading;
mod sim;

use std::{sync::Arc, time::Duration};

use mosaik_datum::Frames;
use sim::SimDisk;

use crate::{Gap, Log, LogId, Opened, Reader, Retain, Step};

const ID: LogId = LogId([7; 16]);

/// Segments of 400 bytes.
const RETAIN: Retain = Retain {
    bytes: 4000,
    age: Duration::from_hours(1),
};

fn open(disk: &Arc<SimDisk>) -> (Log, Opened) {
    Log::open(disk.clone(), RETAIN, ID).unwrap()
}

/// Returns records whose contents are their positions and `life`.
fn numbered(positions: std::ops::Range<u64>, life: u8) -> Frames {
    let record = |position: u64| [&position.to_be_bytes()[..], &[life]].concat();
    positions.map(record).collect()
}

fn number(record: &[u8]) -> (u64, u8) {
    let (number, life) = record.split_first_chunk::<8>().unwrap();
    (u64::from_be_bytes(*number), life[0])
}

/// A position, and the number and life in the record found there.
type Found = (u64, (u64, u8));

/// Reads everything before `limit`. Returns the records by position, and the gaps.
fn read(reader: &mut Reader, limit: u64) -> (Vec<Found>, Vec<Gap>) {
    let (mut records, mut gaps) = (Vec::new(), Vec::new());
    loop {
        match reader.next(limit).unwrap() {
            Step::Records {
                position, frames, ..
            } => {
                let numbers = frames.iter().map(number);
                records.extend((position..).zip(numbers));
            }
            Step::Gap(gap) => gaps.push(gap),
            Step::End => return (records, gaps),
        }
    }
}
