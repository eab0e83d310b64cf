//! Damaged binaries: whatever the bytes, `load` answers, and in time.

use std::time::Instant;

use super::guest::Guest;
use super::*;

/// Damaged binaries that are tried, if there is time.
const CASES: usize = 3000;
/// When it ends at the latest.
const TIME: Duration = Duration::from_secs(8);

#[test]
fn damaged_binaries_are_refused_or_run_but_never_panic() {
    let engine = engine();
    let guest = Guest::default();
    let seeds = [guest.component(), guest.module()];
    let mut rng = Rng(7);
    let limits = LoadLimits {
        describe_time_max: Duration::from_millis(20),
        ..LoadLimits::default()
    };
    let (start, mut tried, mut loaded) = (Instant::now(), 0, 0);
    while tried < CASES && start.elapsed() < TIME {
        let mut bytes = seeds[tried % seeds.len()].clone();
        for _ in 0..=rng.next_u32() % 4 {
            damage(&mut bytes, &mut rng);
        }
        match engine.load(&bytes, limits) {
            Ok(_) => loaded += 1,
            Err(LoadError::Internal(panic)) => panic!("case {tried} panicked: {panic}"),
            Err(_) => {}
        }
        tried += 1;
    }
    assert!(tried >= 100, "only {tried} were tried");
    assert!(loaded < tried, "damage does damage");
    assert_engine_works(&engine);
}

fn damage(bytes: &mut Vec<u8>, rng: &mut Rng) {
    let at = 8 + rng.next_u32() as usize % (bytes.len() - 16);
    let len = 1 + rng.next_u32() as usize % 8;
    match rng.next_u32() % 6 {
        0 => bytes[at] ^= 1 << (rng.next_u32() % 8),
        1 => bytes[at] = rng.next_u32() as u8,
        2 => bytes[at] = 0xff,
        3 => drop(bytes.drain(at..at + len)),
        4 => {
            let copy = bytes[at..at + len].to_vec();
            bytes.splice(at..at, copy);
        }
        _ => bytes.truncate(bytes.len() - len),
    }
}

/// SplitMix64: the same damage in every run.
struct Rng(u64);

impl Rng {
    fn next_u32(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 32) as u32
    }
}
