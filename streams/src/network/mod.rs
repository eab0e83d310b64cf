//! Nodes, their connections, and the transport protocol. No other module depends on quinn or rustls.

mod accept;
mod builder;
mod close;
mod endpoint;
pub(crate) mod extension;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod identity;
mod link;
mod node;
mod pending;
mod reassembly;
mod released;
mod sockets;
#[cfg(test)]
mod tests;
mod tls;
mod transport;

pub use builder::{Error, Error as NetworkError, NetworkBuilder};
pub use close::CloseReason;
pub use endpoint::{BindError, ConnectError};
pub(crate) use endpoint::{Endpoint, EndpointConfig};
pub use identity::{EndpointAddr, IdentityError, PeerId, SecretKey, Signature};
pub use link::LinkError;
pub(crate) use link::{Link, LinkConn, LinkReceiver, LinkSender};
pub(crate) use node::Core;
pub use node::{LocalNode, Network};
pub use transport::{Congestion, Transport};

pub use crate::NetworkId;
