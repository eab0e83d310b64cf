//! Server side of a control socket, in the node.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    sync::{Semaphore, mpsc, oneshot},
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    Claim, SocketError,
    plan::{Load, Planner, gone},
    protocol::{
        Answer, Hello, REQUEST_BYTES_MAX, Request, WINDOW_MAX, decode, encode_answer, length,
    },
    socket::{Bound, is_trusted},
    tap,
};
use crate::{
    graph::Diff,
    topology::{Observer, report::Reload},
};

/// Maximum number of simultaneous connections to a node: 64. Further connections wait until one closes.
pub const CONNECTIONS_MAX: usize = 64;
/// Maximum idle time of a connection before it is closed: 5 minutes.
const IDLE_MAX: Duration = Duration::from_mins(5);
/// Maximum time for a request to arrive completely after its first bytes: 10 s.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(10);
/// Maximum time for a client to read an answer before its connection is closed: 30 s.
pub const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

/// A command from a client to the node.
#[derive(Debug)]
pub enum Order {
    /// Reload the manifest and send back the result.
    Reload(oneshot::Sender<Reload>),
    /// Stop.
    Down,
}

/// Serves a control socket until dropped.
#[derive(Debug)]
pub struct Server {
    // Dropping the set ends its tasks.
    _tasks: JoinSet<()>,
}

/// State shared by all connections.
struct ServerState {
    hello: Hello,
    observer: Observer,
    planner: Planner,
    orders: mpsc::Sender<Order>,
}

