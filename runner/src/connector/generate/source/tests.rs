//! Values, sizes and pace.

use mosaik_streams::{Datum as _, Encoding, Schema};
use serde_json::Value;

use super::*;
use crate::{
    connector::SourceConfig,
    connector::{SourceSettings as _, check_source, open_source},
};

fn generator(rate: Option<f64>, count: Option<u64>, size: Option<u32>) -> Generator {
    let config = Generate { rate, count, size };
    config.check(&Encoding::Json).unwrap();
    Generator::new(&config, &SourceContext::new(Encoding::Json)).unwrap()
}

async fn all(mut generator: Generator) -> Vec<String> {
    let mut found = Vec::new();
    while let Some(batch) = generator.generate().await {
        assert!(!batch.is_empty());
        found.extend(
            batch
                .iter()
                .map(|datum| String::from_utf8(datum.to_vec()).unwrap()),
        );
    }
    assert_eq!(generator.counts().datums, found.len() as u64);
    assert_eq!(
        generator.counts().bytes,
        found.iter().map(String::len).sum::<usize>() as u64
    );
    found
}

#[tokio::test]
async fn generated_records_are_reproducible() {
    let found = all(generator(None, Some(3000), None)).await;
    assert_eq!(found.len(), 3000);
    assert_eq!(found[0], r#"{"seq":0,"time":1767225600000,"value":0.535}"#);
    assert_eq!(found, all(generator(None, Some(3000), None)).await);
    let mut sum = 0.0;
    for (seq, datum) in found.iter().enumerate() {
        let value: Value = serde_json::from_str(datum).unwrap();
        assert_eq!(
            (value["seq"].as_u64(), value["time"].as_u64()),
            (Some(seq as u64), Some(FIRST_TIME_MS + seq as u64))
        );
        sum += value["value"].as_f64().unwrap();
    }
    assert!(
        (1300.0..1700.0).contains(&sum),
        "{sum} is not spread evenly"
    );
}

#[tokio::test]
async fn the_size_is_exact_if_the_padding_has_room() {
    for size in [64, 100, 5000, super::super::MAX_SIZE_BYTES] {
        for datum in all(generator(None, Some(12), Some(size))).await {
            assert_eq!(datum.len(), size as usize);
            assert!(serde_json::from_str::<Value>(&datum).unwrap()["pad"].is_string());
        }
    }
    let found = all(generator(None, Some(2), Some(20))).await;
    assert_eq!(found, all(generator(None, Some(2), None)).await);
}

#[tokio::test]
async fn a_rate_is_kept_without_a_sleep_per_record() {
    let (rate, count) = (20_000.0, 10_000);
    let mut generator = generator(Some(rate), Some(count), None);
    let start = Instant::now();
    let (mut batches, mut datums) = (0, 0);
    let mut last = Frames::new();
    while let Some(batch) = generator.generate().await {
        batches += 1;
        datums += batch.count();
        let allowed = start.elapsed().as_secs_f64() * rate + 1.0;
        assert!(
            datums as f64 <= allowed,
            "{datums} records, but {allowed} were due"
        );
        last = batch;
    }
    let took = start.elapsed();
    assert_eq!(datums as u64, count);
    assert!(took >= Duration::from_millis(499), "{took:?}");
    // One sleep per record would take at least 10 s.
    assert!(took < Duration::from_secs(9), "{took:?}");
    assert!(batches < count / 2, "{batches} batches");
    let last: Value = serde_json::from_slice(last.iter().last().unwrap()).unwrap();
    assert_eq!(last["time"], FIRST_TIME_MS + 499);
}

#[tokio::test]
async fn a_stall_is_compensated_up_to_one_second() {
    let mut generator = generator(Some(100.0), None, None);
    assert_eq!(generator.generate().await.unwrap().count(), 1);
    let (start, first) = generator.schedule.unwrap();
    generator.schedule = Some((start.checked_sub(Duration::from_secs(30)).unwrap(), first));
    let caught_up = generator.generate().await.unwrap().count();
    assert!((100..150).contains(&caught_up), "{caught_up} at once");
}

#[tokio::test]
async fn invalid_settings_are_refused() {
    let refuse = |rate, size| {
        let config = SourceConfig::new(
            "generate",
            Generate {
                rate,
                count: None,
                size,
            },
        );
        check_source(&config, &Encoding::Json).unwrap_err()
    };
    for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(matches!(refuse(Some(rate), None), ConfigError::Rate { .. }));
    }
    assert_eq!(
        refuse(None, Some(super::super::MAX_SIZE_BYTES + 1)).to_string(),
        "a generated record has at most 1048576 bytes, not 1048577"
    );
    let slowest = generator(Some(f64::MIN_POSITIVE), None, None)
        .generate()
        .await;
    assert_eq!(slowest.unwrap().count(), 1);
    let cannot_be = Encoding::Postcard(Schema::Unsigned(7));
    let config = SourceConfig::new("generate", Generate::default());
    assert!(
        open_source(&config, SourceContext::new(cannot_be))
            .await
            .is_err()
    );
    assert!(
        !open_source(&config, SourceContext::new(Encoding::Text))
            .await
            .unwrap()
            .is_finite()
    );
}

