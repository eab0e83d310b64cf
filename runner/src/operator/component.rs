//! [`Component`]: a compiled operator, shared by all its instances, and its description.

use std::collections::HashSet;
use std::sync::Arc;

use blake3::Hash;
use serde::{Deserialize, Serialize};

use super::bindings::{OperatorPre, types};
use super::engine::Inner;
use super::grants::Interfaces;
use super::host::HostState;

/// Maximum number of ports in one direction: 256.
const PORTS_MAX: usize = 256;
/// Maximum size of a port's name, in bytes: 128.
const PORT_NAME_BYTES_MAX: usize = 128;
/// Maximum size of a configuration's schema, in bytes: 1 MiB.
const CONFIG_SCHEMA_BYTES_MAX: usize = 1024 * 1024;

/// An operator's description of itself. A port's number in all calls is its position here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// Names of the input ports: at most 256, without duplicates.
    pub inputs: Vec<String>,
    /// Names of the output ports: at most 256, without duplicates.
    pub outputs: Vec<String>,
    /// The JSON schema of its configuration, at most 1 MiB; empty if it has none.
    pub config_schema: String,
    /// The version of the state that it saves. The operator itself converts or refuses a state of
    /// another version.
    pub state_version: u32,
}

impl Description {
    /// Checks the guest's description.
    pub(super) fn parse(said: types::Description) -> Result<Self, String> {
        let types::Description {
            inputs,
            outputs,
            config_schema,
            state_version,
        } = said;
        for (direction, ports) in [("input", &inputs), ("output", &outputs)] {
            if ports.len() > PORTS_MAX {
                return Err(format!(
                    "{} {direction} ports, more than {PORTS_MAX}",
                    ports.len()
                ));
            }
            let mut seen = HashSet::new();
            for port in ports {
                if port.is_empty()
                    || port.len() > PORT_NAME_BYTES_MAX
                    || port.chars().any(char::is_control)
                {
                    return Err(format!(
                        "an {direction} port's name is not 1 to {PORT_NAME_BYTES_MAX} bytes of printable text"
                    ));
                }
                if !seen.insert(port) {
                    return Err(format!("the {direction} port `{port}` twice"));
                }
            }
        }
        if config_schema.len() > CONFIG_SCHEMA_BYTES_MAX {
            return Err(format!(
                "a configuration schema of {} bytes, more than {CONFIG_SCHEMA_BYTES_MAX}",
                config_schema.len()
            ));
        }
        if !config_schema.is_empty()
            && let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(&config_schema)
        {
            return Err(format!("a configuration schema that is not JSON: {error}"));
        }
        Ok(Self {
            inputs,
            outputs,
            config_schema,
            state_version,
        })
    }
}

/// A compiled operator. Cloning only increments a reference count.
#[derive(Clone)]
pub struct Component {
    pub(super) inner: Arc<Compiled>,
}

/// The data that all clones of a [`Component`] share.
pub(super) struct Compiled {
    pub(super) engine: Arc<Inner>,
    pub(super) pre: OperatorPre<HostState>,
    pub(super) description: Description,
    pub(super) hash: Hash,
    pub(super) len: usize,
    pub(super) imports: Vec<String>,
    /// The interfaces linked beyond the operator's world.
    pub(super) interfaces: Interfaces,
}

impl Component {
    /// Returns its description, which was requested once when it was first compiled.
    pub fn description(&self) -> &Description {
        &self.inner.description
    }

    /// Returns the BLAKE3 hash, in hexadecimal, of the bytes that it was loaded from.
    pub fn hash(&self) -> String {
        self.inner.hash.to_hex().to_string()
    }

    /// Returns the size of the binary that it was loaded from, in bytes.
    #[expect(
        clippy::len_without_is_empty,
        reason = "an empty binary is no component"
    )]
    pub fn len(&self) -> usize {
        self.inner.len
    }

    /// Returns the interfaces that it may use beyond the operator interface.
    pub fn interfaces(&self) -> Interfaces {
        self.inner.interfaces
    }

    /// Returns the names of the interfaces that it imports.
    pub fn imports(&self) -> &[String] {
        &self.inner.imports
    }
}

impl std::fmt::Debug for Component {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Component")
            .field("hash", &self.hash())
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
