//! What `#[operator(state)]` saves, whole and by key, and what becomes of what older versions saved.

use mosaik_wasm_sdk::prelude::*;
use mosaik_wasm_sdk::{Entry, State};
use std::collections::{BTreeMap, HashMap};

mod by_key {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    pub(crate) struct Seen {
        times: u32,
    }

    pub(crate) struct Counts {
        seen: HashMap<Option<(String, u32)>, Seen>,
    }

    /// Version 1 kept a number; version 2 never was.
    fn from_number(saved: &Saved<'_>) -> Result<Seen> {
        ensure!(saved.version == 1, "version {} never was", saved.version);
        ensure!(saved.key != Some(b"null"), "it has no key");
        Ok(Seen {
            times: saved.read()?,
        })
    }

    #[operator(state = seen, keyed, version = 3, migrate = from_number)]
    impl Operator for Counts {
        type Config = NoConfig;
        type Input = Option<(String, u32)>;
        type Output = u32;

        fn open(_config: NoConfig) -> Result<Self> {
            Ok(Self {
                seen: HashMap::new(),
            })
        }

        fn process(&mut self, key: Self::Input, out: &mut Out<'_, u32>) -> Result<()> {
            let seen = self.seen.entry(key).or_insert(Seen { times: 0 });
            seen.times += 1;
            out.push(&seen.times)
        }
    }
}

mod whole {
    use super::*;

    #[derive(Serialize, Deserialize)]
    pub(crate) struct Last {
        last: BTreeMap<String, u32>,
    }

    #[operator(state = last)]
    impl Operator for Last {
        type Config = NoConfig;
        type Input = u32;
        type Output = u32;

        fn open(_config: NoConfig) -> Result<Self> {
            Ok(Self {
                last: BTreeMap::new(),
            })
        }

        fn process(&mut self, n: u32, out: &mut Out<'_, u32>) -> Result<()> {
            out.push(&self.last.insert(String::new(), n).unwrap_or_default())
        }
    }
}

mod stateless {
    use super::*;

    #[operator]
    pub(crate) fn same(n: u32) -> u32 {
        n
    }
}

fn state(version: u32, entries: &[(Option<&str>, &str)]) -> State {
    let entry = |(key, value): &(Option<&str>, &str)| Entry {
        key: key.map(|key| key.as_bytes().to_vec()),
        value: value.as_bytes().to_vec(),
    };
    State {
        version,
        entries: entries.iter().map(entry).collect(),
    }
}

fn restored<T: Operator>(saved: State) -> Result<testing::Session<T>> {
    let mut session = testing::Session::<T>::open(())?;
    session.restore(saved)?;
    Ok(session)
}