#[tokio::test]
async fn postcard_follows_the_schema_and_mismatches_are_counted() {
    let fields = [
        ("time", Schema::Unsigned(64)),
        ("seq", Schema::Unsigned(8)),
        ("value", Schema::F64),
    ];
    let schema = Schema::Struct(fields.map(|(name, field)| (name.to_owned(), field)).into());
    let config = Generate {
        count: Some(300),
        ..Generate::default()
    };
    let context = SourceContext::new(Encoding::Postcard(schema));
    let mut generator = Generator::new(&config, &context).unwrap();
    let mut found = Vec::new();
    while let Some(batch) = generator.generate().await {
        assert!(!batch.is_empty());
        found.extend(
            batch
                .iter()
                .map(|datum| <(u64, u8, f64)>::decode(datum).unwrap()),
        );
    }
    assert_eq!(found.len(), 256);
    assert_eq!(found[7].0, FIRST_TIME_MS + 7);
    assert_eq!((found[255].1, found[0].2), (255, 0.535));
    let counts = generator.counts();
    assert_eq!(
        (counts.datums, counts.invalid, counts.too_large),
        (256, 44, 0)
    );
}

#[tokio::test]
async fn the_sample_is_a_typical_record() {
    for size in [None, Some(100)] {
        let config = Generate {
            count: Some(1),
            size,
            ..Generate::default()
        };
        let made: Value =
            serde_json::from_str(&all(generator(None, Some(1), size)).await[0]).unwrap();
        let sample: Value = serde_json::from_str(config.example()).unwrap();
        let names = |value: &Value| {
            value
                .as_object()
                .unwrap()
                .keys()
                .cloned()
                .collect::<Vec<_>>()
        };
        assert_eq!(names(&made), names(&sample));
        assert_eq!(
            (&made["time"], &made["value"]),
            (&sample["time"], &sample["value"])
        );
    }
}

#[tokio::test]
async fn a_generator_goes_on_at_its_position() {
    let expected = all(generator(Some(1000.0), Some(300), None)).await;
    let mut first = generator(Some(1000.0), Some(300), None);
    let mut found = Vec::new();
    while found.len() < 100 {
        let batch = first.generate().await.unwrap();
        found.extend(
            batch
                .iter()
                .map(|datum| String::from_utf8(datum.to_vec()).unwrap()),
        );
    }
    // A cancelled wait does not move it.
    let position = first.position().unwrap();
    if futures::FutureExt::now_or_never(first.next()).is_none() {
        assert_eq!(first.position().as_ref(), Some(&position));
    }
    assert_eq!(position, serde_json::json!({"seq": found.len()}));
    let mut second = generator(Some(1000.0), Some(300), None);
    second.resume(&position).await.unwrap();
    found.extend(all(second).await);
    assert_eq!(found, expected);
    let mut ended = generator(None, Some(300), None);
    ended
        .resume(&serde_json::json!({"seq": 300}))
        .await
        .unwrap();
    assert_eq!(ended.next().await.unwrap(), None);
    let error = ended.resume(&serde_json::json!({"offset": 3})).await;
    assert!(error.unwrap_err().reason.contains("up --fresh"));
}
