//! The typed layer: what `#[operator]` makes of functions and types, encodings, state.

use mosaik_wasm_sdk::testing::{Harness, binding};
use mosaik_wasm_sdk::{Driver, Typed};

mod function {
    use mosaik_wasm_sdk::prelude::*;

    #[derive(OperatorConfig)]
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

    #[operator]
    fn input(out: u32) -> Result<Option<u32>, String> {
        out.checked_add(1)
            .map(Some)
            .ok_or_else(|| "full".to_owned())
    }

    mod names {
        use super::*;

        #[operator]
        pub(super) fn out(n: u32) -> Vec<u32> {
            vec![n]
        }

        #[operator]
        pub(super) fn datum(n: u32) -> Vec<u32> {
            vec![n]
        }
    }

    #[test]
    fn a_function_may_be_called_as_it_likes() {
        assert_eq!(testing::run::<input>((), [1]).unwrap().outputs, [json!(2)]);
        let out = testing::run::<names::out>((), [1]).unwrap().outputs;
        assert_eq!(testing::run::<names::datum>((), [1]).unwrap().outputs, out);
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
            "config: missing key `least`"
        );
        assert!(
            testing::run::<plain>(json!({"a": 1}), [1])
                .unwrap_err()
                .reason()
                .contains("unknown key `a`")
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

    #[derive(OperatorConfig)]
    pub(crate) struct Config {
        /// How often.
        pub(crate) times: u64,
    }

    pub(crate) struct Sums {
        config: Config,
        sums: BTreeMap<String, u64>,
    }

    #[derive(InputPorts)]
    pub(crate) enum Input {
        Left((String, u64)),
        FarRight(String),
    }

    #[derive(OutputPorts)]
    pub(crate) enum Output {
        Out((String, u64)),
        #[port = "odd-ones"]
        Odd(u64),
    }

    #[operator(state = sums, version = 3)]
    impl Operator for Sums {
        type Config = Config;
        type Input = Input;
        type Output = Output;

        fn open(config: Config) -> Result<Self> {
            Ok(Self {
                config,
                sums: BTreeMap::new(),
            })
        }

        fn process(&mut self, input: Input, out: &mut Out<'_, Output>) -> Result<()> {
            let (key, n) = match input {
                Input::Left(left) => left,
                Input::FarRight(key) => (key, 1),
            };
            log!(debug, "{key} by {n}");
            count("seen", 1);
            if n % 2 == 1 {
                out.push(&Output::Odd(n))?;
            }
            ensure!(n < 100, "{n} is too large");
            let sum = self.sums.entry(key.clone()).or_default();
            *sum += n * self.config.times;
            out.push(&Output::Out((key, *sum)))
        }

        fn tick(&mut self, now: u64, out: &mut Out<'_, Output>) -> Result<()> {
            out.push(&Output::Out(("now".to_owned(), now)))
        }

        fn input_ended(&mut self, port: &str, out: &mut Out<'_, Output>) -> Result<()> {
            out.push(&Output::Out((port.to_owned(), 0)))
        }

        fn finish(&mut self, out: &mut Out<'_, Output>) -> Result<()> {
            out.push(&Output::Out(("keys".to_owned(), self.sums.len() as u64)))
        }
    }

    #[test]
    fn each_port_has_its_type_and_the_end_comes_when_all_have_ended() {
        let mut session = testing::Session::<Sums>::open(json!({"times": 1})).unwrap();
        session
            .send("left", [json!(["a", 1]), json!(["a", 101]), json!("b")])
            .unwrap();
        session
            .send("far_right", [json!("b"), json!(["b", 2])])
            .unwrap();
        session.tick(7).unwrap();
        session.end_input("left").unwrap();
        let seen = session.take();
        assert_eq!(
            seen.outputs,
            [
                json!(["a", 1]),
                json!(["b", 1]),
                json!(["now", 7]),
                json!(["left", 0])
            ],
            "a rejected datum leaves by no port, and one ended input of two is not the end"
        );
        assert_eq!(seen.on("odd-ones"), [&json!(1), &json!(1)]);
        let refused: Vec<_> = seen.rejected.iter().map(|(index, _)| *index).collect();
        assert_eq!(refused, [1, 2, 4], "numbered over all that was sent");
        assert_eq!(seen.rejected[0].1, "101 is too large");
        assert_eq!((seen.counters["seen"], seen.log.len()), (3, 3));
        assert_eq!(seen.log[0], (host::Level::Debug, "a by 1".to_owned()));
        let end = session.finish().unwrap();
        assert_eq!(end.outputs, [json!(["far_right", 0]), json!(["keys", 2])]);
        assert_eq!(end.counters.len(), 0, "already reported");

        let unknown = testing::run_on::<Sums>(json!({"times": 1}), [("right", 1)]).unwrap_err();
        assert_eq!(
            unknown.reason(),
            "no input port `right`; the ports are `left`, `far_right`"
        );
    }

    #[test]
    fn a_reload_keeps_the_state_and_brings_the_new_configuration() {
        let mut session = testing::Session::<Sums>::open(json!({"times": 1})).unwrap();
        session.send("left", [json!(["a", 2])]).unwrap();
        session.reload(json!({"times": 10})).unwrap();
        session.send("left", [json!(["a", 2])]).unwrap();
        assert_eq!(session.take().outputs, [json!(["a", 2]), json!(["a", 22])]);
        let refused = session.reload(json!({"time": 1})).unwrap_err();
        assert_eq!(
            refused.reason(),
            "config.time: unknown key `time`, expected `times`"
        );

        let saved = session.snapshot().unwrap();
        assert_eq!((saved.version, saved.entries.len()), (3, 1));
        let older = mosaik_wasm_sdk::State {
            version: 2,
            ..saved
        };
        assert_eq!(
            session.restore(older).unwrap_err().reason(),
            "the saved state has version 2, but this operator reads version 3"
        );
    }
}

#[test]
fn an_operator_describes_its_ports_state_and_configuration() {
    let described = Driver::<Typed<stateful::Sums>>::describe();
    assert_eq!(described.inputs, ["left", "far_right"]);
    assert_eq!(described.outputs, ["out", "odd-ones"]);
    assert_eq!(described.state_version, 3);
    assert_eq!(
        described.config_schema,
        r#"{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","required":["times"],"additionalProperties":false,"properties":{"times":{"description":"How often.","type":"integer","minimum":0}}}"#
    );
}

mod schema {
    use mosaik_wasm_sdk::prelude::*;

    #[derive(Deserialize, OperatorConfig)]
    #[config(serde, schema = "{")]
    struct Config {}

    #[operator]
    fn broken(n: u32, _config: &Config) -> u32 {
        n
    }

    #[test]
    fn a_schema_that_is_not_json_is_found_by_every_test() {
        let error = testing::run::<broken>((), [1]).unwrap_err();
        assert!(
            error
                .reason()
                .starts_with("the schema of the configuration is invalid JSON: EOF"),
            "{error}"
        );
    }
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
fn records_are_read_and_written_in_the_encoding_of_the_stream() {
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
            .contains("a tuple cannot be a record of a stream")
    );
    assert_eq!(
        through::<pair>("yaml", "json", b"5"),
        Err("unknown encoding `yaml`".to_owned())
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
