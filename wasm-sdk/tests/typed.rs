//! The typed layer: what `#[operator]` makes of functions and types, encodings, state.

use mosaik_wasm_sdk::testing::{Harness, binding};
use mosaik_wasm_sdk::{Driver, Typed};

mod function {
    use mosaik_wasm_sdk::prelude::*;

    #[derive(Deserialize)]
    pub(crate) struct Config {
        pub(crate) least: u32,
    }

    #[operator]
    fn plain(n: u32) -> String {
        format!("<{n}>")
    }

    #[operator]
    fn option(n: u32, config: &Config) -> Option<u32> {
        (n >= config.least).then_some(n)
    }

    #[operator]
    fn many(text: String) -> Result<Vec<char>, String> {
        if text.is_empty() {
            Err("nothing to take apart".to_owned())
        } else {
            Ok(text.chars().collect())
        }
    }

    #[operator]
    fn lazily(n: u32) -> impl Iterator<Item = u32> {
        (0..n).filter(|i| i % 2 == 0)
    }

    #[test]
    fn functions_are_operators() {
        assert_eq!(
            testing::run::<plain>((), [1, 2]).unwrap().outputs,
            [json!("<1>"), json!("<2>")]
        );
        assert_eq!(
            testing::run::<option>(json!({"least": 2}), [1, 2, 3])
                .unwrap()
                .outputs,
            [json!(2), json!(3)]
        );
        assert_eq!(
            testing::run::<lazily>(json!({}), [4]).unwrap().outputs,
            [json!(0), json!(2)]
        );
        let ran = testing::run::<many>((), ["ab", "", "c"]).unwrap();
        assert_eq!(ran.outputs, [json!("a"), json!("b"), json!("c")]);
        assert_eq!(ran.rejected, [(1, "nothing to take apart".to_owned())]);
        assert_eq!(
            testing::run::<option>((), [1]).unwrap_err().reason(),
            "config: missing field `least`"
        );
        assert!(
            testing::run::<plain>(json!({"a": 1}), [1])
                .unwrap_err()
                .reason()
                .contains("unknown field `a`")
        );
    }

    #[test]
    fn what_does_not_fit_is_rejected() {
        let ran = testing::run::<plain>((), [json!(1), json!("x"), json!(2)]).unwrap();
        assert_eq!(ran.outputs.len(), 2);
        assert_eq!(ran.rejected[0].0, 1);
        assert!(
            ran.rejected[0].1.contains(r#"invalid type: string "x""#),
            "{:?}",
            ran.rejected
        );
    }
}

mod stateful {
    use mosaik_wasm_sdk::prelude::*;
    use std::collections::BTreeMap;

    #[derive(Deserialize)]
    pub(crate) struct Config {
        pub(crate) times: u64,
    }

    pub(crate) struct Sums {
        config: Config,
        sums: BTreeMap<String, u64>,
    }

    #[operator(state = sums, version = 3)]
    impl Operator for Sums {
        type Config = Config;
        type Input = (String, u64);
        type Output = (String, u64);

        const INPUTS: &'static [&'static str] = &["left", "right"];
        const OUTPUTS: &'static [&'static str] = &["out", "odd"];

        fn open(config: Config) -> Result<Self> {
            Ok(Self {
                config,
                sums: BTreeMap::new(),
            })
        }

        fn process(
            &mut self,
            (key, n): (String, u64),
            out: &mut Out<'_, (String, u64)>,
        ) -> Result<()> {
            log!(debug, "{key} by {}", out.input_port());
            count("seen", 1);
            if n % 2 == 1 {
                out.push_to("odd", &(key.clone(), n))?;
            }
            ensure!(n < 100, "{n} is too large");
            let sum = self.sums.entry(key.clone()).or_default();
            *sum += n * self.config.times;
            out.push(&(key, *sum))
        }

        fn tick(&mut self, now: u64, out: &mut Out<'_, (String, u64)>) -> Result<()> {
            out.push(&("now".to_owned(), now))
        }

        fn finish(&mut self, out: &mut Out<'_, (String, u64)>) -> Result<()> {
            out.push(&("keys".to_owned(), self.sums.len() as u64))
        }
    }
}