#[test]
fn a_keyed_state_is_an_entry_a_key_whose_bytes_are_its_json() {
    let mut session = testing::Session::<by_key::Counts>::open(()).unwrap();
    let records = [json!(["IBM", 7]), json!(["IBM", 7]), json!(null)];
    session.send("in", &records).unwrap();
    let mut saved = session.snapshot().unwrap();
    saved.entries.sort_by(|a, b| a.key.cmp(&b.key));
    let expected = [
        (Some(r#"["IBM",7]"#), r#"{"times":2}"#),
        (Some("null"), r#"{"times":1}"#),
    ];
    assert_eq!(saved, state(3, &expected));

    // Any of the entries can go to any instance.
    for (entry, datum, times) in [(0, &records[0], 3), (1, &records[2], 2)] {
        let one = State {
            version: 3,
            entries: vec![saved.entries[entry].clone()],
        };
        let mut part = restored::<by_key::Counts>(one).unwrap();
        part.send("in", &records[..1]).unwrap();
        part.send("in", &records[2..]).unwrap();
        let outputs = part.take().outputs;
        assert!(outputs.contains(&json!(times)), "{datum}: {outputs:?}");
        assert!(outputs.contains(&json!(1)), "{datum}: {outputs:?}");
    }
}

#[test]
fn a_state_of_an_older_version_is_migrated_key_by_key() {
    let older = state(1, &[(Some(r#"["a",1]"#), "41"), (Some(r#"["b",1]"#), "1")]);
    let mut session = restored::<by_key::Counts>(older).unwrap();
    session.send("in", [json!(["a", 1])]).unwrap();
    assert_eq!(session.take().outputs, [json!(42)]);
    assert_eq!(session.snapshot().unwrap().entries.len(), 2);
}

#[test]
fn what_cannot_be_migrated_says_where_and_why() {
    let reason = |saved| match restored::<by_key::Counts>(saved) {
        Ok(_) => panic!("it was restored"),
        Err(error) => error.into_reason(),
    };
    let at = |version, key, value| reason(state(version, &[(Some(key), value)]));
    assert_eq!(
        at(2, "[\"a\",1]", "1"),
        "key [\"a\",1]: failed to migrate the saved state from version 2 to 3: version 2 never was"
    );
    assert_eq!(
        at(1, "null", "1"),
        "key null: failed to migrate the saved state from version 1 to 3: it has no key"
    );
    assert!(at(1, "[\"a\",1]", "{}").contains("failed to read the saved state: invalid type: map"));
    assert_eq!(
        at(4, "null", "1"),
        "key null: the saved state has version 4, but this operator reads version 3"
    );
    assert!(at(3, "7", "{\"times\":1}").starts_with("key 7: failed to read the saved state"));
    let twice = [
        (Some("null"), "{\"times\":1}"),
        (Some("null"), "{\"times\":1}"),
    ];
    assert_eq!(
        reason(state(3, &twice)),
        "the saved state contains the key null twice"
    );
    let mixed = [(Some("null"), "{\"times\":1}"), (None, "{}")];
    assert_eq!(
        reason(state(3, &mixed)),
        "a part of the saved state has no key, but this operator keeps its state by key"
    );
}

#[test]
fn a_state_of_one_piece_stays_one() {
    let mut session = testing::Session::<whole::Last>::open(()).unwrap();
    session.send("in", [5]).unwrap();
    let saved = session.snapshot().unwrap();
    assert_eq!(saved, testing::saved(1, br#"{"":5}"#));
    let mut next = restored::<whole::Last>(saved).unwrap();
    next.send("in", [6]).unwrap();
    assert_eq!(next.take().outputs, [json!(5)]);
    restored::<whole::Last>(state(0, &[])).unwrap();
    let by_key = restored::<whole::Last>(state(1, &[(Some("1"), "1"), (Some("2"), "1")]));
    assert_eq!(
        by_key.err().unwrap().reason(),
        "the saved state has 2 parts by key, but this operator expects a single part"
    );
    let kept = restored::<stateless::same>(state(1, &[(None, "1")]));
    assert_eq!(kept.err().unwrap().reason(), "this operator has no state");
    restored::<stateless::same>(state(7, &[])).unwrap();
}

mod later_by_key {
    use super::*;

    pub(crate) struct Later {
        last: BTreeMap<String, u32>,
    }

    #[operator(state = last, keyed)]
    impl Operator for Later {
        type Config = NoConfig;
        type Input = String;
        type Output = Option<u32>;

        fn open(_config: NoConfig) -> Result<Self> {
            Ok(Self {
                last: BTreeMap::new(),
            })
        }

        fn process(&mut self, key: String, out: &mut Out<'_, Option<u32>>) -> Result<()> {
            out.push(&self.last.get(&key).copied())
        }
    }
}

#[test]
fn a_map_saved_in_one_piece_can_become_one_by_key() {
    let whole = testing::saved(1, br#"{"a":1,"b":2}"#);
    let mut session = restored::<later_by_key::Later>(whole).unwrap();
    session.send("in", ["b", "c"]).unwrap();
    assert_eq!(session.take().outputs, [json!(2), json!(null)]);
    assert_eq!(
        session.snapshot().unwrap(),
        state(1, &[(Some("\"a\""), "1"), (Some("\"b\""), "2")])
    );
}
