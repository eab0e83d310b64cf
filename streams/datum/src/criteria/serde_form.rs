//! The form of criteria in YAML and JSON: a mapping from dotted paths to conditions, or a list of such mappings.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, MapAccess, SeqAccess, Visitor},
    ser::{self, SerializeMap},
};
use serde_json::value::RawValue;

use super::{
    Alternative, Condition, Criteria, MAX_CONDITIONS, MAX_NEGATIONS, MAX_PATH_FIELDS, Path, Range,
    Scalar,
    spelled::{self, Spelled},
};
use crate::number::NotANumber;

impl<'de> Deserialize<'de> for Criteria {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let criteria = deserializer.deserialize_any(CriteriaVisitor)?;
        criteria.check_bounds().map_err(de::Error::custom)?;
        Ok(criteria)
    }
}

impl Criteria {
    /// Refuses criteria that exceed the limits on their cost.
    pub(crate) fn check_bounds(&self) -> Result<(), String> {
        let conditions = self.any.iter().flat_map(|alternative| &alternative.all);
        let mut total = self
            .any
            .iter()
            .filter(|alternative| alternative.all.is_empty())
            .count();
        for (path, condition) in conditions {
            let (size, negations) = condition.cost();
            total += size;
            if path.0.len() > MAX_PATH_FIELDS {
                return Err(format!(
                    "a path of {} names, more than {MAX_PATH_FIELDS}",
                    path.0.len()
                ));
            }
            if negations > MAX_NEGATIONS {
                return Err(format!("more than {MAX_NEGATIONS} nested `not`"));
            }
        }
        if total > MAX_CONDITIONS {
            return Err(format!("{total} conditions, more than {MAX_CONDITIONS}"));
        }
        Ok(())
    }
}

impl Condition {
    fn cost(&self) -> (usize, usize) {
        let (mut condition, mut negations) = (self, 0);
        while let Self::Not(inner) = condition {
            (condition, negations) = (inner, negations + 1);
        }
        let size = if let Self::OneOf(values) = condition {
            values.len().max(1)
        } else {
            1
        };
        (size, negations)
    }
}

struct CriteriaVisitor;

impl<'de> Visitor<'de> for CriteriaVisitor {
    type Value = Criteria;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping from fields to conditions, or a list of such mappings")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Criteria, A::Error> {
        let alternative = AlternativeVisitor.visit_map(map)?;
        let any = if alternative.all.is_empty() {
            Vec::new()
        } else {
            vec![alternative]
        };
        Ok(Criteria { any })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Criteria, A::Error> {
        let mut any = Vec::new();
        while let Some(alternative) = seq.next_element()? {
            any.push(alternative);
        }
        Ok(Criteria { any })
    }
}

struct AlternativeVisitor;

impl<'de> Visitor<'de> for AlternativeVisitor {
    type Value = Alternative;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping from fields to conditions")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Alternative, A::Error> {
        let mut all = Vec::new();
        while let Some((path, HumanCondition(condition))) = map.next_entry::<String, _>()? {
            all.push((Path::from(path.as_str()), condition));
        }
        Ok(Alternative { all })
    }
}

struct HumanCondition(Condition);

impl<'de> Deserialize<'de> for HumanCondition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        spelled::deserialize(deserializer, ConditionVisitor).map(Self)
    }
}

impl Spelled for ConditionVisitor {
    type Output = Condition;

    const EXPECTED: &'static str = "a value, a list of values, or a mapping with `gt`, `gte`, `lt`, `lte`, `prefix`, `exists` or `not`";

    fn number<E: de::Error>(self, text: &str) -> Result<Condition, E> {
        let scalar = ScalarVisitor.number(text);
        scalar.map(|scalar| Condition::OneOf(vec![scalar]))
    }

    fn any<'de, D: Deserializer<'de>>(self, deserializer: D) -> Result<Condition, D::Error> {
        deserializer.deserialize_any(self)
    }
}

struct ConditionVisitor;

const CONDITION_KEYS: &[&str] = &["gt", "gte", "lt", "lte", "prefix", "exists", "not"];

