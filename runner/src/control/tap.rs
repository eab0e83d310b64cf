//! Sends the datums of a stream to whoever asked for them, over as many generations as there are.

use std::{io, time::Duration};

use mosaik_streams::{Criteria, Frames};
use tokio::{io::AsyncReadExt as _, net::UnixStream, time::sleep};

use super::{
    protocol::{Answer, Shown},
    server::send,
};
use crate::topology::{Observer, Tapped};

/// Datums in one answer.
const DATUMS_MAX: usize = 256;
/// Their bytes, unless one datum alone has more: 1 MiB.
const BYTES_MAX: usize = 1 << 20;
/// How often a stream that does not run is looked for without being told: 1 s.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Follows a stream until whoever asked has gone, or has seen as many datums as asked for.
pub(super) async fn follow(
    socket: &mut UnixStream,
    observer: &Observer,
    stream: &str,
    criteria: &Criteria,
    limit: Option<u64>,
) -> io::Result<()> {
    let mut shown = observer.watch();
    let mut told = Told {
        left: limit.unwrap_or(u64::MAX),
        missed: 0,
    };
    let mut waiting = false;
    while told.left > 0 {
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
            if pass_on(socket, &mut tapped, &mut told).await?.is_none() {
                return Ok(());
            }
            continue;
        }
        if !std::mem::replace(&mut waiting, true) {
            send(socket, &Answer::Waiting).await?;
        }
        tokio::select! {
            // Triggered when the node shows something else.
            _ = shown.changed() => {}
            // Triggered when it is time to look again, for a node that has ended and shows nothing more.
            () = sleep(LOOK_AGAIN) => {}
            // Triggered when whoever asked has gone.
            gone = hung_up(socket) => return gone,
        }
    }
    send(socket, &Answer::Done).await
}

struct Told {
    left: u64,
    missed: u64,
}

/// Passes on what goes by until the tap ends or enough was seen. `None` when whoever asked has gone.
async fn pass_on(
    socket: &mut UnixStream,
    tapped: &mut Tapped,
    told: &mut Told,
) -> io::Result<Option<()>> {
    let missed_before = told.missed;
    while told.left > 0 {
        let most = usize::try_from(told.left)
            .unwrap_or(usize::MAX)
            .min(DATUMS_MAX);
        let frames = tokio::select! {
            // Triggered when datums go by, or none ever will here.
            frames = tapped.tap.recv_frames(most) => frames,
            // Triggered when whoever asked has gone.
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
            told.left = told.left.saturating_sub(part.count() as u64);
            told.missed = missed_before + tapped.tap.missed();
            let answer = Answer::Tapped {
                datums: part.iter().map(Shown::new).collect(),
                missed: told.missed,
            };
            send(socket, &answer).await?;
        }
    }
    Ok(Some(()))
}

/// Resolves when the other side is gone. It has nothing more to say, so what it says is not looked at.
async fn hung_up(socket: &mut UnixStream) -> io::Result<()> {
    let mut said = [0; 64];
    while socket.read(&mut said).await? > 0 {}
    Ok(())
}
