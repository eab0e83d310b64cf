//! Any content in any chunking, compared with the `csv` crate on the whole content.

use super::*;

/// Returns whether a quote is open at the end, in which case appended bytes do not begin a new row.
fn is_open(bytes: &[u8]) -> bool {
    let count = |bytes: &[u8]| {
        let mut builder = csv::ReaderBuilder::new();
        let builder = builder.has_headers(false).flexible(true);
        builder.from_reader(bytes).byte_records().count()
    };
    count(&[bytes, b"\nx"].concat()) == count(bytes)
}

/// Computes the expected result with the `csv` crate.
fn by_csv(max: usize, bytes: &[u8]) -> Result<(Vec<Vec<u8>>, u64, u64), HeaderError> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(bytes);
    let mut records = reader.byte_records().map(Result::unwrap);
    let Some(header) = records.next() else {
        return Ok(Default::default());
    };
    if header.as_slice().len() > max {
        return Err(HeaderError::TooLong { max_bytes: max });
    }
    let mut seen = HashSet::new();
    for name in &header {
        let name = std::str::from_utf8(name).map_err(|_| HeaderError::NotUtf8)?;
        if !seen.insert(name.to_owned()) {
            return Err(HeaderError::Duplicate {
                name: name.to_owned(),
            });
        }
    }
    let (mut datums, mut too_large, mut invalid) = (Vec::new(), 0, 0);
    let records: Vec<_> = records.collect();
    let is_text = |value: &str| !value.is_empty() && !is_number(value.as_bytes());
    let is_text: Vec<bool> = (0..header.len())
        .map(|column| {
            records.iter().any(|record| {
                let is_row = record.len() == header.len() && record.as_slice().len() <= max;
                is_row && std::str::from_utf8(&record[column]).is_ok_and(is_text)
            })
        })
        .collect();
    for record in records {
        // If a row has two faults, their position in the row determines which one is found first.
        let within: usize = record.iter().take(header.len() + 1).map(<[u8]>::len).sum();
        if within > max {
            too_large += 1;
            continue;
        }
        if record.len() != header.len() {
            invalid += 1;
            continue;
        }
        let mut datum = String::new();
        let mut fault = None;
        for ((key, value), is_text) in header.iter().zip(&record).zip(&is_text) {
            datum.push(if datum.is_empty() { '{' } else { ',' });
            datum += &serde_json::to_string(std::str::from_utf8(key).unwrap()).unwrap();
            datum.push(':');
            match std::str::from_utf8(value) {
                Ok("") => datum += "null",
                Ok(value) if !is_text && is_number(value.as_bytes()) => datum += value,
                Ok(value) => datum += &serde_json::to_string(value).unwrap(),
                Err(_) => fault = fault.or(Some(Refusal::NotUtf8)),
            }
            if datum.len() >= max {
                fault = fault.or(Some(Refusal::TooLarge { max_bytes: max }));
            }
        }
        datum.push('}');
        match fault {
            None => datums.push(datum.into_bytes()),
            Some(Refusal::TooLarge { .. }) => too_large += 1,
            Some(_) => invalid += 1,
        }
    }
    Ok((datums, too_large, invalid))
}

/// Returns the fields of each record, with texts that look like numbers converted to numbers. This removes differences
/// caused only by the kind of a column.
fn without_kinds(datums: &[Vec<u8>]) -> Vec<Vec<(String, String)>> {
    let fields = |datum: &Vec<u8>| {
        let object: serde_json::Map<String, Value> = serde_json::from_slice(datum).unwrap();
        let text = |value: Value| match value {
            Value::String(text) if is_number(text.as_bytes()) => {
                serde_json::from_str::<Value>(&text).unwrap().to_string()
            }
            other => other.to_string(),
        };
        object
            .into_iter()
            .map(|(key, value)| (key, text(value)))
            .collect()
    };
    datums.iter().map(fields).collect()
}

fn content() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        4 => Just(b','), 3 => Just(b'\n'), 1 => Just(b'\r'), 2 => Just(b'"'), 3 => b'0'..=b'9', 4 => b'a'..=b'f',
        1 => Just(b'.'), 1 => Just(b'-'), 1 => any::<u8>(), 1 => Just(0xef),
    ];
    let header =
        prop_oneof![4 => Just("a,b\n"), 2 => Just("\"x\"\r\n"), 1 => Just("a,b,\n"), 2 => Just("")];
    (0usize..=3, header, prop::collection::vec(byte, 0..120)).prop_map(|(mark, header, bytes)| {
        [&b"\xef\xbb\xbf"[..mark], header.as_bytes(), &bytes].concat()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn any_chunking_agrees_with_the_csv_crate(
        bytes in content(),
        cuts in prop::collection::vec(1usize..20, 1..6),
        max in prop_oneof![1usize..40, Just(1000)],
    ) {
        let (datums, mut tally) = cut(max, &chunks(&bytes, &cuts));
        if is_open(&bytes) {
            // Rows before the open quote are read normally, unless the open quote is in the header.
            let whole = by_csv(max, &bytes);
            let (Ok(datums), Ok((all, ..))) = (datums, whole) else { return Ok(()) };
            let is_known = memchr::memmem::find(&bytes, b"\"\"").is_none();
            if is_known && max == 1000 {
                let (all, datums) = (without_kinds(&all), without_kinds(&datums));
                prop_assert!(all.starts_with(&datums) && all.len() <= datums.len() + 1);
            }
            let refused = tally.invalid + tally.too_large;
            prop_assert!(refused > 0 && tally.take_first().is_some());
            return Ok(());
        }
        // The `csv` crate does not report which empty fields are quoted. Quoting also affects whether a row is within
        // the size limit.
        if memchr::memmem::find(&bytes, b"\"\"").is_none() {
            let whole = [&bytes[..], b"\n"].concat();
            let expected = by_csv(max, &whole);
            let (at_once, at_once_tally) = cut(max, &[&whole]);
            let at_once = at_once.map(|datums| (datums, at_once_tally.too_large, at_once_tally.invalid));
            prop_assert_eq!(&at_once, &expected);
            // In pieces, a number may be handed out before the first text of its column. Nothing else differs.
            let found = datums.map(|datums| (datums, tally.too_large, tally.invalid));
            match (found, expected) {
                (Ok(found), Ok(expected)) if max == 1000 => {
                    prop_assert_eq!(without_kinds(&found.0), without_kinds(&expected.0));
                    prop_assert_eq!((found.1, found.2), (expected.1, expected.2));
                }
                (Ok(found), Ok(expected)) => {
                    let count = |(datums, too_large, invalid): (Vec<_>, u64, u64)| {
                        datums.len() as u64 + too_large + invalid
                    };
                    prop_assert_eq!(count(found), count(expected));
                }
                (found, expected) => prop_assert_eq!(found, expected),
            }
        }
    }
}
