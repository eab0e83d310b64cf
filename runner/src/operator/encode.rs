//! Converts a core module to the component that it declares to be.
//!
//! A module contains its component type in a custom section. That section is not decoded: only one
//! world is possible, and the library that would decode it recurses without bound on packages that
//! depend on each other in a cycle. Instead, the module's imports and exports are checked against
//! the world itself.

use std::sync::LazyLock;

use wasmparser::{Encoding, Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, WorldId};

use super::error::LoadError;
use super::grants::Interfaces;
use super::host::{is_of_1_0, is_operator_interface};

/// Name prefix of the custom sections that contain a component type.
const COMPONENT_TYPE: &str = "component-type";
/// Name of the nested custom section that sets the encoding of text: a version, then the encoding.
const TEXT: &str = "wit-component-encoding";

/// The world that every operator implements, from the interface file.
static OPERATOR: LazyLock<(Resolve, WorldId)> =
    LazyLock::new(|| world(include_str!("../../../wasm-sdk/wit/operator.wit")));

/// Version 1.0 of this world, for modules that were built for it.
static OPERATOR_1_0: LazyLock<(Resolve, WorldId)> =
    LazyLock::new(|| world(include_str!("../../wit/operator-1.0.wit")));

fn world(wit: &str) -> (Resolve, WorldId) {
    let mut resolve = Resolve::default();
    let package = resolve
        .push_str("operator.wit", wit)
        .expect("the interface is a constant that tests load");
    let world = resolve
        .select_world(&[package], Some("operator"))
        .expect("the interface has this world");
    (resolve, world)
}

/// Converts a core module of the operator world to a component. It may import only from the host,
/// regardless of its grants.
pub(super) fn encode(module: &[u8], granted: Interfaces) -> Result<Vec<u8>, LoadError> {
    let Stripped {
        mut module,
        text,
        imports,
    } = strip(module)?;
    let text = text.ok_or(LoadError::NoComponentType)?;
    let (own, foreign): (Vec<_>, Vec<_>) = imports
        .into_iter()
        .partition(|name| is_operator_interface(name));
    if !foreign.is_empty() {
        return Err(if foreign.iter().all(|name| Interfaces::ALL.cover(name)) {
            LoadError::ModuleImports(foreign)
        } else {
            LoadError::Imports {
                names: foreign,
                granted,
            }
        });
    }
    let (resolve, world) = if own.iter().any(|name| is_of_1_0(name)) {
        &*OPERATOR_1_0
    } else {
        &*OPERATOR
    };
    let failed = |error: anyhow::Error| LoadError::Encode(format!("{error:#}"));
    embed_component_metadata(&mut module, resolve, *world, text).map_err(failed)?;
    ComponentEncoder::default()
        .module(&module)
        .map_err(failed)?
        .validate(true)
        .encode()
        .map_err(failed)
}

/// A module without its component type.
struct Stripped {
    module: Vec<u8>,
    /// The declared encoding of text; `None` if the module contained no component type.
    text: Option<StringEncoding>,
    /// The distinct names of the modules that it imports from.
    imports: Vec<String>,
}

/// Returns the distinct names of the modules that a core module imports from.
pub(super) fn imports_of_module(module: &[u8]) -> Result<Vec<String>, LoadError> {
    let stripped = strip(module)?;
    match stripped.text {
        Some(_) => Ok(stripped.imports),
        None => Err(LoadError::NoComponentType),
    }
}

fn strip(module: &[u8]) -> Result<Stripped, LoadError> {
    try_strip(module).map_err(|error| LoadError::Encode(error.to_string()))
}

fn try_strip(module: &[u8]) -> wasmparser::Result<Stripped> {
    let mut stripped = Stripped {
        module: Vec::with_capacity(module.len()),
        text: None,
        imports: Vec::new(),
    };
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload?;
        match &payload {
            Payload::Version { range, .. } => {
                stripped.module.extend_from_slice(&module[range.clone()]);
            }
            Payload::CustomSection(section) if section.name().starts_with(COMPONENT_TYPE) => {
                stripped.text = Some(text_encoding(section.data()));
                continue;
            }
            Payload::ImportSection(imports) => {
                for import in imports.clone().into_imports() {
                    let from = import?.module;
                    if !stripped.imports.iter().any(|known| known == from) {
                        stripped.imports.push(from.to_owned());
                    }
                }
            }
            _ => {}
        }
        // The start of the code section is reported before all of it has been read.
        if let Some((id, range)) = payload.as_section() {
            let Some(section) = module.get(range) else {
                continue;
            };
            stripped.module.push(id);
            push_leb(&mut stripped.module, section.len());
            stripped.module.extend_from_slice(section);
        }
    }
    Ok(stripped)
}

/// Returns the text encoding that a component type declares; UTF-8 by default.
fn text_encoding(component_type: &[u8]) -> StringEncoding {
    for payload in Parser::new(0).parse_all(component_type) {
        match payload {
            Ok(Payload::Version { encoding, .. }) if encoding != Encoding::Component => break,
            Ok(Payload::CustomSection(section)) if section.name() == TEXT => {
                return match section.data() {
                    [_, 1] => StringEncoding::UTF16,
                    [_, 2] => StringEncoding::CompactUTF16,
                    _ => StringEncoding::UTF8,
                };
            }
            Ok(_) => {}
            Err(_) => break,
        }
    }
    StringEncoding::UTF8
}

fn push_leb(into: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        into.push(number as u8 | 0x80);
        number >>= 7;
    }
    into.push(number as u8);
}
