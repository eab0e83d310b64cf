mod swarm;
mod wire;

/// The ids of the tests' nodes, in no particular order.
fn peer(n: u8) -> [u8; 32] {
    *blake3::hash(&[n]).as_bytes()
}
