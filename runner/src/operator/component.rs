//! [`Component`]: a compiled operator, shared by all its instances, and what it says of itself.

use std::collections::HashSet;
use std::sync::Arc;

use blake3::Hash;
use serde::{Deserialize, Serialize};

use super::bindings::{OperatorPre, types};
use super::engine::Inner;
use super::grants::Interfaces;
use super::host::HostState;

/// Ports of one direction.
const PORTS_MAX: usize = 256;
/// Bytes of a port's name.
const PORT_NAME_BYTES_MAX: usize = 128;
/// Bytes of a configuration's schema.
const CONFIG_SCHEMA_BYTES_MAX: usize = 1024 * 1024;

/// What an operator says of itself. A port's number in every call is its position here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// Names of the input ports, at most 256, none twice.
    pub inputs: Vec<String>,
    /// Names of the output ports, likewise.
    pub outputs: Vec<String>,
    /// The JSON schema of its configuration; empty if it has none. At most 1 MiB.
    pub config_schema: String,
    /// The version of the state it saves; a state of another version is its own to convert or refuse.
    pub state_version: u32,
}

impl Description {
    /// Checks what the guest said.
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

/// A compiled operator. A clone is a reference count.
#[derive(Clone)]
pub struct Component {
    pub(super) inner: Arc<Compiled>,
}

/// What all clones of a [`Component`] share.
pub(super) struct Compiled {
    pub(super) engine: Arc<Inner>,
    pub(super) pre: OperatorPre<HostState>,
    pub(super) description: Description,
    pub(super) hash: Hash,
    pub(super) len: usize,
    pub(super) imports: Vec<String>,
    /// What it is linked with beyond the operator's world.
    pub(super) interfaces: Interfaces,
}

impl Component {
    /// What it says of itself, asked once when it was first compiled.
    pub fn description(&self) -> &Description {
        &self.inner.description
    }

    /// The BLAKE3 hash, in hexadecimal, of the bytes it was loaded from.
    pub fn hash(&self) -> String {
        self.inner.hash.to_hex().to_string()
    }

    /// Bytes of the binary it was loaded from.
    #[expect(
        clippy::len_without_is_empty,
        reason = "an empty binary is no component"
    )]
    pub fn len(&self) -> usize {
        self.inner.len
    }

    /// What it may reach beyond the operator interface.
    pub fn interfaces(&self) -> Interfaces {
        self.inner.interfaces
    }

    /// Names of the interfaces it imports.
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
