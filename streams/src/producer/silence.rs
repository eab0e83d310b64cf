//! Detects a peer that acknowledges nothing, because its process is suspended or the network is down. The connection
//! stays open until QUIC times out.

use std::time::Duration;

use tokio::{sync::Notify, time::sleep};

use crate::{channel::status::SILENT_AFTER, net::LinkConn};

/// The interval between checks while records are sent.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// The number of checks without an acknowledgement after which a peer is silent. Counts checks instead of time, because
/// the clock advances while this process is suspended.
const LOOKS: u32 = (SILENT_AFTER.as_millis() / LOOK_EVERY.as_millis()) as u32;

/// Calls `tell` whenever the peer becomes silent or responsive. `written` is notified of each write; checks stop soon
/// after the last one.
pub(super) async fn watch(conn: &LinkConn, written: &Notify, mut tell: impl FnMut(bool)) {
    loop {
        written.notified().await;
        let mut silence = Silence::new(conn.traffic());
        while !silence.is_over() {
            sleep(LOOK_EVERY).await;
            let was_silent = silence.is_silent();
            silence.look(conn.traffic());
            if silence.is_silent() != was_silent {
                tell(silence.is_silent());
            }
        }
    }
}

/// The state derived from successive checks of a connection.
#[derive(Debug)]
struct Silence {
    asked: u64,
    answered: u64,
    /// The number of checks since the first packet that is not acknowledged.
    unanswered: Option<u32>,
    /// The number of checks without any traffic.
    idle: u32,
}

impl Silence {
    const fn new((asked, answered): (u64, u64)) -> Self {
        // The write that started the check is already counted in `asked`.
        Self {
            asked,
            answered,
            unanswered: None,
            idle: 0,
        }
    }

    fn look(&mut self, (asked, answered): (u64, u64)) {
        self.idle += 1;
        if answered != self.answered {
            (self.unanswered, self.idle) = (None, 0);
        } else if asked != self.asked || self.unanswered.is_some() {
            self.unanswered = Some(self.unanswered.unwrap_or(0) + 1);
            self.idle = 0;
        }
        (self.asked, self.answered) = (asked, answered);
    }

    fn is_silent(&self) -> bool {
        self.unanswered.is_some_and(|looks| looks >= LOOKS)
    }

    /// Returns true if there was no traffic for the time after which a peer is silent.
    const fn is_over(&self) -> bool {
        self.idle >= LOOKS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_asked_and_not_answered_makes_silence() {
        let mut silence = Silence::new((5, 5));
        for look in 1..100_u64 {
            silence.look((5 + look, 5 + look));
            assert!(!silence.is_silent() && !silence.is_over());
        }
        let mut idle = Silence::new((5, 5));
        for _ in 0..LOOKS {
            assert!(!idle.is_over());
            idle.look((5, 5));
        }
        assert!(idle.is_over() && !idle.is_silent());
        // One write, then probes at growing intervals.
        let mut dead = Silence::new((5, 5));
        for look in 1..=LOOKS {
            assert!(!dead.is_silent(), "after {look}");
            dead.look((if look < 3 { 5 + u64::from(look) } else { 8 }, 5));
        }
        assert!(dead.is_silent() && !dead.is_over());
        dead.look((9, 6));
        assert!(!dead.is_silent());
    }
}
