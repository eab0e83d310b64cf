//! The node: its streams by name, and the handling of requests.

use std::{
    collections::{BTreeSet, HashMap},
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, anyhow, bail};
use iroh::{EndpointAddr, RelayMode, RelayUrl, SecretKey, TransportAddr};
use mosaik::{
    Network, PeerId, Tag,
    discovery::PeerEntry,
    streams::{Consumer, Producer, producer, status::When},
    tickets::{Expiration, Hs256, Jwt},
};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    log::Log,
    reading::Reading,
    request::{JwtRule, Request, Settings},
    version,
};

/// Maximum time that a request waits for its result.
const WAIT: Duration = Duration::from_secs(40);

pub struct Node {
    network: Option<Network>,
    log: Log,
    producers: HashMap<String, Producer<Reading>>,
    consumers: HashMap<String, Intake>,
}

/// A consumer that a task drains.
struct Intake {
    when: When,
    seen: Arc<Seen>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    count: AtomicU64,
    next: AtomicU64,
    /// A record was out of sequence, or its content did not match its number.
    wrong: AtomicBool,
    ended: AtomicBool,
}

impl Node {
    pub async fn start(settings: Settings) -> anyhow::Result<Self> {
        let log = Log::install();
        let relay: RelayUrl = settings.relay.parse()?;
        let mut discovery = version::discovery()
            .with_bootstrap(addresses(&settings.bootstrap)?)
            .with_tags(tags(&settings.tags));
        if let Some(ms) = settings.purge_after_ms {
            discovery = discovery.with_purge_after(Duration::from_millis(ms));
        }
        if let Some(ms) = settings.announce_interval_ms {
            discovery = discovery.with_announce_interval(Duration::from_millis(ms));
        }
        let mut builder = Network::builder(settings.network.as_str())
            .with_relay_mode(RelayMode::custom([relay]))
            .with_addresses(BTreeSet::from([SocketAddr::from((Ipv4Addr::LOCALHOST, 0))]))
            .with_discovery(discovery);
        if let Some(key) = &settings.secret_key {
            builder = builder.with_secret_key(key.parse::<SecretKey>()?);
        }
        Ok(Self {
            network: Some(builder.build().await?),
            log,
            producers: HashMap::new(),
            consumers: HashMap::new(),
        })
    }

    fn network(&self) -> anyhow::Result<&Network> {
        self.network.as_ref().context("the node has left")
    }

    /// `<peer id>@<ip>:<port>`, by loopback.
    pub fn address(&self) -> Value {
        let Some(network) = &self.network else {
            return Value::Null;
        };
        let addr = network.local().addr();
        let ip = addr.addrs.iter().find_map(|addr| match addr {
            TransportAddr::Ip(ip) if ip.ip().is_loopback() => Some(*ip),
            _ => None,
        });
        json!(format!(
            "{}@{}",
            addr.id,
            ip.map_or_else(String::new, |ip| ip.to_string())
        ))
    }

