//! Notices a peer that acknowledges nothing: its process is stopped, or the network between is cut. Its connection stands
//! until QUIC gives it up.

use std::time::Duration;

use tokio::{sync::Notify, time::sleep};

use crate::{network::LinkConn, status::SILENT_AFTER};

/// How often it is looked at while something is sent to it.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Looks without an answer after which it is silent. Looks are counted, because the clock goes on while this process is
/// stopped.
const LOOKS: u32 = (SILENT_AFTER.as_millis() / LOOK_EVERY.as_millis()) as u32;

/// Tells whether the peer is silent, whenever that changes. `written` is notified when something is sent to it, and nothing
/// is looked at for long without.
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

/// What the looks at a connection say.
#[derive(Debug)]
struct Silence {
    asked: u64,
    answered: u64,
    /// Looks since something was asked that was not answered.
    unanswered: Option<u32>,
    /// Looks since anything was asked or answered.
    idle: u32,
}

impl Silence {
    const fn new((asked, answered): (u64, u64)) -> Self {
        // What made it look is being asked.
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

    /// Nothing was asked or answered for as long as it takes to be silent.
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
        // Asked once, then probed ever more rarely.
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
