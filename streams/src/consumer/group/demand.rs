//! [`Demand`]: the combined request of the consumers that share a subscription. No I/O.

use crate::Criteria;

/// The request to remote producers on behalf of all consumers that share a subscription.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::consumer) struct Demand {
    /// The union of their criteria.
    pub(in crate::consumer) criteria: Criteria,
    /// The number of consumers.
    pub(in crate::consumer) consumers: u16,
    /// True if the criteria of every consumer equal the union.
    pub(in crate::consumer) is_uniform: bool,
}

impl Demand {
    /// Combines the criteria of all consumers. A union that exceeds the limits of criteria requests every record.
    pub(in crate::consumer) fn of(criteria: impl IntoIterator<Item = Criteria>) -> Self {
        let mut distinct: Vec<Criteria> = Vec::new();
        let mut consumers = 0_u16;
        for one in criteria {
            consumers = consumers.saturating_add(1);
            if !distinct.contains(&one) {
                distinct.push(one);
            }
        }
        let is_uniform = distinct.len() <= 1;
        let union = distinct.into_iter().reduce(Criteria::or);
        // Criteria of a single consumer that do not fit on the wire are applied by the consumer alone.
        let union = union.filter(|union| is_uniform || union.to_wire().is_ok());
        Self {
            criteria: union.unwrap_or_default(),
            consumers: consumers.max(1),
            is_uniform,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(value: &str) -> Criteria {
        Criteria::field("a").eq(value)
    }

    #[test]
    fn the_union_is_what_any_of_them_wants() {
        let alike = Demand::of([field("x"), field("x")]);
        let expected = Demand {
            criteria: field("x"),
            consumers: 2,
            is_uniform: true,
        };
        assert_eq!(alike, expected);
        let different = Demand::of([field("x"), field("y"), field("x")]);
        assert_eq!(different.criteria, field("x").or(field("y")));
        assert_eq!((different.consumers, different.is_uniform), (3, false));
        let all = Demand::of([field("x"), Criteria::default()]);
        assert!(all.criteria.is_everything() && !all.is_uniform);
        assert_eq!(Demand::of([]).consumers, 1);
    }

    #[test]
    fn a_union_beyond_the_bounds_asks_for_everything() {
        let long = |name: char| field(&name.to_string().repeat(40_000));
        assert_eq!(Demand::of([long('a')]).criteria, long('a'));
        assert!(Demand::of([long('a'), long('b')]).criteria.is_everything());
        let many = (0..600).map(|n| field(&n.to_string()).and(field("z")));
        assert!(Demand::of(many).criteria.is_everything());
    }
}
