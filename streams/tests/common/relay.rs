//! A network between two nodes that loses, duplicates, delays and reorders datagrams, determined by a seed.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use mosaik_streams::Network;
use tokio::{net::UdpSocket, sync::mpsc, task::JoinSet, time::sleep_until};

use super::random::Random;

/// The faults in either direction. Fractions are from 0 to 1.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Profile {
    /// The fraction that is lost, independently.
    pub(crate) loss: f64,
    /// The fraction at which a burst of losses of this length starts.
    pub(crate) bursts: (f64, u32),
    /// The fraction that arrives twice.
    pub(crate) duplicates: f64,
    /// The fraction that is delayed by this time, behind later ones.
    pub(crate) reordered: (f64, Duration),
    /// The delay of every datagram, and the maximum additional delay.
    pub(crate) delay: (Duration, Duration),
    /// At the end of each first period, one direction is cut for the second period, alternately.
    pub(crate) cuts: Option<(Duration, Duration)>,
}

/// The numbers of faults.
#[derive(Debug, Default)]
pub(crate) struct Carried {
    pub(crate) passed: AtomicU64,
    pub(crate) lost: AtomicU64,
    /// While it is set, nothing passes.
    pub(crate) is_cut: AtomicBool,
}

impl Carried {
    pub(crate) fn numbers(&self) -> (u64, u64) {
        let number = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (number(&self.passed), number(&self.lost))
    }
}

/// Forwards datagrams between its address and a node. Stops when it is dropped.
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
    /// The index of the alternating cuts that apply to it.
    turn: u128,
    since: Instant,
    carried: Arc<Carried>,
}

impl Way {
    /// Returns the delays of the copies of the next datagram, and whether later ones overtake them.
    fn next(&mut self) -> Vec<(Duration, bool)> {
        let Profile { loss, bursts, .. } = self.profile;
        if self.burst_left == 0 && self.random.fraction() < bursts.0 {
            self.burst_left = bursts.1;
        }
        let in_burst = self.burst_left > 0;
        self.burst_left = self.burst_left.saturating_sub(1);
        let is_cut = self.profile.cuts.is_some_and(|(every, len)| {
            let elapsed = self.since.elapsed().as_millis();
            let every = every.as_millis();
            elapsed % every >= every - len.as_millis() && elapsed / every % 2 == self.turn
        });
        let is_cut = is_cut || self.carried.is_cut.load(Ordering::Relaxed);
        if in_burst || is_cut || self.random.fraction() < loss {
            self.carried.lost.fetch_add(1, Ordering::Relaxed);
            return Vec::new();
        }
        self.carried.passed.fetch_add(1, Ordering::Relaxed);
        let copies = 1 + usize::from(self.random.fraction() < self.profile.duplicates);
        (0..copies).map(|_| self.delay()).collect()
    }

    fn delay(&mut self) -> (Duration, bool) {
        let (least, spread) = self.profile.delay;
        let delay = least + spread.mul_f64(self.random.fraction());
        let is_passed = self.random.fraction() < self.profile.reordered.0;
        let more = if is_passed {
            self.profile.reordered.1
        } else {
            Duration::ZERO
        };
        (delay + more, is_passed)
    }
}

async fn socket() -> Arc<UdpSocket> {
    let socket = UdpSocket::bind(("127.0.0.1", 0)).await;
    let socket = socket.expect("loopback can be listened on");
    // A smaller buffer only causes more losses.
    let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(4 * 1024 * 1024);
    Arc::new(socket)
}

/// Forwards datagrams in one direction, in order unless the profile reorders them.
async fn carry(
    mut way: Way,
    incoming: mpsc::UnboundedReceiver<Vec<u8>>,
    from: Arc<UdpSocket>,
    to: SocketAddr,
) {
    let (line, mut due) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    let mut incoming = incoming;
    let last = from.clone();
    let in_order = async move {
        while let Some((at, datagram)) = due.recv().await {
            if at > Instant::now() {
                sleep_until(at.into()).await;
            }
            // Datagrams that the system refuses are lost, as on any network.
            let _ = last.send_to(&datagram, to).await;
        }
    };
    let judged = async move {
        while let Some(datagram) = incoming.recv().await {
            for (delay, is_passed) in way.next() {
                let (at, datagram) = (Instant::now() + delay, datagram.clone());
                if is_passed {
                    let from = from.clone();
                    tokio::spawn(async move {
                        sleep_until(at.into()).await;
                        let _ = from.send_to(&datagram, to).await;
                    });
                } else if line.send((at, datagram)).is_err() {
                    return;
                }
            }
        }
    };
    tokio::join!(in_order, judged);
}

impl Relay {
    /// Forwards nothing before [`to`](Self::lead_to) is called.
    pub(crate) async fn start(profile: Profile, seed: u64) -> Self {
        let front = socket().await;
        let addr = front.local_addr().expect("it is bound");
        let carried = Arc::new(Carried::default());
        let way = {
            let (carried, since) = (carried.clone(), Instant::now());
            move |turn: u128, peer: u64| Way {
                profile,
                random: Random(seed ^ (peer << 32) ^ (turn as u64)),
                burst_left: 0,
                turn,
                since,
                carried: carried.clone(),
            }
        };
        let to = Arc::new(OnceLock::new());
        let target = to.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut clients = HashMap::new();
            let mut ways = JoinSet::new();
            let mut buffer = vec![0; 65_536];
            loop {
                let Ok((len, client)) = front.recv_from(&mut buffer).await else {
                    continue;
                };
                let Some(&to) = target.get() else { continue };
                if !clients.contains_key(&client) {
                    let (back, peer) = (socket().await, clients.len() as u64);
                    let ((there, onward), (here, returning)) =
                        (mpsc::unbounded_channel(), mpsc::unbounded_channel());
                    ways.spawn(carry(way(0, peer), onward, back.clone(), to));
                    ways.spawn(carry(way(1, peer), returning, front.clone(), client));
                    ways.spawn(receive(back, here));
                    clients.insert(client, there);
                }
                // The direction exists as long as this task.
                let _ = clients[&client].send(buffer[..len].to_vec());
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

    /// A node behind the relay, which others know only by the relay's address.
    pub(crate) async fn node(&self) -> Network {
        let node = Network::builder("test")
            .with_advertised([self.addr])
            .build()
            .await
            .expect("it works on loopback");
        self.lead_to(*node.local_addrs().first().expect("it is bound"));
        node
    }
}

async fn receive(back: Arc<UdpSocket>, here: mpsc::UnboundedSender<Vec<u8>>) {
    let mut buffer = vec![0; 65_536];
    loop {
        if let Ok((len, _)) = back.recv_from(&mut buffer).await
            && here.send(buffer[..len].to_vec()).is_err()
        {
            return;
        }
    }
}
