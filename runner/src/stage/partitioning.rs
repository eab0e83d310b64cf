//! Distributes the state of an operator when the number of its instances changes.

use super::{NotKeyed, RepartitionError, history::Saved, key::Key};
use crate::operator::{Entry, State};

/// The number of instances, and the key that assigns records to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partitioning {
    /// Number of instances, at least 1.
    pub instances: usize,
    /// The key; without one, any instance may receive any record.
    pub key: Option<Key>,
}

/// Returns the initial state of the new instances. Each receives the entries of its keys.
///
/// # Errors
/// The reason why the state cannot be redistributed.
pub(super) fn repartition(
    saved: Vec<Saved>,
    from: &Partitioning,
    to: &Partitioning,
) -> Result<Vec<Option<Saved>>, RepartitionError> {
    let stays = from.instances == to.instances && (from.key == to.key || from.instances == 1);
    if stays {
        return Ok(saved.into_iter().map(Some).collect());
    }
    let kept = saved.iter().map(|saved| saved.kept).sum();
    let states = saved.into_iter().map(|saved| saved.state);
    Ok(share(kept, repartition_states(states, from, to)?))
}

/// Distributes the number of kept records among these states, in proportion to their entries.
fn share(kept: u64, states: Vec<Option<State>>) -> Vec<Option<Saved>> {
    let entries = |state: &Option<State>| state.as_ref().map_or(0, |state| state.entries.len());
    let mut entries_left: u64 = states.iter().map(|state| entries(state) as u64).sum();
    let mut kept_left = kept;
    let shared = states.into_iter().map(|state| {
        let entries = entries(&state) as u64;
        let kept = u128::from(kept_left) * u128::from(entries) / u128::from(entries_left.max(1));
        let kept = u64::try_from(kept).unwrap_or(kept_left);
        kept_left -= kept;
        entries_left -= entries;
        state.map(|state| Saved { state, kept })
    });
    shared.collect()
}

fn repartition_states(
    states: impl Iterator<Item = State>,
    from: &Partitioning,
    to: &Partitioning,
) -> Result<Vec<Option<State>>, RepartitionError> {
    let mut parts: Vec<Option<State>> = vec![None; to.instances];
    for state in states {
        for entry in state.entries {
            let places = match &entry.key {
                // The entry belongs to all keys.
                Some(key) if key.is_empty() => 0..to.instances,
                _ => {
                    let place = place(&entry, from, to)?;
                    place..place + 1
                }
            };
            for part in &mut parts[places] {
                let part = part.get_or_insert_with(|| State {
                    version: state.version,
                    entries: Vec::new(),
                });
                part.entries.push(entry.clone());
            }
        }
    }
    Ok(parts)
}

