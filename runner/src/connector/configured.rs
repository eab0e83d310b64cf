//! [`Configured`]: a connector and its settings, of whichever kind.

use std::{any::Any, ops::Deref, sync::Arc};

/// Settings of any connector that can be compared with each other.
pub trait Compare {
    /// Returns whether other settings are the same.
    fn equals(&self, other: &dyn Any) -> bool;

    /// Returns the settings for [`equals`](Self::equals).
    fn as_any(&self) -> &dyn Any;
}

impl<T: PartialEq + 'static> Compare for T {
    fn equals(&self, other: &dyn Any) -> bool {
        other.downcast_ref() == Some(self)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A connector and its settings, which are [`SourceSettings`](super::SourceSettings) or
/// [`SinkSettings`](super::SinkSettings).
#[derive(Debug)]
pub struct Configured<S: ?Sized> {
    connector: &'static str,
    settings: Arc<S>,
}

impl<S: ?Sized> Configured<S> {
    pub(super) const fn of(connector: &'static str, settings: Arc<S>) -> Self {
        Self {
            connector,
            settings,
        }
    }

    /// Returns the name of the connector.
    pub const fn connector(&self) -> &'static str {
        self.connector
    }
}

impl<S: ?Sized> Clone for Configured<S> {
    fn clone(&self) -> Self {
        Self::of(self.connector, Arc::clone(&self.settings))
    }
}

impl<S: Compare + ?Sized> PartialEq for Configured<S> {
    fn eq(&self, other: &Self) -> bool {
        self.settings.equals(other.settings.as_any())
    }
}

impl<S: ?Sized> Deref for Configured<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.settings
    }
}
