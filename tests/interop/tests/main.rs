//! Nodes of this project and real Mosaik 0.3.13 nodes on one network.

mod catalog;
mod common;
mod generation_0_4;
mod lives;
mod pipeline;
mod reasons;
mod requirements;
mod streams;
mod tokens;