fn place(entry: &Entry, from: &Partitioning, to: &Partitioning) -> Result<usize, RepartitionError> {
    let reason = match (&entry.key, &to.key) {
        (None, _) => NotKeyed::State,
        // The single instance receives all entries of each key.
        (Some(_), None) if to.instances == 1 && from.key.is_some() => return Ok(0),
        (Some(_), None) => NotKeyed::Records,
        (Some(_), Some(key)) if from.instances > 1 && from.key.as_ref() != Some(key) => {
            NotKeyed::Changed
        }
        (Some(key), Some(_)) => return Ok(Key::instance(key, to.instances)),
    };
    Err(RepartitionError {
        from: from.instances,
        to: to.instances,
        reason,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn of(instances: usize, key: Option<&str>) -> Partitioning {
        Partitioning {
            instances,
            key: key.map(|field| Key::new([field])),
        }
    }

    fn entries(keys: &[Option<&str>]) -> State {
        let entry = |key: Option<&str>| Entry {
            key: key.map(|key| Bytes::copy_from_slice(key.as_bytes())),
            value: Bytes::from_static(b"v"),
        };
        State {
            version: 3,
            entries: keys.iter().copied().map(entry).collect(),
        }
    }

    fn repartition(
        states: Vec<Option<State>>,
        from: &Partitioning,
        to: &Partitioning,
    ) -> Result<Vec<Option<State>>, RepartitionError> {
        let saved = states.into_iter().map(|state| {
            let state = state.unwrap_or_default();
            let kept = 2 * state.entries.len() as u64;
            Saved { state, kept }
        });
        let saved: Vec<_> = saved.collect();
        let before: u64 = saved.iter().map(|saved| saved.kept).sum();
        let after = super::repartition(saved, from, to)?;
        let kept: u64 = after.iter().flatten().map(|saved| saved.kept).sum();
        assert_eq!(kept, before, "of {after:?}");
        Ok(after
            .into_iter()
            .map(|saved| saved.map(|saved| saved.state))
            .collect())
    }

    #[test]
    fn kept_records_are_divided_in_proportion_to_entries() {
        let state = |count: usize| Some(entries(&vec![Some("k"); count]));
        let shared = share(10, vec![state(2), None, state(0), state(1)]);
        let kept: Vec<_> = shared.iter().map(|s| s.as_ref().map(|s| s.kept)).collect();
        assert_eq!(kept, [Some(6), None, Some(0), Some(4)]);
        let most = share(u64::MAX, vec![state(1), state(1)]);
        let kept: u64 = most.iter().flatten().map(|saved| saved.kept).sum();
        assert_eq!(kept, u64::MAX);
    }

    fn keys(states: &[Option<State>]) -> Vec<Vec<String>> {
        let keys = |state: &Option<State>| {
            let entries = state.iter().flat_map(|state| &state.entries);
            let keys = entries.map(|entry| entry.key.as_deref().unwrap_or_default());
            keys.map(|key| String::from_utf8_lossy(key).into_owned())
                .collect()
        };
        states.iter().map(keys).collect()
    }

    #[test]
    fn every_key_moves_to_the_instance_of_its_records() {
        let (one, three, two) = (of(1, Some("k")), of(3, Some("k")), of(2, Some("k")));
        let all: Vec<String> = (0..50).map(|n| n.to_string()).collect();
        let names: Vec<_> = all.iter().map(|key| Some(key.as_str())).collect();
        let mut states = vec![Some(entries(&names))];
        for (from, to) in [(&one, &three), (&three, &two), (&two, &one)] {
            states = repartition(states, from, to).unwrap();
            let keys = keys(&states);
            for (place, keys) in keys.iter().enumerate() {
                let stay = |key: &String| Key::instance(key.as_bytes(), to.instances) == place;
                assert!(keys.iter().all(stay));
            }
            let mut found: Vec<_> = keys.concat();
            found.sort_by_key(|key| key.parse::<u32>().unwrap());
            assert_eq!(found, all);
            assert!(states.iter().flatten().all(|state| state.version == 3));
        }
    }

    #[test]
    fn an_unchanged_partitioning_keeps_the_state_in_place() {
        let before = vec![Some(entries(&[None])), Some(entries(&[Some("a")]))];
        for key in [None, Some("k")] {
            let same = of(2, key);
            assert_eq!(repartition(before.clone(), &same, &same).unwrap(), before);
        }
        // A single instance has all entries of every key.
        let alone = vec![Some(entries(&[Some("a"), None]))];
        assert_eq!(
            repartition(alone.clone(), &of(1, None), &of(1, Some("k"))).unwrap(),
            alone
        );
    }

    #[test]
    fn a_state_that_cannot_be_repartitioned_is_refused_with_the_reason() {
        let refused = |states, from, to| {
            let error = repartition(states, &from, &to).unwrap_err();
            error.to_string()
        };
        let keyed = || vec![Some(entries(&[Some("a")])), None];
        assert_eq!(
            refused(vec![Some(entries(&[None]))], of(1, None), of(2, Some("k"))),
            "its state cannot move from 1 to 2 instances: its state is not kept by key; `state: reset` starts without it"
        );
        assert!(refused(keyed(), of(2, Some("k")), of(3, None)).contains("there is no `key`"));
        assert!(refused(keyed(), of(2, None), of(1, None)).contains("there is no `key`"));
        assert!(refused(keyed(), of(2, Some("k")), of(3, Some("l"))).contains("its `key` changed"));
        assert!(refused(keyed(), of(2, None), of(2, Some("k"))).contains("its `key` changed"));
    }

    #[test]
    fn entries_of_all_keys_are_copied_to_every_instance() {
        let (two, three) = (of(2, Some("k")), of(3, Some("k")));
        let states = vec![
            Some(entries(&[Some("")])),
            Some(entries(&[Some(""), Some("a")])),
        ];
        let states = repartition(states, &two, &three).unwrap();
        assert!(states.iter().flatten().all(|state| state.len() >= 2));
        assert_eq!(keys(&states).concat().len(), 2 * 3 + 1);
    }

    #[test]
    fn an_empty_state_needs_no_repartitioning() {
        let none = repartition(
            vec![Some(entries(&[])), None],
            &of(2, None),
            &of(3, Some("k")),
        )
        .unwrap();
        assert_eq!(none, [None, None, None]);
    }
}