impl Server {
    /// Listens on the address that this process has claimed.
    ///
    /// # Errors
    /// The socket cannot be created.
    pub fn start(
        claim: Claim,
        (manifest, name): (PathBuf, Option<String>),
        observer: Observer,
        load: Load,
        orders: mpsc::Sender<Order>,
    ) -> Result<Self, SocketError> {
        let bound = Bound::new(claim)?;
        let state = Arc::new(ServerState {
            hello: Hello {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                pid: std::process::id(),
                manifest,
                name,
            },
            observer,
            planner: Planner::new(load),
            orders,
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(bound, state));
        Ok(Self { _tasks: tasks })
    }
}

async fn serve(bound: Bound, state: Arc<ServerState>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        // The semaphore is never closed.
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        while connections.try_join_next().is_some() {}
        match bound.listener.accept().await {
            Ok((socket, _)) => {
                let state = Arc::clone(&state);
                connections.spawn(async move {
                    if let Err(error) = converse(socket, &state).await {
                        tracing::debug!("a control connection ended: {error}");
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                // Most likely the process is out of file descriptors, which is temporary.
                tracing::warn!("cannot accept a control connection: {error}");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn converse(mut socket: UnixStream, state: &ServerState) -> io::Result<()> {
    if !is_trusted(socket.peer_cred()?.uid()) {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    while let Some(request) = receive(&mut socket).await? {
        let request = match decode(&request) {
            Ok(request) => request,
            Err(error) => {
                let reason = format!("not a request: {error}");
                send(&mut socket, &Answer::Refused { reason }).await?;
                continue;
            }
        };
        let answer = match request {
            Request::Tap {
                stream,
                criteria,
                limit,
            } => {
                return tap::follow(&mut socket, &state.observer, &stream, &criteria, limit).await;
            }
            // These requests are answered immediately, even if the client does not wait for the answer.
            request @ (Request::Hello | Request::Down | Request::Explain { .. }) => {
                answer(state, request).await
            }
            other => tokio::select! {
                biased;
                // Triggered when the answer is ready.
                answer = answer(state, other) => answer,
                // Triggered when the client has disconnected.
                () = gone(&socket) => return Ok(()),
            },
        };
        send(&mut socket, &answer).await?;
    }
    Ok(())
}

/// Returns the next request; `None` if there are no more.
async fn receive(socket: &mut UnixStream) -> io::Result<Option<Vec<u8>>> {
    let mut header = [0; 4];
    match timeout(IDLE_MAX, socket.read_exact(&mut header)).await {
        Err(_) => return Ok(None),
        Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Ok(read) => _ = read?,
    }
    let mut request = vec![0; length(header, REQUEST_BYTES_MAX)?];
    timeout(REQUEST_TIME_MAX, socket.read_exact(&mut request)).await??;
    Ok(Some(request))
}

/// Sends an answer.
///
/// # Errors
/// The connection failed, or the client did not read the answer in time. The connection is unusable afterwards.
pub(super) async fn send(socket: &mut UnixStream, answer: &Answer) -> io::Result<()> {
    send_within(socket, answer, ANSWER_TIME_MAX).await
}

async fn send_within(
    socket: &mut UnixStream,
    answer: &Answer,
    time_max: Duration,
) -> io::Result<()> {
    let frame = encode_answer(answer)?;
    timeout(time_max, socket.write_all(&frame)).await?
}

async fn answer(state: &ServerState, request: Request) -> Answer {
    match request {
        Request::Hello => Answer::Hello(state.hello.clone()),
        Request::Status { window_ms } => status(state, Duration::from_millis(window_ms)).await,
        Request::Explain { stream } => match state.observer.explain(&stream) {
            Ok(lines) => Answer::Explained { lines },
            Err(error) => Answer::Refused {
                reason: error.to_string(),
            },
        },
        Request::Plan { path } => plan(state, path).await,
        Request::Reload => {
            let (reply, done) = oneshot::channel();
            let ordered = state.orders.send(Order::Reload(reply)).await.is_ok();
            match done.await {
                Ok(reload) if ordered => Answer::Reloaded(Box::new(reload)),
                _ => Answer::Refused {
                    reason: "the node is stopping".into(),
                },
            }
        }
        Request::Down => match state.orders.send(Order::Down).await {
            Ok(()) => Answer::Done,
            Err(_) => Answer::Refused {
                reason: "the node is already stopping".into(),
            },
        },
        // The caller streams the records.
        Request::Tap { .. } => Answer::Done,
    }
}

async fn status(state: &ServerState, window: Duration) -> Answer {
    let named = || {
        let mut status = state.observer.status();
        status.manifest = state.hello.manifest.display().to_string();
        status.name.clone_from(&state.hello.name);
        status
    };
    let mut status = named();
    if !window.is_zero() {
        sleep(window.min(WINDOW_MAX)).await;
        let earlier = std::mem::replace(&mut status, named());
        status.measure(&earlier);
    }
    Answer::Status(Box::new(status))
}

async fn plan(state: &ServerState, path: PathBuf) -> Answer {
    match state.planner.load(path).await {
        Ok(loaded) => {
            let running = state.observer.graph();
            let before = running.deliveries().paths;
            let mut delivery = loaded.graph.deliveries().paths;
            delivery.retain(|path| !before.contains(path));
            Answer::Plan {
                steps: Diff::between(&running, &loaded.graph).steps(),
                delivery,
                warnings: loaded.warnings.render(false),
            }
        }
        Err(reason) => Answer::Refused { reason },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_client_that_does_not_read_is_disconnected() {
        let large = Answer::Explained {
            lines: vec!["x".repeat(8 << 20)],
        };
        let (mut node, _client) = UnixStream::pair().unwrap();
        let unread = send_within(&mut node, &large, Duration::from_millis(100)).await;
        assert_eq!(unread.unwrap_err().kind(), io::ErrorKind::TimedOut);

        let (mut node, mut client) = UnixStream::pair().unwrap();
        let reading = tokio::spawn(async move {
            let mut all = Vec::new();
            client.read_to_end(&mut all).await
        });
        send(&mut node, &large).await.unwrap();
        drop(node);
        assert!(reading.await.unwrap().unwrap() > 8 << 20);
    }
}