#[test]
fn state_ports_clock_and_end() {
    let mut first = Harness::<Typed<stateful::Sums>>::open(r#"{"times":1}"#).unwrap();
    first
        .send(1, [r#"["a",1]"#, r#"["a",101]"#, r#"["b",2]"#])
        .unwrap();
    first.tick(7).unwrap();
    first.finish(0).unwrap();
    assert_eq!(
        first
            .take()
            .into_iter()
            .map(|(port, datum)| (port, String::from_utf8(datum).unwrap()))
            .collect::<Vec<_>>(),
        [
            (0, r#"["a",1]"#),
            (0, r#"["b",2]"#),
            (1, r#"["a",1]"#),
            (0, r#"["now",7]"#)
        ]
        .map(|(port, datum)| (port, datum.to_owned())),
        "a rejected datum leaves by no port, and one ended input of two is not the end"
    );
    assert_eq!(mosaik_wasm_sdk::testing::counted("seen"), 3);
    assert_eq!(mosaik_wasm_sdk::testing::logged()[0].1, "a by 1");

    let saved = first.snapshot().unwrap();
    assert_eq!(saved.version, 3);
    let mut second = Harness::<Typed<stateful::Sums>>::open(r#"{"times":10}"#).unwrap();
    second.restore(saved.clone()).unwrap();
    second.send(0, [r#"["a",2]"#]).unwrap();
    second.finish(0).unwrap();
    second.finish(1).unwrap();
    assert_eq!(
        second.take_text().unwrap(),
        [r#"["a",21]"#, r#"["keys",2]"#],
        "the state is the old one, the configuration new"
    );

    let older = mosaik_wasm_sdk::State {
        version: 2,
        ..saved
    };
    assert_eq!(
        second.restore(older).unwrap_err().reason(),
        "the saved state is of version 2, and this operator reads version 3"
    );
    let described = Driver::<Typed<stateful::Sums>>::describe();
    assert_eq!(
        (
            described.inputs.len(),
            described.outputs.len(),
            described.state_version
        ),
        (2, 2, 3)
    );
}

mod encodings {
    use mosaik_wasm_sdk::prelude::*;

    #[operator]
    pub(crate) fn reversed(text: String) -> String {
        text.chars().rev().collect()
    }

    #[operator]
    pub(crate) fn doubled(bytes: Bytes) -> Bytes {
        Bytes([&bytes.0[..], &bytes.0[..]].concat())
    }

    #[operator]
    pub(crate) fn pair(n: u8) -> (u8, u8) {
        (n, n)
    }
}

fn through<T: mosaik_wasm_sdk::Operator>(
    from: &str,
    to: &str,
    datum: &[u8],
) -> Result<Vec<u8>, String> {
    let mut harness =
        Harness::<Typed<T>>::open_on("", &[binding("in", from)], &[binding("out", to)])
            .map_err(mosaik_wasm_sdk::Error::into_reason)?;
    harness
        .send(0, [datum])
        .map_err(mosaik_wasm_sdk::Error::into_reason)?;
    match harness.take().pop() {
        Some((_, datum)) => Ok(datum),
        None => Err(harness.rejected[0].1.clone()),
    }
}

#[test]
fn datums_are_read_and_written_in_the_streams_encoding() {
    use encodings::{doubled, pair, reversed};
    assert_eq!(
        through::<reversed>("text", "text", "añ".as_bytes()),
        Ok("ña".into())
    );
    assert_eq!(
        through::<reversed>("json", "text", br#""a\nb""#),
        Ok("b\na".into())
    );
    assert_eq!(
        through::<reversed>("text", "json", b"a\"b"),
        Ok(br#""b\"a""#.to_vec())
    );
    assert_eq!(
        through::<reversed>("bytes", "bytes", b"ab"),
        Ok("ba".into())
    );
    assert!(
        through::<reversed>("text", "text", b"\xff")
            .unwrap_err()
            .contains("utf-8")
    );
    assert_eq!(
        through::<doubled>("bytes", "bytes", b"\xff\0"),
        Ok(b"\xff\0\xff\0".to_vec())
    );
    assert_eq!(through::<pair>("json", "json", b"5"), Ok(b"[5,5]".to_vec()));
    assert!(
        through::<pair>("json", "text", b"5")
            .unwrap_err()
            .contains("a tuple cannot be a datum")
    );
    assert_eq!(
        through::<pair>("yaml", "json", b"5"),
        Err("there is no encoding `yaml`".to_owned())
    );
}

#[cfg(feature = "postcard")]
#[test]
fn postcard_is_had_with_its_feature() {
    assert_eq!(
        through::<encodings::pair>("postcard", "postcard", &[5]),
        Ok(vec![5, 5])
    );
    assert!(through::<encodings::reversed>("postcard", "json", &[9, 0]).is_err());
}

#[cfg(not(feature = "postcard"))]
#[test]
fn postcard_is_refused_without_its_feature() {
    assert!(
        through::<encodings::pair>("postcard", "json", &[5])
            .unwrap_err()
            .contains("feature `postcard`")
    );
}
