//! [`TicketValidator`] and the expiration of tickets. No I/O.

use std::{
    cmp::Ordering,
    sync::Arc,
    time::{Duration, SystemTime},
};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::{entry::PeerEntry, ticket::TicketClass};
use crate::UniqueId;

/// The expiration of a ticket. A later expiration is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Expiration {
    /// Never expires.
    Never,
    /// Expires at this time.
    At(DateTime<Utc>),
}

impl Expiration {
    /// Returns the time `duration` from now, or [`Never`](Self::Never) if the calendar cannot represent it.
    pub fn after(duration: Duration) -> Self {
        TimeDelta::from_std(duration)
            .ok()
            .and_then(|duration| Utc::now().checked_add_signed(duration))
            .map_or(Self::Never, Self::At)
    }

    /// Returns true if the time has passed.
    pub fn is_expired(&self) -> bool {
        match self {
            Self::Never => false,
            Self::At(time) => *time < Utc::now(),
        }
    }

    /// Returns the time left; `None` if it never expires or has expired.
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

/// Returns [`Never`](Self::Never) if the calendar cannot represent the time.
impl From<SystemTime> for Expiration {
    fn from(time: SystemTime) -> Self {
        match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => TimeDelta::from_std(since)
                .ok()
                .and_then(|since| DateTime::UNIX_EPOCH.checked_add_signed(since))
                .map_or(Self::Never, Self::At),
            // Any time before 1970 is expired, so the exact value is irrelevant.
            Err(_) => Self::At(DateTime::UNIX_EPOCH),
        }
    }
}

/// The ticket is invalid. The reason is not disclosed, since a forger could use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid ticket")]
pub struct InvalidTicket;

/// The maximum number of tickets of one class that are validated per entry. An entry of an unknown node has room for
/// about 1000 tickets, each of which may cost a signature check.
pub const MAX_TICKETS_JUDGED: usize = 64;

/// Validates tickets of one class.
///
/// Called when a peer connects, whenever the peer's entry changes, and when the ticket expires, always with the peer's
/// signed entry. It runs on the threads of the network, so it should return within milliseconds and do no I/O. If it
/// panics, an error is logged and the peer counts as one without a ticket.
///
/// ```
/// use mosaik_streams::{
///     UniqueId,
///     discovery::PeerEntry,
///     id,
///     tickets::{Expiration, InvalidTicket, TicketValidator},
/// };
///
/// /// Admits every peer that presents this word.
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
    /// Returns the class of tickets that it validates.
    fn class(&self) -> TicketClass;

    /// Returns an id that identifies this validator and its settings.
    fn signature(&self) -> UniqueId;

    /// Returns the time until which `ticket`, presented by `peer`, is valid.
    ///
    /// # Errors
    /// Fails if it is invalid.
    fn validate(&self, ticket: &[u8], peer: &PeerEntry) -> Result<Expiration, InvalidTicket>;
}

impl PeerEntry {
    /// Returns the latest expiration among the tickets that the validator accepts. Validates at most
    /// [`MAX_TICKETS_JUDGED`] tickets of the validator's class, in the order of their ids.
    ///
    /// # Errors
    /// Fails if the validator accepts none.
    pub fn validate_ticket(
        &self,
        validator: &dyn TicketValidator,
    ) -> Result<Expiration, InvalidTicket> {
        self.tickets_of(validator.class())
            .take(MAX_TICKETS_JUDGED)
            .filter_map(|ticket| validator.validate(&ticket.data, self).ok())
            .max()
            .ok_or(InvalidTicket)
    }

    /// Returns the time until which every validator accepts a ticket of the peer; `None` if there are no validators.
    ///
    /// # Errors
    /// Fails if a validator accepts none.
    pub fn validate_tickets(
        &self,
        validators: &[impl AsRef<dyn TicketValidator>],
    ) -> Result<Option<Expiration>, InvalidTicket> {
        let mut earliest = None;
        for validator in validators {
            let until = self.validate_ticket(validator.as_ref())?;
            earliest = Some(earliest.map_or(until, |earliest: Expiration| earliest.min(until)));
        }
        Ok(earliest)
    }
}

macro_rules! forward_validator {
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

forward_validator!(Box, Arc);

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
