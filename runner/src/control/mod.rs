//! The control interface of a running node, for processes on the same machine: a Unix domain socket in the user's
//! runtime folder, with a framed JSON protocol. Only the same user, and root, can connect.

mod client;
mod plan;
mod protocol;
mod server;
mod socket;
mod tap;

pub use client::{AskError, Client, Found, find};
pub use plan::Load;
pub use protocol::{
    ANSWER_BYTES_MAX, Answer, Form, Hello, REQUEST_BYTES_MAX, Request, Shown, WINDOW_MAX,
};
pub use server::{ANSWER_TIME_MAX, CONNECTIONS_MAX, Order, Server};
pub use socket::{Address, Claim, SocketError, runtime_folder};
