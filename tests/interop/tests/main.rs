//! Nodes of this project and real Mosaik 0.3.13 nodes on one network.

mod catalog;
mod common;
mod lives;
mod reasons;
mod streams;
