//! The cost of converting a postcard struct to JSON by its schema and back, on one core.

use std::{hint::black_box, time::Instant};

use mosaik_streams::{
    Datum as _, Frames, FramesBuilder, Schema,
    schema::{Transcoded, Transcoder},
};

use crate::measure::{Case, Figure, Result, Row, Setting};

const RECORDS: u32 = 4096;

/// Five fields: `{"symbol":"S3","price":42.1,"size":42,"tags":["a","b"],"note":"n"}`.
type Trade = (String, f64, u32, Vec<String>, Option<String>);

fn trade(n: u32) -> Trade {
    (
        format!("S{}", n % 7),
        f64::from(n) + 0.1,
        n,
        vec!["a".to_owned(), "b".to_owned()],
        n.is_multiple_of(2).then(|| "n".to_owned()),
    )
}

pub(super) fn row() -> Row {
    let case = Case::new(|setting| {
        let fields = [
            ("symbol", Schema::String),
            ("price", Schema::F64),
            ("size", Schema::Unsigned(32)),
            ("tags", Schema::Sequence(Box::new(Schema::String))),
            ("note", Schema::Option(Box::new(Schema::String))),
        ];
        let schema = Schema::Struct(fields.map(|(name, field)| (name.to_owned(), field)).into());
        let transcoder = Transcoder::new(&schema)?;
        let records: std::result::Result<Vec<_>, _> =
            (0..RECORDS).map(|n| trade(n).encode()).collect();
        let postcard: Frames = records?.into_iter().collect();
        let (json, to_json) = again(setting, &postcard, |batch| transcoder.frames_to_json(batch))?;
        let (back, to_postcard) =
            again(setting, &json, |batch| transcoder.frames_to_postcard(batch))?;
        if back != postcard {
            return Err("the records changed in the round trip".into());
        }
        Ok(vec![
            Figure::new("postcard to JSON", "ns a record", to_json),
            Figure::new("JSON to postcard", "ns a record", to_postcard),
        ])
    });
    Row::new(
        "transcode",
        "a struct of 5 fields, 19 bytes of postcard, 69 bytes of JSON",
        vec![case],
        Vec::new(),
    )
}

/// Converts a whole batch repeatedly, for a quarter of the window. Returns the result and the time.
fn again(
    setting: &Setting,
    from: &Frames,
    convert: impl Fn(&mut Frames) -> Transcoded,
) -> Result<(Frames, f64)> {
    let (start, mut batches) = (Instant::now(), 0_u32);
    loop {
        let all = whole(from, &convert);
        batches += 1;
        if start.elapsed() >= setting.window / 4 {
            let each =
                start.elapsed().as_secs_f64() * 1e9 / f64::from(batches) / f64::from(RECORDS);
            return Ok((all, each));
        }
        black_box(all);
    }
}

fn whole(batch: &Frames, convert: impl Fn(&mut Frames) -> Transcoded) -> Frames {
    let (mut rest, mut done) = (batch.clone(), FramesBuilder::new());
    while !rest.is_empty() {
        done.extend(&convert(&mut rest).frames);
    }
    done.finish()
}
