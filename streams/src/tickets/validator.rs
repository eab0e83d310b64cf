//! What a validator of tickets is, and for how long it finds one good. No I/O.

use std::{
    cmp::Ordering,
    sync::Arc,
    time::{Duration, SystemTime},
};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::TicketClass;
use crate::{UniqueId, discovery::PeerEntry};

/// Until when a ticket is good. Of two, the greater one is good for longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Expiration {
    /// For ever.
    Never,
    /// Until this time.
    At(DateTime<Utc>),
}

impl Expiration {
    /// So long from now. [`Never`](Self::Never) when no calendar reaches that far.
    pub fn after(duration: Duration) -> Self {
        TimeDelta::from_std(duration)
            .ok()
            .and_then(|duration| Utc::now().checked_add_signed(duration))
            .map_or(Self::Never, Self::At)
    }

    /// Whether the time has passed.
    pub fn is_expired(&self) -> bool {
        match self {
            Self::Never => false,
            Self::At(time) => *time < Utc::now(),
        }
    }

    /// The time that is left; `None` when it never expires, and when it has.
    pub fn remaining(&self) -> Option<Duration> {
        match self {
            Self::Never => None,
            Self::At(time) => (*time - Utc::now()).to_std().ok(),
        }
    }
}

impl PartialOrd for Expiration {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Expiration {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Never, Self::Never) => Ordering::Equal,
            (Self::Never, Self::At(_)) => Ordering::Greater,
            (Self::At(_), Self::Never) => Ordering::Less,
            (Self::At(one), Self::At(other)) => one.cmp(other),
        }
    }
}

impl From<DateTime<Utc>> for Expiration {
    fn from(time: DateTime<Utc>) -> Self {
        Self::At(time)
    }
}

/// [`Never`](Self::Never) when no calendar reaches that far.
impl From<SystemTime> for Expiration {
    fn from(time: SystemTime) -> Self {
        match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => TimeDelta::from_std(since)
                .ok()
                .and_then(|since| DateTime::UNIX_EPOCH.checked_add_signed(since))
                .map_or(Self::Never, Self::At),
            // When exactly it expired before 1970 makes no difference.
            Err(_) => Self::At(DateTime::UNIX_EPOCH),
        }
    }
}

/// A ticket is no good. Why is told to nobody: whoever showed it could use the answer to make a better forgery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the ticket is not valid")]
pub struct InvalidTicket;

/// Judges tickets of one class.
///
/// It is asked when a peer comes, whenever the peer's entry changes, and when the ticket expires; always with the entry
/// that the peer signed. It runs on the threads of the network, so it should answer from what it has, within
/// milliseconds. When it panics, that is logged as an error and the peer counts as one without a ticket.
///
/// ```
/// use mosaik_streams::{
///     UniqueId,
///     discovery::PeerEntry,
///     id,
///     tickets::{Expiration, InvalidTicket, TicketValidator},
/// };
///
/// /// Lets in whoever shows this word.
/// struct Password(&'static str);
///
/// impl TicketValidator for Password {
///     fn class(&self) -> UniqueId {
///         id!("my-app.password")
///     }
///
///     fn signature(&self) -> UniqueId {
///         self.class().derive(self.0)
///     }
///
///     fn validate(&self, ticket: &[u8], _: &PeerEntry) -> Result<Expiration, InvalidTicket> {
///         if ticket == self.0.as_bytes() {
///             Ok(Expiration::Never)
///         } else {
///             Err(InvalidTicket)
///         }
///     }
/// }
/// # let _ = Password("sesame").signature();
/// ```
pub trait TicketValidator: Send + Sync + 'static {
    /// The class of the tickets that it judges.
    fn class(&self) -> TicketClass;

    /// Tells this validator, with the way it is set up, from others.
    fn signature(&self) -> UniqueId;

    /// Until when `ticket`, shown by `peer`, is good.
    ///
    /// # Errors
    /// When it is not.
    fn validate(&self, ticket: &[u8], peer: &PeerEntry) -> Result<Expiration, InvalidTicket>;
}

macro_rules! validates_by_what_it_holds {
    ($($pointer:ident),*) => {$(
        impl<T: TicketValidator + ?Sized> TicketValidator for $pointer<T> {
            fn class(&self) -> TicketClass {
                (**self).class()
            }

            fn signature(&self) -> UniqueId {
                (**self).signature()
            }

            fn validate(&self, ticket: &[u8], peer: &PeerEntry) -> Result<Expiration, InvalidTicket> {
                (**self).validate(ticket, peer)
            }
        }
    )*};
}

validates_by_what_it_holds!(Box, Arc);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_expires_is_good_for_longest() {
        let soon = Expiration::after(Duration::from_mins(1));
        let later = Expiration::after(Duration::from_secs(90));
        assert!(soon < later && later < Expiration::Never);
        assert_eq!(soon.max(Expiration::Never), Expiration::Never);
        assert_eq!(Expiration::after(Duration::MAX), Expiration::Never);
    }

    #[test]
    fn what_is_left_runs_out() {
        let soon = Expiration::after(Duration::from_mins(1));
        assert!(!soon.is_expired());
        let left = soon.remaining().expect("it has not expired");
        assert!(left > Duration::from_secs(50) && left <= Duration::from_mins(1));
        let past = Expiration::from(SystemTime::now() - Duration::from_secs(1));
        assert!(past.is_expired());
        assert_eq!(past.remaining(), None);
        assert!(!Expiration::Never.is_expired());
        assert_eq!(Expiration::Never.remaining(), None);
    }
}
