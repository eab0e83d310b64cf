//! [`Inspection`]: the kind and imports of a binary, read without compiling or running it.

use wasmparser::{Parser, Payload};

use super::encode::imports_of_module;
use super::error::LoadError;
use super::grants::Interfaces;
use super::host::is_operator_interface;
use super::load::Kind;

/// The kind and imports of a binary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// True for a component, false for a core module that contains the type of one.
    pub is_component: bool,
    /// The interfaces that it imports, in its own order.
    pub imports: Vec<Import>,
}

/// An interface that a binary imports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// The name of the interface: `mosaik:operator/host@1.1.0`.
    pub name: String,
    /// The availability of the interface.
    pub given: Given,
}

/// The availability of an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given {
    /// Every operator has it.
    Always,
    /// The manifest can grant it with `allow`.
    Allowed,
    /// It is never available.
    Never,
}

impl Inspection {
    /// Inspects a binary. Takes a few milliseconds per MiB and validates nothing.
    ///
    /// # Errors
    /// The binary is neither a component nor a core module that contains its component type.
    pub fn of(bytes: &[u8]) -> Result<Self, LoadError> {
        let is_component = Kind::of(bytes)? == Kind::Component;
        let names = if is_component {
            imports_of_component(bytes)
                .map_err(|error| LoadError::Invalid(error.message().to_owned()))?
        } else {
            imports_of_module(bytes)?
        };
        let imports = names.into_iter().map(|name| Import {
            given: if is_operator_interface(&name) {
                Given::Always
            } else if is_component && Interfaces::ALL.cover(&name) {
                Given::Allowed
            } else {
                Given::Never
            },
            name,
        });
        Ok(Self {
            is_component,
            imports: imports.collect(),
        })
    }

    /// Returns the `allow` entry that grants all grantable imports, or `None` if it needs none.
    pub fn allow(&self) -> Option<String> {
        let allowed = self.imports.iter().filter(|i| i.given == Given::Allowed);
        let names: Vec<_> = allowed.map(|import| import.name.clone()).collect();
        (!names.is_empty()).then(|| Interfaces::default().hint(&names))
    }
}

/// Returns the instances that a component imports, in order.
fn imports_of_component(bytes: &[u8]) -> wasmparser::Result<Vec<String>> {
    let mut names = Vec::new();
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    // The types of a world are among its imports, under names without a colon. They
                    // give access to nothing.
                    let name = import?.name.name;
                    if name.contains(':') {
                        names.push(name.to_owned());
                    }
                }
            }
            _ => {}
        }
    }
    Ok(names)
}