    pub async fn handle(&mut self, request: Request) -> anyhow::Result<Value> {
        match request {
            Request::Produce {
                stream,
                require_tags,
                require_jwt,
                max_consumers,
                buffer_size,
                disconnect_lagging,
            } => {
                let mut builder = self
                    .network()?
                    .streams()
                    .producer::<Reading>()
                    .with_stream_id(stream.as_str())
                    .require(carries(tags(&require_tags)));
                if let Some(rule) = require_jwt {
                    builder = builder.require_ticket(validator(&rule)?);
                }
                if let Some(most) = max_consumers {
                    builder = builder.with_max_consumers(most);
                }
                if let Some(size) = buffer_size {
                    builder = builder.with_buffer_size(size);
                }
                if let Some(disconnect) = disconnect_lagging {
                    builder = builder.disconnect_lagging(disconnect);
                }
                let producer = builder.build().map_err(|error| anyhow!("{error}"))?;
                self.producers.insert(stream, producer);
                Ok(Value::Null)
            }
            Request::Consume {
                stream,
                require_tags,
                require_jwt,
            } => {
                let mut builder = self
                    .network()?
                    .streams()
                    .consumer::<Reading>()
                    .with_stream_id(stream.as_str())
                    .require(carries(tags(&require_tags)));
                if let Some(rule) = require_jwt {
                    builder = builder.require_ticket(validator(&rule)?);
                }
                self.consumers
                    .insert(stream, Intake::start(builder.build()));
                Ok(Value::Null)
            }
            Request::Send {
                stream,
                from,
                count,
                padding,
            } => {
                let producer = self
                    .producers
                    .get_mut(&stream)
                    .context("no such producer")?;
                timeout(WAIT, producer.when().online())
                    .await
                    .context("the producer is not online")?;
                for seq in from..from + count {
                    send(producer, Reading::nth(seq, padding)).await?;
                }
                Ok(Value::Null)
            }
            Request::Received { stream, at_least } => {
                let seen = &self
                    .consumers
                    .get(&stream)
                    .context("no such consumer")?
                    .seen;
                until("enough came in", || {
                    seen.count.load(Ordering::Acquire) >= at_least
                })
                .await
                .with_context(|| format!("{} of {at_least}", seen.count.load(Ordering::Acquire)))?;
                Ok(json!({
                    "count": seen.count.load(Ordering::Acquire),
                    "in_order": !seen.wrong.load(Ordering::Acquire),
                    "ended": seen.ended.load(Ordering::Acquire),
                }))
            }
            Request::Connected { stream, count } => {
                until("so many are connected", || {
                    self.has_connected(&stream, count)
                })
                .await?;
                Ok(Value::Null)
            }
            Request::Drop { stream } => {
                self.producers.remove(&stream);
                if let Some(intake) = self.consumers.remove(&stream) {
                    intake.task.abort();
                }
                Ok(Value::Null)
            }
            Request::Tags { add, remove } => {
                let discovery = self.network()?.discovery();
                if !add.is_empty() {
                    discovery.add_tags(tags(&add));
                }
                if !remove.is_empty() {
                    discovery.remove_tags(tags(&remove));
                }
                Ok(Value::Null)
            }
            Request::Ticket {
                jwt,
                expires_in_ms,
                subject,
            } => {
                let network = self.network()?;
                let subject: PeerId = match subject {
                    Some(id) => id.parse()?,
                    None => network.local().id(),
                };
                let expires = chrono::Utc::now() + chrono::Duration::milliseconds(expires_in_ms);
                let ticket =
                    version::ticket(key(&jwt)?, jwt.issuer, &subject, Expiration::At(expires));
                network.discovery().add_ticket(ticket);
                Ok(Value::Null)
            }
            Request::Catalog {} => {
                let catalog = self.network()?.discovery().catalog();
                let peers: Vec<Value> = catalog
                    .signed_peers()
                    .map(|peer| {
                        json!({
                            "id": peer.id().to_string(),
                            "updated_ms": peer.updated_at().timestamp_millis(),
                            "streams": peer.streams().len(),
                        })
                    })
                    .collect();
                Ok(json!(peers))
            }
            Request::Peer {
                id,
                known,
                tags: marks,
            } => {
                let discovery = self.network()?.discovery();
                let id: PeerId = id.parse()?;
                let marks = tags(&marks);
                let known = until("the catalog is so", || {
                    let catalog = discovery.catalog();
                    let entry = catalog.get_signed(&id);
                    entry.is_some() == known
                        && entry
                            .is_none_or(|entry| marks.iter().all(|tag| entry.tags().contains(tag)))
                })
                .await;
                known.with_context(|| self.log.tail(40).join("\n"))?;
                Ok(Value::Null)
            }
            Request::Told { entry } => {
                let entry: PeerEntry = postcard::from_bytes(&entry)?;
                Ok(json!(self.network()?.discovery().insert(entry)))
            }
            Request::Sync { peer } => {
                let addr = address(&peer)?;
                timeout(WAIT, self.network()?.discovery().sync_with(addr)).await??;
                Ok(Value::Null)
            }
            Request::Dial { peer } => {
                timeout(WAIT, self.network()?.discovery().dial(address(&peer)?)).await?;
                Ok(Value::Null)
            }
            Request::Logged { text } => {
                let logged = until("it is logged", || self.log.contains(&text)).await;
                logged.with_context(|| self.log.tail(40).join("\n"))?;
                Ok(Value::Null)
            }
            Request::Leave {} => {
                self.producers.clear();
                for (_, intake) in self.consumers.drain() {
                    intake.task.abort();
                }
                drop(self.network.take());
                Ok(Value::Null)
            }
        }
    }

