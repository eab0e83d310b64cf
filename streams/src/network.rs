//! Nodes, their identities, and how they are reached.

pub use crate::{
    NetworkId,
    net::{
        BindError, CloseReason, Congestion, ConnectError, EndpointAddr, IdentityError, LinkError,
        PeerId, SecretKey, Signature, Transport,
    },
    node::{Error, Error as NetworkError, LocalNode, Network, NetworkBuilder},
};
