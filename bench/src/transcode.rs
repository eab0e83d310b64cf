//! What it costs to make JSON of a postcard struct by its schema and to make postcard of it again, a datum, on one core.

use std::{
    error::Error,
    fmt::Write as _,
    time::{Duration, Instant},
};

use mosaik_streams::{
    Datum as _, Frames, Schema,
    schema::{Transcoded, Transcoder},
};

const DATUMS: usize = 4096;
const ROUNDS: u32 = 200;

/// Five fields: `{"symbol":"S3","price":42.1,"size":42,"tags":["a","b"],"note":"n"}`.
type Trade = (String, f64, u32, Vec<String>, Option<String>);

/// Converts one batch there and back again and again.
pub(crate) fn measure() -> Result<String, Box<dyn Error>> {
    let fields = [
        ("symbol", Schema::String),
        ("price", Schema::F64),
        ("size", Schema::Unsigned(32)),
        ("tags", Schema::Sequence(Box::new(Schema::String))),
        ("note", Schema::Option(Box::new(Schema::String))),
    ];
    let schema = Schema::Struct(fields.map(|(name, field)| (name.to_owned(), field)).into());
    let transcoder = Transcoder::new(&schema)?;
    let datums: Result<Vec<_>, _> = (0..DATUMS as u32).map(|n| trade(n).encode()).collect();
    let postcard: Frames = datums?.into_iter().collect();
    let to_json = |batch: &mut Frames| transcoder.frames_to_json(batch);
    let to_postcard = |batch: &mut Frames| transcoder.frames_to_postcard(batch);
    let json = all(&postcard, to_json);
    if all(&json, to_postcard) != postcard {
        return Err("the datums came back as others".into());
    }
    let mut report = String::new();
    for (way, from, to) in [
        (
            "to JSON",
            &postcard,
            &to_json as &dyn Fn(&mut Frames) -> Transcoded,
        ),
        ("to postcard", &json, &to_postcard),
    ] {
        let mut best = Duration::MAX;
        for _ in 0..ROUNDS {
            let start = Instant::now();
            std::hint::black_box(all(from, to));
            best = best.min(start.elapsed());
        }
        writeln!(
            report,
            "a struct of 5 fields, {} bytes, {way}: {:?} a datum, at best of {ROUNDS} batches",
            from.payload_len() / DATUMS,
            best / DATUMS as u32
        )?;
    }
    Ok(report)
}

fn trade(n: u32) -> Trade {
    (
        format!("S{}", n % 7),
        f64::from(n) + 0.1,
        n,
        vec!["a".to_owned(), "b".to_owned()],
        n.is_multiple_of(2).then(|| "n".to_owned()),
    )
}

fn all(batch: &Frames, convert: impl Fn(&mut Frames) -> Transcoded) -> Frames {
    let (mut rest, mut done) = (batch.clone(), mosaik_streams::FramesBuilder::new());
    while !rest.is_empty() {
        done.extend(&convert(&mut rest).frames);
    }
    done.finish()
}
