//! Values, lengths and pace.

use mosaik_streams::Encoding;
use serde_json::Value;

use super::*;
use crate::{
    connector::{check_source, open_source},
    manifest::connector::SourceConfig,
};

fn generator(rate: Option<f64>, count: Option<u64>, size: Option<u32>) -> Generator {
    let config = Generate { rate, count, size };
    check(&config).unwrap();
    Generator::new(&config, &SourceContext::new(Encoding::Json))
}

async fn all(mut generator: Generator) -> Vec<String> {
    let mut found = Vec::new();
    while let Some(batch) = generator.next().await {
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
async fn the_same_datums_come_every_time() {
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
async fn a_size_is_met_to_the_byte_where_the_pad_has_room() {
    for size in [64, 100, 5000, MAX_SIZE_BYTES] {
        for datum in all(generator(None, Some(12), Some(size))).await {
            assert_eq!(datum.len(), size as usize);
            assert!(serde_json::from_str::<Value>(&datum).unwrap()["pad"].is_string());
        }
    }
    let found = all(generator(None, Some(2), Some(20))).await;
    assert_eq!(found, all(generator(None, Some(2), None)).await);
}

#[tokio::test]
async fn a_rate_is_kept_without_a_sleep_a_datum() {
    let (rate, count) = (20_000.0, 10_000);
    let mut generator = generator(Some(rate), Some(count), None);
    let start = Instant::now();
    let (mut batches, mut datums) = (0, 0);
    let mut last = Frames::new();
    while let Some(batch) = generator.next().await {
        batches += 1;
        datums += batch.count();
        let allowed = start.elapsed().as_secs_f64() * rate + 1.0;
        assert!(
            datums as f64 <= allowed,
            "{datums} datums where {allowed} were due"
        );
        last = batch;
    }
    let took = start.elapsed();
    assert_eq!(datums as u64, count);
    assert!(took >= Duration::from_millis(499), "{took:?}");
    // A sleep a datum would take 10 s and more.
    assert!(took < Duration::from_secs(4), "{took:?}");
    assert!(batches < count / 2, "{batches} batches");
    let last: Value = serde_json::from_slice(last.iter().last().unwrap()).unwrap();
    assert_eq!(last["time"], FIRST_TIME_MS + 499);
}

#[tokio::test]
async fn after_a_stall_a_second_is_made_up_for() {
    let mut generator = generator(Some(100.0), None, None);
    assert_eq!(generator.next().await.unwrap().count(), 1);
    let (start, first) = generator.schedule.unwrap();
    generator.schedule = Some((start.checked_sub(Duration::from_secs(30)).unwrap(), first));
    let caught_up = generator.next().await.unwrap().count();
    assert!((100..150).contains(&caught_up), "{caught_up} at once");
}

#[tokio::test]
async fn settings_that_cannot_be_are_refused() {
    let refuse = |rate, size| {
        let config = SourceConfig::Generate(Generate {
            rate,
            count: None,
            size,
        });
        check_source(&config, &Encoding::Json).unwrap_err()
    };
    for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(matches!(refuse(Some(rate), None), ConfigError::Rate { .. }));
    }
    assert_eq!(
        refuse(None, Some(MAX_SIZE_BYTES + 1)).to_string(),
        "a generated datum has at most 1048576 bytes, not 1048577"
    );
    let slowest = generator(Some(f64::MIN_POSITIVE), None, None).next().await;
    assert_eq!(slowest.unwrap().count(), 1);
    let postcard = Encoding::Postcard(mosaik_streams::Schema::String);
    let config = SourceConfig::Generate(Generate::default());
    assert!(
        open_source(&config, SourceContext::new(postcard))
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
