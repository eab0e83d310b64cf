//! The commands that query or control a running node.

mod args;
mod checkpoints;
pub(super) mod down;
pub(super) mod explain;
pub(super) mod figures;
pub(super) mod peers;
pub(super) mod plan;
pub(super) mod reload;
pub(super) mod status;
pub(super) mod tap;
pub(super) mod top;

use args::NodeArgs;
pub(super) use args::node_name;
