//! Tests of the library through its public API. Each module is one subject; `cargo test --workspace --test streams
//! SUBJECT::` runs one.
//!
//! One program, because each would link the library and its dependencies again. Tests that count the allocations of
//! their process are separate programs: `allocations` and `hostile_connections`.

mod attack;
mod common;
mod programs;

mod attempts;
mod auto_traits;
mod batching;
mod criteria;
mod cut_through;
mod delivery;
mod discovery;
mod durable;
mod end_of_stream;
mod faults_network;
mod faults_nodes;
mod full_queue;
mod hostile_catalog;
mod hostile_frames;
mod idle;
mod lagging;
mod local;
mod marks;
mod mistakes;
mod mosaik_discovery;
mod mosaik_program;
mod plain_peers;
mod reconnect;
mod remote;
mod retune;
mod setup_mistakes;
mod shared;
mod stream_macro;
mod ticket_expiry;
mod tickets;
