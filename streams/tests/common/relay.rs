//! A network between two nodes that loses, repeats, delays and reorders what it carries, by a seed.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{net::UdpSocket, task::JoinSet};

use super::random::Random;

/// What happens to the datagrams of either direction. Shares are between 0 and 1.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Profile {
    /// Share that is lost, each by itself.
    pub(crate) loss: f64,
    /// Share at which so many in a row begin to be lost.
    pub(crate) bursts: (f64, u32),
    /// Share that arrives twice.
    pub(crate) duplicates: f64,
    /// Share that is held back so long, behind those that follow.
    pub(crate) reordered: (f64, Duration),
    /// How long all take, and how much longer at most.
    pub(crate) delay: (Duration, Duration),
    /// In every so long a time, one direction is cut for the second time; in turns.
    pub(crate) cuts: Option<(Duration, Duration)>,
}

/// What was done.
#[derive(Debug, Default)]
pub(crate) struct Carried {
    pub(crate) passed: AtomicU64,
    pub(crate) lost: AtomicU64,
}

impl Carried {
    pub(crate) fn numbers(&self) -> (u64, u64) {
        let number = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (number(&self.passed), number(&self.lost))
    }
}

/// Carries what is sent to its address to a node, and what comes back. Ends when it is dropped.
pub(crate) struct Relay {
    pub(crate) addr: SocketAddr,
    pub(crate) carried: Arc<Carried>,
    to: Arc<OnceLock<SocketAddr>>,
    _tasks: JoinSet<()>,
}

/// One direction of one pair of addresses.
struct Way {
    profile: Profile,
    random: Random,
    burst_left: u32,
    /// Of two, which cut it takes part in.
    turn: u128,
    since: Instant,
    carried: Arc<Carried>,
}

impl Way {
    /// When the copies of the next datagram arrive, if any does.
    fn next(&mut self) -> Vec<Duration> {
        let Profile { loss, bursts, .. } = self.profile;
        if self.burst_left == 0 && self.random.fraction() < bursts.0 {
            self.burst_left = bursts.1;
        }
        let in_burst = self.burst_left > 0;
        self.burst_left = self.burst_left.saturating_sub(1);
        let is_cut = self.profile.cuts.is_some_and(|(every, len)| {
            let elapsed = self.since.elapsed().as_millis();
            let every = every.as_millis();
            elapsed % every < len.as_millis() && elapsed / every % 2 == self.turn
        });
        if in_burst || is_cut || self.random.fraction() < loss {
            self.carried.lost.fetch_add(1, Ordering::Relaxed);
            return Vec::new();
        }
        self.carried.passed.fetch_add(1, Ordering::Relaxed);
        let copies = 1 + usize::from(self.random.fraction() < self.profile.duplicates);
        (0..copies).map(|_| self.delay()).collect()
    }

    fn delay(&mut self) -> Duration {
        let (least, spread) = self.profile.delay;
        let held_back = if self.random.fraction() < self.profile.reordered.0 {
            self.profile.reordered.1
        } else {
            Duration::ZERO
        };
        least + spread.mul_f64(self.random.fraction()) + held_back
    }
}

async fn socket() -> Arc<UdpSocket> {
    let socket = UdpSocket::bind(("127.0.0.1", 0)).await;
    let socket = socket.expect("loopback can be listened on");
    // Less only loses more.
    let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(4 * 1024 * 1024);
    Arc::new(socket)
}

async fn pass(way: &Mutex<Way>, datagram: &[u8], from: &Arc<UdpSocket>, to: SocketAddr) {
    let copies = way.lock().expect("nobody panics with it").next();
    for delay in copies {
        if delay.is_zero() {
            // What the system does not take is lost, as on any network.
            let _ = from.send_to(datagram, to).await;
            continue;
        }
        let (from, datagram) = (from.clone(), datagram.to_vec());
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            let _ = from.send_to(&datagram, to).await;
        });
    }
}

impl Relay {
    /// Carries nothing before it is told where [`to`](Self::lead_to).
    pub(crate) async fn start(profile: Profile, seed: u64) -> Self {
        let front = socket().await;
        let addr = front.local_addr().expect("it is bound");
        let carried = Arc::new(Carried::default());
        let way = {
            let (carried, since) = (carried.clone(), Instant::now());
            move |turn: u128, peer: u64| {
                Mutex::new(Way {
                    profile,
                    random: Random(seed ^ (peer << 32) ^ (turn as u64)),
                    burst_left: 0,
                    turn,
                    since,
                    carried: carried.clone(),
                })
            }
        };
        let to = Arc::new(OnceLock::new());
        let target = to.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut backs = HashMap::new();
            let mut returning = JoinSet::new();
            let mut buffer = vec![0; 65_536];
            loop {
                let Ok((len, client)) = front.recv_from(&mut buffer).await else {
                    continue;
                };
                if !backs.contains_key(&client) {
                    let back = socket().await;
                    let peer = backs.len() as u64;
                    returning.spawn(carry_back(
                        back.clone(),
                        front.clone(),
                        client,
                        way(1, peer),
                    ));
                    backs.insert(client, (back, way(0, peer)));
                }
                let (back, way) = &backs[&client];
                if let Some(&to) = target.get() {
                    pass(way, &buffer[..len], back, to).await;
                }
            }
        });
        Self {
            addr,
            carried,
            to,
            _tasks: tasks,
        }
    }

    pub(crate) fn lead_to(&self, node: SocketAddr) {
        self.to.set(node).expect("it is said once");
    }
}

async fn carry_back(
    back: Arc<UdpSocket>,
    front: Arc<UdpSocket>,
    client: SocketAddr,
    way: Mutex<Way>,
) {
    let mut buffer = vec![0; 65_536];
    loop {
        if let Ok((len, _)) = back.recv_from(&mut buffer).await {
            pass(&way, &buffer[..len], &front, client).await;
        }
    }
}
