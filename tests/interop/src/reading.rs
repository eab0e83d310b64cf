//! The record type of the tests: a struct with every kind of field, each value derived from its number.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    pub seq: u64,
    pub symbol: String,
    pub price: f64,
    pub change: i32,
    pub tags: Vec<String>,
    pub note: Option<String>,
    pub side: Side,
    pub levels: BTreeMap<u16, f32>,
    pub padding: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Side {
    Bid,
    Ask { size: u32 },
    Cross(bool, char),
}

impl Reading {
    pub fn nth(seq: u64, padding: usize) -> Self {
        let small = u16::try_from(seq % 1000).unwrap_or_default();
        Self {
            seq,
            symbol: format!("S{}", seq % 7),
            price: f64::from(small) / 8.0,
            change: i32::from(small) - 500,
            tags: (0..seq % 3).map(|n| format!("t{n}")).collect(),
            note: seq.is_multiple_of(2).then(|| format!("note ü {seq}")),
            side: match seq % 3 {
                0 => Side::Bid,
                1 => Side::Ask {
                    size: u32::from(small),
                },
                _ => Side::Cross(seq.is_multiple_of(2), 'é'),
            },
            levels: (0..small % 4).map(|n| (n, f32::from(n) / 2.0)).collect(),
            padding: vec![7; padding],
        }
    }
}
