//! [`Difference`]: a key with different values in two manifests.

use std::fmt;

use super::{Kind, Reload, Section};

/// A key with different values in two manifests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The name of the key; `limits.time` for a key of a section within another.
    pub key: String,
    /// The effect of the change.
    pub reload: Reload,
    /// The old and the new value as written in a manifest, if they can be shown.
    pub values: Option<(String, String)>,
}

impl Difference {
    /// Creates a difference whose values are not shown.
    pub(crate) fn new(key: impl Into<String>, reload: Reload) -> Self {
        Self {
            key: key.into(),
            reload,
            values: None,
        }
    }

    /// Returns whether this is a difference of a key, or of a key of the section within it.
    pub(crate) fn is_of(&self, key: &str) -> bool {
        let rest = self.key.strip_prefix(key);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }
}

/// Formats a difference: `linger: 0s → 5ms`, or `config`.
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key)?;
        match &self.values {
            Some((old, new)) => write!(f, ": {old} → {new}"),
            None => Ok(()),
        }
    }
}

impl Section {
    /// Returns the difference of a key that is compared outside of this module.
    pub(crate) fn difference(&self, name: &str) -> Option<Difference> {
        let key = self.all_keys().find(|key| key.name == name)?;
        Some(Difference::new(key.name, key.reload?))
    }
}

/// Compares two values of a key. Without a value, `None` is compared.
pub(crate) fn compare<T: PartialEq>(
    section: &Section,
    name: &str,
    kind: &Kind<T>,
    old: Option<&T>,
    new: Option<&T>,
) -> Vec<Difference> {
    let Some(whole) = section.difference(name).filter(|_| old != new) else {
        return Vec::new();
    };
    let parts = |value: Option<&T>| value.map(&kind.parts).unwrap_or_default();
    let (old_parts, new_parts) = (parts(old), parts(new));
    let both = old_parts.iter().filter_map(|(key, old)| {
        let (_, new) = new_parts.iter().find(|(other, _)| other == key)?;
        Some((key, old, new))
    });
    let inner = both.filter(|(_, old, new)| old != new);
    let inner: Vec<_> = inner
        .map(|(key, old, new)| Difference {
            key: format!("{name}.{key}"),
            values: Some((old.clone(), new.clone())),
            ..whole.clone()
        })
        .collect();
    let same_parts = old_parts.len() == new_parts.len();
    if !inner.is_empty() && same_parts {
        return inner;
    }
    let show = |value: Option<&T>| match value {
        Some(value) => (kind.show)(value),
        None => Some("unset".to_owned()),
    };
    let values = show(old).zip(show(new)).filter(|(old, new)| old != new);
    vec![Difference { values, ..whole }]
}
