//! The sections of a manifest, one file each. They are declared and read with [`crate::declare`]. Contains no runtime
//! and no wiring. Checks across sections are in [`crate::graph`].

mod checkpoint;
mod conditions;
mod consumer_settings;
mod criteria;
mod data_file;
mod durable;
mod edge;
mod grants;
mod node;
mod operator;
mod operator_config;
mod operator_settings;
mod parallel;
mod postcard_schema;
mod quic;
mod schema;
mod stage;
mod start_at;
mod stream;
mod stream_config;
mod text;
mod tickets;

pub use checkpoint::CheckpointConfig;
pub use conditions::{Condition, OnlineWhen, Require, Requirement};
pub use consumer_settings::{ConsumerSettings, Retry};
pub use criteria::parse as parse_criteria;
pub use durable::{Durable, Retain};
pub use edge::EdgeSettings;
pub use grants::{GrantedDir, GrantedHost, Grants};
pub use node::NodeConfig;
pub use operator::ComponentSource;
pub(crate) use operator_config::is_yaml;
pub use operator_config::{OperatorConfig, parse_config};
pub use operator_settings::{
    OnError, OperatorLimits, OperatorSettings, PostcardPolicy, StatePolicy,
};
pub use quic::Quic;
pub use schema::schema;
pub use stream_config::{
    Backoff, DEFAULT_BUFFER_BYTES, DEFAULT_BUFFER_SIZE, Lagging, MAX_BATCH_SIZE, MAX_BUFFER_BYTES,
    MAX_BUFFER_SIZE, Scope, StreamConfig, StreamSettings,
};
pub use tickets::{PresentedTicket, RequiredTicket};

pub(crate) use criteria::{CriteriaDecl, both as both_criteria, check as check_criteria};
pub(crate) use data_file::DataFileDecl;
pub(crate) use edge::EdgeKeys;
pub(crate) use edge::{EdgeDecl, Ports};
pub(crate) use operator::{OperatorDecl, OperatorKeys};
pub(crate) use operator_settings::{
    MAX_BINARY, MAX_MEMORY, MAX_TIME, MAX_WAIT, MIN_MEMORY, MIN_TIME,
};
pub(crate) use stage::{ConsumerDecl, ConsumerKeys, ProducerDecl, ProducerKeys};
pub(crate) use stream::{StreamDecl, StreamKeys};
pub(crate) use text::{MANIFEST, Manifest, read};
pub(crate) use tickets::shown as shown_tickets;

#[cfg(test)]
mod schema_tests;
