//! Reads the text of a manifest: YAML with locations, substitution, and a report of all mistakes at once. Contains no
//! runtime and no wiring.
//!
//! Stages of reading: [`Source`] (limited in size) → `yaml` (a tree with locations) → `reader` (compares the tree with
//! the expected structure) → the sections, one file each. Checks across sections are in [`crate::graph`].

pub mod connector;

mod conditions;
mod criteria;
mod data_file;
mod de;
mod declare;
mod diagnostics;
mod edge;
mod grants;
mod guarded;
mod node;
mod operator;
mod operator_config;
mod operator_settings;
mod parallel;
mod postcard_schema;
mod quic;
mod reader;
mod render;
mod scalar;
mod schema;
mod source;
mod stage;
mod stream;
mod stream_config;
mod substitute;
mod syntax;
mod text;
mod tickets;
mod tree;
mod yaml;

pub use conditions::{Condition, OnlineWhen, Require, Requirement};
pub use criteria::parse as parse_criteria;
pub use data_file::DataFormat;
pub use declare::{Difference, Reload};
pub use diagnostics::{Diagnostic, Diagnostics, Severity};
pub use edge::EdgeSettings;
pub use grants::{GrantedDir, GrantedHost, Grants};
pub use guarded::{Guarded, Secret};
pub use node::NodeConfig;
pub use operator::ComponentSource;
pub(crate) use operator_config::is_yaml;
pub use operator_config::{OperatorConfig, parse_config};
pub use operator_settings::{
    OnError, OperatorLimits, OperatorSettings, PostcardPolicy, StatePolicy,
};
pub use quic::Quic;
pub use scalar::{
    Bootstrap, MAX_NAME_BYTES, PortName, StageName, StreamName, is_name, parse_duration,
    parse_size, show_duration, show_size,
};
pub use schema::schema;
pub use source::{MAX_MANIFEST_BYTES, Source, Span};
pub use stream_config::{
    Backoff, DEFAULT_BUFFER_BYTES, DEFAULT_BUFFER_SIZE, Lagging, MAX_BATCH_SIZE, MAX_BUFFER_BYTES,
    MAX_BUFFER_SIZE, Scope, StreamConfig, StreamSettings,
};
pub use substitute::{Environment, MAX_SUBSTITUTED_BYTES, ProcessEnvironment};
pub use tickets::{PresentedTicket, RequiredTicket};

pub(crate) use connector::sink_path;
pub(crate) use criteria::{
    CriteriaDecl, both as both_criteria, check as check_criteria, through_options,
};
pub(crate) use data_file::DataFileDecl;
#[cfg(test)]
pub(crate) use declare::Place;
pub(crate) use declare::{Declared, Places, Section, Shape};
pub(crate) use diagnostics::{all_of, did_you_mean, nearest, one_of};
pub(crate) use edge::EdgeKeys;
pub(crate) use edge::{EdgeDecl, Ports};
pub(crate) use operator::{OperatorDecl, OperatorKeys};
pub(crate) use operator_settings::{
    MAX_BINARY, MAX_MEMORY, MAX_TIME, MAX_WAIT, MIN_MEMORY, MIN_TIME,
};
pub(crate) use source::{Spanned, Unreadable};
pub(crate) use stage::{ConsumerDecl, ConsumerKeys, ProducerDecl, ProducerKeys};
pub(crate) use stream::{StreamDecl, StreamKeys};
pub(crate) use substitute::io_reason;
pub(crate) use text::{MANIFEST, Manifest, read};
pub(crate) use tickets::shown as shown_tickets;

#[cfg(test)]
mod schema_tests;
#[cfg(test)]
mod yaml_tests;
