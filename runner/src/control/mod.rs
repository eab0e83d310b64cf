//! How a running node is asked and told from the same machine: a Unix domain socket in the user's runtime folder, and a
//! small framed protocol of JSON on it. Nobody but the user can reach it.

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