impl<'de> Visitor<'de> for ConditionVisitor {
    type Value = Condition;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::EXPECTED)
    }

    fn visit_bool<E: de::Error>(self, v: bool) -> Result<Condition, E> {
        Ok(Condition::OneOf(vec![Scalar::Bool(v)]))
    }

    fn visit_i64<E: de::Error>(self, v: i64) -> Result<Condition, E> {
        Ok(Condition::OneOf(vec![Scalar::Int(v)]))
    }

    fn visit_u64<E: de::Error>(self, v: u64) -> Result<Condition, E> {
        Ok(Condition::OneOf(vec![Scalar::from(v)]))
    }

    fn visit_f64<E: de::Error>(self, v: f64) -> Result<Condition, E> {
        Ok(Condition::OneOf(vec![Scalar::Float(v)]))
    }

    fn visit_str<E: de::Error>(self, v: &str) -> Result<Condition, E> {
        Ok(Condition::OneOf(vec![Scalar::Text(v.to_owned())]))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Condition, E> {
        Ok(Condition::OneOf(vec![Scalar::Null]))
    }

    fn visit_none<E: de::Error>(self) -> Result<Condition, E> {
        self.visit_unit()
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Condition, A::Error> {
        let mut values = Vec::new();
        while let Some(HumanScalar(value)) = seq.next_element()? {
            values.push(value);
        }
        Ok(Condition::OneOf(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Condition, A::Error> {
        let (mut range, mut in_range, mut other) = (Range::default(), false, None);
        while let Some(key) = map.next_key::<String>()? {
            if other.is_some() {
                return Err(de::Error::custom(
                    "`prefix`, `exists` and `not` cannot be combined with other keys",
                ));
            }
            let bound = match key.as_str() {
                "gt" => &mut range.gt,
                "gte" => &mut range.gte,
                "lt" => &mut range.lt,
                "lte" => &mut range.lte,
                "prefix" => {
                    other = Some(Condition::Prefix(map.next_value()?));
                    continue;
                }
                "exists" => {
                    other = Some(Condition::Exists(map.next_value()?));
                    continue;
                }
                "not" => {
                    other = Some(Condition::Not(Box::new(
                        map.next_value::<HumanCondition>()?.0,
                    )));
                    continue;
                }
                unknown => return Err(de::Error::unknown_field(unknown, CONDITION_KEYS)),
            };
            let HumanScalar(value) = map.next_value()?;
            if matches!(value, Scalar::Null | Scalar::Bool(_)) {
                return Err(de::Error::custom(format_args!(
                    "`{key}` must be a number or text"
                )));
            }
            *bound = Some(value);
            in_range = true;
        }
        match (in_range, other) {
            (true, None) => Ok(Condition::Range(range)),
            (false, Some(condition)) => Ok(condition),
            (true, Some(_)) => Err(de::Error::custom(
                "a range cannot be combined with `prefix`, `exists` or `not`",
            )),
            (false, None) => Err(de::Error::custom(
                "empty condition; omit the field to accept any value",
            )),
        }
    }
}

struct HumanScalar(Scalar);

impl<'de> Deserialize<'de> for HumanScalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        spelled::deserialize(deserializer, ScalarVisitor).map(Self)
    }
}

impl Spelled for ScalarVisitor {
    type Output = Scalar;

    const EXPECTED: &'static str = "a single value: null, a boolean, a number or text";

    fn number<E: de::Error>(self, text: &str) -> Result<Scalar, E> {
        Scalar::number(text).ok_or_else(|| E::custom(NotANumber))
    }

    fn any<'de, D: Deserializer<'de>>(self, deserializer: D) -> Result<Scalar, D::Error> {
        deserializer.deserialize_any(self)
    }
}

struct ScalarVisitor;

impl Visitor<'_> for ScalarVisitor {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::EXPECTED)
    }

    fn visit_bool<E: de::Error>(self, v: bool) -> Result<Scalar, E> {
        Ok(Scalar::Bool(v))
    }

    fn visit_i64<E: de::Error>(self, v: i64) -> Result<Scalar, E> {
        Ok(Scalar::Int(v))
    }

    fn visit_u64<E: de::Error>(self, v: u64) -> Result<Scalar, E> {
        Ok(Scalar::from(v))
    }

    fn visit_f64<E: de::Error>(self, v: f64) -> Result<Scalar, E> {
        Ok(Scalar::Float(v))
    }

    fn visit_str<E: de::Error>(self, v: &str) -> Result<Scalar, E> {
        Ok(Scalar::Text(v.to_owned()))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Scalar, E> {
        Ok(Scalar::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Scalar, E> {
        Ok(Scalar::Null)
    }
}

impl<'de> Deserialize<'de> for Alternative {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(AlternativeVisitor)
    }
}

impl Serialize for Criteria {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.any.as_slice() {
            [] => Alternative::default().serialize(serializer),
            [only] if !only.all.is_empty() => only.serialize(serializer),
            any => any.serialize(serializer),
        }
    }
}

impl Serialize for Alternative {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.all.len()))?;
        for (path, condition) in &self.all {
            map.serialize_entry(&path.to_string(), &HumanForm(condition))?;
        }
        map.end()
    }
}

struct HumanForm<'a, T>(&'a T);

impl Serialize for HumanForm<'_, Condition> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = match self.0 {
            Condition::OneOf(values) => {
                return match values.as_slice() {
                    [only] => HumanForm(only).serialize(serializer),
                    values => serializer.collect_seq(values.iter().map(HumanForm)),
                };
            }
            _ => serializer.serialize_map(None)?,
        };
        match self.0 {
            Condition::OneOf(_) => {}
            Condition::Range(range) => {
                let bounds = [
                    ("gt", &range.gt),
                    ("gte", &range.gte),
                    ("lt", &range.lt),
                    ("lte", &range.lte),
                ];
                for (name, bound) in bounds {
                    if let Some(bound) = bound {
                        map.serialize_entry(name, &HumanForm(bound))?;
                    }
                }
            }
            Condition::Prefix(prefix) => map.serialize_entry("prefix", prefix)?,
            Condition::Exists(exists) => map.serialize_entry("exists", exists)?,
            Condition::Not(inner) => map.serialize_entry("not", &HumanForm(&**inner))?,
        }
        map.end()
    }
}

impl Serialize for HumanForm<'_, Scalar> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Scalar::Null => serializer.serialize_unit(),
            Scalar::Bool(value) => serializer.serialize_bool(*value),
            Scalar::Int(value) => serializer.serialize_i64(*value),
            Scalar::Float(value) => serializer.serialize_f64(*value),
            Scalar::Text(value) => serializer.serialize_str(value),
            Scalar::Number(value) => {
                let json = RawValue::from_string(value.to_string());
                json.map_err(ser::Error::custom)?.serialize(serializer)
            }
        }
    }
}
