//! [`Anatomy`]: what a binary is made of, told without compiling or running any of it.

use wasmparser::{Parser, Payload};

use super::encode::imports_of_module;
use super::error::LoadError;
use super::grants::Interfaces;
use super::host::is_operator_interface;
use super::load::Kind;

/// What a binary is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anatomy {
    /// Whether it is a component, or a core module that carries the type of one.
    pub is_component: bool,
    /// What it wants to reach, in its own order.
    pub imports: Vec<Import>,
}

/// An interface that a binary imports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// Its name: `mosaik:operator/host@1.1.0`.
    pub name: String,
    /// Who gives it.
    pub given: Given,
}

/// Who gives an operator what it imports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given {
    /// Every operator has it.
    Always,
    /// The manifest can, with `allow`.
    Allowed,
    /// Nobody does.
    Never,
}

impl Anatomy {
    /// Looks into a binary. Takes some milliseconds a MiB; nothing in there is validated.
    ///
    /// # Errors
    /// When it is no component, and no core module that says which one it is.
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

    /// The `allow` that gives all its imports that can be given; `None` if it needs none.
    pub fn allow(&self) -> Option<String> {
        let allowed = self.imports.iter().filter(|i| i.given == Given::Allowed);
        let names: Vec<_> = allowed.map(|import| import.name.clone()).collect();
        (!names.is_empty()).then(|| Interfaces::default().hint(&names))
    }
}

/// The instances that a component imports, in order.
fn imports_of_component(bytes: &[u8]) -> wasmparser::Result<Vec<String>> {
    let mut names = Vec::new();
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    // A world's own types are among its imports, by names without a colon; they reach nothing.
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
