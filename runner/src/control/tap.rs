//! Streams the records of a stream to a client, across reloads of the manifest.

use std::{io, time::Duration};

use mosaik_streams::{Criteria, Frames};
use tokio::{io::AsyncReadExt as _, net::UnixStream, time::sleep};

use super::{
    protocol::{Answer, Shown},
    server::send,
};
use crate::topology::{Observer, Tapped};

/// Maximum number of records in one answer: 256.
const DATUMS_MAX: usize = 256;
/// Maximum size of the records in one answer: 1 MiB. A single record may be larger.
const BYTES_MAX: usize = 1 << 20;
/// Interval of checks for a stream that does not run, in addition to notifications: 1 s.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Follows a stream until the client disconnects or has received the requested number of records.
pub(super) async fn follow(
    socket: &mut UnixStream,
    observer: &Observer,
    stream: &str,
    criteria: &Criteria,
    limit: Option<u64>,
) -> io::Result<()> {
    let mut shown = observer.watch();
    let mut progress = TapProgress {
        left: limit.unwrap_or(u64::MAX),
        missed: 0,
    };
    let mut waiting = false;
    while progress.left > 0 {
        shown.mark_unchanged();
        let tapped = match observer.tap(stream, criteria) {
            Ok(tapped) => tapped,
            Err(error) => {
                let reason = error.to_string();
                return send(socket, &Answer::Refused { reason }).await;
            }
        };
        if let Some(mut tapped) = tapped {
            waiting = false;
            if pass_on(socket, &mut tapped, &mut progress).await?.is_none() {
                return Ok(());
            }
            continue;
        }
        if !std::mem::replace(&mut waiting, true) {
            send(socket, &Answer::Waiting).await?;
        }
        tokio::select! {
            // Triggered when the node publishes a new state.
            _ = shown.changed() => {}
            // Triggered at each check, for a node that has ended and publishes no new state.
            () = sleep(LOOK_AGAIN) => {}
            // Triggered when the client has disconnected.
            gone = hung_up(socket) => return gone,
        }
    }
    send(socket, &Answer::Done).await
}

struct TapProgress {
    left: u64,
    missed: u64,
}

/// Forwards records until the tap ends or the limit is reached. Returns `None` if the client has disconnected.
async fn pass_on(
    socket: &mut UnixStream,
    tapped: &mut Tapped,
    progress: &mut TapProgress,
) -> io::Result<Option<()>> {
    let missed_before = progress.missed;
    while progress.left > 0 {
        let most = usize::try_from(progress.left)
            .unwrap_or(usize::MAX)
            .min(DATUMS_MAX);
        let frames = tokio::select! {
            // Triggered when records arrive, or when the stream can deliver no more.
            frames = tapped.tap.recv_frames(most) => frames,
            // Triggered when the client has disconnected.
            gone = hung_up(socket) => return gone.map(|()| None),
        };
        let Some(frames) = frames else { break };
        let mut rest = match &tapped.transcoder {
            Some(transcoder) => {
                let mut frames = frames;
                let mut json = mosaik_streams::FramesBuilder::new();
                while !frames.is_empty() {
                    json.extend(&transcoder.frames_to_json(&mut frames).frames);
                }
                json.finish()
            }
            None => frames,
        };
        while !rest.is_empty() {
            let part: Frames = rest.split_front(DATUMS_MAX, BYTES_MAX);
            progress.left = progress.left.saturating_sub(part.count() as u64);
            progress.missed = missed_before + tapped.tap.missed();
            let answer = Answer::Tapped {
                datums: part.iter().map(Shown::new).collect(),
                missed: progress.missed,
            };
            send(socket, &answer).await?;
        }
    }
    Ok(Some(()))
}

/// Waits until the client has disconnected. Bytes that the client sends are discarded.
async fn hung_up(socket: &mut UnixStream) -> io::Result<()> {
    let mut said = [0; 64];
    while socket.read(&mut said).await? > 0 {}
    Ok(())
}
