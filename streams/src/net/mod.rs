//! Identities, sockets, connections, and the transport protocol. No other module depends on quinn or rustls.

mod accept;
mod close;
mod endpoint;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod host;
mod identity;
mod link;
mod pending;
mod reassembly;
mod released;
mod sockets;
#[cfg(test)]
mod tests;
mod tls;
mod transport;

pub(crate) use accept::Handler;
pub use close::CloseReason;
pub(crate) use endpoint::Endpoint;
#[cfg(test)]
pub(crate) use endpoint::EndpointConfig;
pub use endpoint::{BindError, ConnectError};
pub(crate) use host::Host;
pub use identity::{EndpointAddr, IdentityError, PeerId, SecretKey, Signature};
pub use link::LinkError;
pub(crate) use link::{Link, LinkConn, LinkReceiver, LinkSender};
pub(crate) use transport::reachable;
pub use transport::{Congestion, Transport};
