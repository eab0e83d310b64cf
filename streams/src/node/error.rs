//! [`Error`]: the reasons for which a network cannot be built.

use crate::{discovery, net::BindError};

/// An error from building a network.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The settings of discovery are invalid.
    #[error("failed to configure discovery: {0}")]
    Discovery(#[from] discovery::ConfigError),
    /// The frame limit is too small for catalog entries, or too large for the 4-byte header.
    #[error("the frame limit must be between 512 KiB and 4 GiB, not {0} bytes")]
    FrameLimit(usize),
    /// The network has been shut down.
    #[error("the network has been shut down")]
    ShutDown,
}
