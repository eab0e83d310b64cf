//! The reasons why a component is unavailable, is not loaded, or does not open.

use std::time::Duration;

use crate::{
    declare::show_size,
    graph::{OpenRefusal, Unusable},
    machine::Shortage,
    operator::{LoadError, OpenError},
};

/// The reason why an operator's code is unavailable.
#[derive(Debug, thiserror::Error)]
pub enum CodeError {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// The file is larger than this limit, in bytes.
    #[error("it is larger than {}", show_size(*.0))]
    TooLarge(u64),
    /// No built-in operator has this name (first field); the second field lists the existing ones.
    #[error("unknown built-in operator `{0}`; expected one of {1}")]
    NoBuiltin(String, String),
}

impl From<CodeError> for Unusable {
    fn from(error: CodeError) -> Self {
        Self::new(error, None)
    }
}

/// The reason why a component was not loaded.
#[derive(Debug, thiserror::Error)]
pub enum ComponentError {
    /// The code is not a usable operator.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Its compilation exceeded this time limit.
    #[error("it takes longer than {0:?} to compile")]
    Slow(Duration),
    /// The compiler panicked.
    #[error("the compiler failed unexpectedly")]
    Crashed,
    /// The system provides too few resources, which is not the fault of the component.
    #[error("{0}")]
    Shortage(Shortage),
}

impl ComponentError {
    /// Returns a suggestion for the user.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Load(error) => error.hint(),
            Self::Slow(_) | Self::Crashed | Self::Shortage(_) => None,
        }
    }

    /// Formats the error with its suggestion on a line of its own.
    pub fn with_hint(&self) -> String {
        match self.hint() {
            Some(hint) => format!("{self}\n{hint}"),
            None => self.to_string(),
        }
    }
}

impl From<ComponentError> for Unusable {
    fn from(error: ComponentError) -> Self {
        let help = error.hint();
        Self::new(error, help)
    }
}

/// The reason why an instance of an operator did not open.
#[derive(Debug, thiserror::Error)]
pub enum InstanceError {
    /// The library no longer holds the component.
    #[error("its component is no longer loaded")]
    NotLoaded,
    /// The system provides too few resources, which is not the fault of the component.
    #[error("{0}")]
    Shortage(Shortage),
    /// The instance cannot be created, or refuses its configuration.
    #[error(transparent)]
    Open(#[from] OpenError),
}

impl From<InstanceError> for OpenRefusal {
    fn from(error: InstanceError) -> Self {
        Self(error.to_string())
    }
}
