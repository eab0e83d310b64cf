//! Saving and restoring for `#[operator(state)]`: JSON, so that a type can gain optional fields without a new version.

use crate::frames_operator::{Entry, State};
use crate::{Error, Result, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, Hash};

/// A state, or the part of one key, that was saved by an older version of the operator. Passed to `migrate`.
///
/// ```
/// use mosaik_wasm_sdk::prelude::*;
///
/// #[derive(Serialize, Deserialize)]
/// struct Mean { sum: f64, count: u64 }
///
/// /// Version 1 saved only the last value.
/// fn from_older(saved: &Saved<'_>) -> Result<Mean> {
///     match saved.version {
///         1 => Ok(Mean { sum: saved.read()?, count: 1 }),
///         other => bail!("unknown version {other}"),
///     }
/// }
///
/// #[operator(state, version = 2, migrate = from_older)]
/// impl Operator for Mean {
///     type Config = NoConfig;
///     type Input = f64;
///     type Output = f64;
///
///     fn open(_config: NoConfig) -> Result<Self> {
///         Ok(Self { sum: 0.0, count: 0 })
///     }
///
///     fn process(&mut self, value: f64, out: &mut Out<'_, f64>) -> Result<()> {
///         self.sum += value;
///         self.count += 1;
///         out.push(&(self.sum / self.count as f64))
///     }
/// }
///
/// let mut session = testing::Session::<Mean>::open(()).unwrap();
/// session.restore(testing::saved(1, b"10.0")).unwrap();
/// session.send("in", [20.0]).unwrap();
/// assert_eq!(session.finish().unwrap().outputs, [json!(15.0)]);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Saved<'a> {
    /// The version that saved it, lower than the operator's own.
    pub version: u32,
    /// The key that it belongs to, as compact JSON, if the state was saved by key.
    pub key: Option<&'a [u8]>,
    /// The saved bytes: JSON, if saved by `#[operator(state)]`.
    pub bytes: &'a [u8],
}

impl Saved<'_> {
    /// Decodes it as a type with the older layout.
    ///
    /// # Errors
    /// Fails if it does not match the type.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T> {
        parse(self.bytes)
    }
}

/// A map that `#[operator(state = field, keyed)]` saves with one entry per key.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot keep state by key",
    label = "not a map",
    note = "`keyed` takes a `BTreeMap` or a `HashMap`"
)]
pub trait KeyedState: Sized {
    /// The key: the value of the records' field that the manifest's `key` names.
    type Key: Serialize + DeserializeOwned;
    /// The state of a key.
    type Value: Serialize + DeserializeOwned;

    /// Creates an empty map with room for this many keys.
    fn with_capacity(keys: usize) -> Self;
    /// Adds a key. Returns true if it was not present.
    fn add(&mut self, key: Self::Key, value: Self::Value) -> bool;
    /// Iterates over all keys and their states.
    fn entries(&self) -> impl Iterator<Item = (&Self::Key, &Self::Value)>;
}

impl<K: Serialize + DeserializeOwned + Ord, V: Serialize + DeserializeOwned> KeyedState
    for BTreeMap<K, V>
{
    type Key = K;
    type Value = V;

    fn with_capacity(_keys: usize) -> Self {
        Self::new()
    }

    fn add(&mut self, key: K, value: V) -> bool {
        self.insert(key, value).is_none()
    }

    fn entries(&self) -> impl Iterator<Item = (&K, &V)> {
        self.iter()
    }
}

impl<K, V, S> KeyedState for HashMap<K, V, S>
where
    K: Serialize + DeserializeOwned + Eq + Hash,
    V: Serialize + DeserializeOwned,
    S: BuildHasher + Default,
{
    type Key = K;
    type Value = V;

    fn with_capacity(keys: usize) -> Self {
        Self::with_capacity_and_hasher(keys, S::default())
    }

    fn add(&mut self, key: K, value: V) -> bool {
        self.insert(key, value).is_none()
    }

    fn entries(&self) -> impl Iterator<Item = (&K, &V)> {
        self.iter()
    }
}

/// Converts an older state to the current version.
pub(crate) type Migrate<T> = fn(&Saved<'_>) -> Result<T>;

/// Saves a state in one part.
pub fn save<T: Serialize>(state: &T) -> Result<Vec<Entry>> {
    Ok(vec![Entry {
        key: None,
        value: text(state)?,
    }])
}

/// Restores a state from [`save`]; `None` if nothing was saved.
pub fn load<T: DeserializeOwned>(
    saved: &State,
    version: u32,
    migrate: Option<Migrate<T>>,
) -> Result<Option<T>> {
    match saved.entries.as_slice() {
        [] => Ok(None),
        [entry @ Entry { key: None, .. }] => {
            read_entry(saved.version, entry, version, migrate).map(Some)
        }
        entries => bail!(
            "the saved state has {} parts by key, but this operator expects a single part",
            entries.len()
        ),
    }
}

/// Saves one entry per key.
pub fn save_keyed<M: KeyedState>(state: &M) -> Result<Vec<Entry>> {
    let entry = |(key, value)| {
        Ok(Entry {
            key: Some(text(key)?),
            value: text(value)?,
        })
    };
    state.entries().map(entry).collect()
}

/// Restores a state from [`save_keyed`], or from [`save`] of the same map before it was kept by key.
pub fn load_keyed<M: KeyedState + DeserializeOwned>(
    saved: &State,
    version: u32,
    migrate: Option<Migrate<M::Value>>,
) -> Result<Option<M>> {
    if let [entry @ Entry { key: None, .. }] = saved.entries.as_slice() {
        return read_entry(saved.version, entry, version, None).map(Some);
    }
    let mut state = M::with_capacity(saved.entries.len());
    for entry in &saved.entries {
        let Some(key) = &entry.key else {
            bail!("a part of the saved state has no key, but this operator keeps its state by key");
        };
        let shown = || String::from_utf8_lossy(key);
        let of_key = |error: Error| Error::new(format_args!("key {}: {error}", shown()));
        let value = read_entry(saved.version, entry, version, migrate).map_err(of_key)?;
        if !state.add(parse(key).map_err(of_key)?, value) {
            bail!("the saved state contains the key {} twice", shown());
        }
    }
    Ok(Some(state))
}

fn read_entry<T: DeserializeOwned>(
    saved: u32,
    entry: &Entry,
    version: u32,
    migrate: Option<Migrate<T>>,
) -> Result<T> {
    if saved == version {
        return parse(&entry.value);
    }
    match migrate {
        Some(migrate) if saved < version => migrate(&Saved {
            version: saved,
            key: entry.key.as_deref(),
            bytes: &entry.value,
        })
        .map_err(|error| {
            Error::new(format_args!(
                "failed to migrate the saved state from version {saved} to {version}: {error}"
            ))
        }),
        _ => {
            bail!("the saved state has version {saved}, but this operator reads version {version}")
        }
    }
}

fn text<T: Serialize + ?Sized>(state: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(state)
        .map_err(|error| Error::new(format_args!("failed to save the state: {error}")))
}

fn parse<T: DeserializeOwned>(state: &[u8]) -> Result<T> {
    serde_json::from_slice(state)
        .map_err(|error| Error::new(format_args!("failed to read the saved state: {error}")))
}