    /// Whether exactly so many others are connected.
    fn has_connected(&self, stream: &str, count: usize) -> bool {
        let producer = self.producers.get(stream).map(Producer::when);
        let Some(when) = producer.or(self.consumers.get(stream).map(|intake| &intake.when)) else {
            return count == 0;
        };
        let at_least = |count| when.subscribed().minimum_of(count).is_condition_met();
        at_least(count) && !at_least(count + 1)
    }
}

impl Intake {
    fn start(consumer: Consumer<Reading>) -> Self {
        let when = consumer.when().clone();
        let seen = Arc::new(Seen::default());
        let task = tokio::spawn(drain(consumer, seen.clone()));
        Self { when, seen, task }
    }
}

async fn drain(mut consumer: Consumer<Reading>, seen: Arc<Seen>) {
    while let Some(reading) = consumer.recv().await {
        let next = seen.next.load(Ordering::Acquire);
        let first = seen.count.load(Ordering::Acquire) == 0;
        if (!first && reading.seq != next)
            || reading != Reading::nth(reading.seq, reading.padding.len())
        {
            seen.wrong.store(true, Ordering::Release);
        }
        seen.next.store(reading.seq + 1, Ordering::Release);
        seen.count.fetch_add(1, Ordering::AcqRel);
    }
    seen.ended.store(true, Ordering::Release);
}

/// Waits for room and retries, because the sink of a Mosaik producer may refuse a record after it has reported room.
async fn send(producer: &mut Producer<Reading>, mut reading: Reading) -> anyhow::Result<()> {
    loop {
        match producer.try_send(reading) {
            Ok(()) => return Ok(()),
            Err(producer::Error::Full(back)) => reading = back,
            Err(error) => bail!("{error}"),
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) -> anyhow::Result<()> {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(WAIT, waiting)
        .await
        .map_err(|_| anyhow!("not within {WAIT:?}: {what}"))
}

fn tags(names: &[String]) -> Vec<Tag> {
    names.iter().map(|name| Tag::from(name.as_str())).collect()
}

fn carries(tags: Vec<Tag>) -> impl Fn(&version::Asked) -> bool + Send + Sync + 'static {
    move |peer| tags.iter().all(|tag| peer.tags().contains(tag))
}

fn key(rule: &JwtRule) -> anyhow::Result<Hs256> {
    if rule.hs256.len() != 64 {
        bail!("a key of HS256 has 64 hex digits");
    }
    Ok(Hs256::hex(&rule.hs256))
}

fn validator(rule: &JwtRule) -> anyhow::Result<Jwt> {
    Ok(Jwt::with_key(key(rule)?).allow_issuer(&rule.issuer))
}

fn addresses(texts: &[String]) -> anyhow::Result<Vec<EndpointAddr>> {
    texts.iter().map(|text| address(text)).collect()
}

fn address(text: &str) -> anyhow::Result<EndpointAddr> {
    let (id, ip) = text.split_once('@').context("an address is ID@IP:PORT")?;
    Ok(EndpointAddr::from_parts(
        id.parse::<PeerId>()?,
        [TransportAddr::Ip(ip.parse()?)],
    ))
}
