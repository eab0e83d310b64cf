//! Loads a [`Component`] from bytes: checks the size, looks it up in the cache, encodes, compiles
//! and checks it, requests its description and stores it.

use std::hash::{Hash as _, Hasher};
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::{Arc, PoisonError};

use blake3::Hash;
use wasmtime::component::types::ComponentItem;

use super::bindings::OperatorPre;
use super::compile_cost::check_compile_cost;
use super::component::{Compiled, Component, Description};
use super::encode::encode;
use super::engine::{Engine, Inner};
use super::error::LoadError;
use super::grants::Interfaces;
use super::host::is_operator_interface;
use super::instance;
use super::limits::LoadLimits;
use super::wasi;
use crate::code::Code;

/// The world that every operator implements.
pub const WORLD: &str = "mosaik:operator/operator@1.1.0";

/// The functions that it exports.
const EXPORTS: [&str; 8] = [
    "describe", "open", "process", "resume", "tick", "finish", "snapshot", "restore",
];

/// The first eight bytes of a core module and of a component.
const MODULE: &[u8] = b"\0asm\x01\0\0\0";
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

impl Engine {
    /// Compiles an operator without grants, or takes it from the cache, and requests its
    /// description.
    ///
    /// # Errors
    /// See [`load_granted`](Self::load_granted).
    pub fn load(&self, bytes: &[u8], limits: LoadLimits) -> Result<Component, LoadError> {
        self.load_granted(bytes, limits, Interfaces::default())
    }

    /// Compiles an operator that may import `interfaces`, or takes it from the cache, and requests
    /// its description. During `describe`, the granted interfaces are empty.
    ///
    /// Accepts a component, or a core module with its component type, such as `cargo build --target
    /// wasm32-unknown-unknown` produces from a crate that uses `wit-bindgen`. Bytes that are
    /// already loaded are not compiled again.
    ///
    /// Blocks for a few milliseconds if the code is cached, or else for about one second per MiB.
    /// The compiler cannot be interrupted: a caller with a time limit runs this on a separate
    /// thread and stops waiting. The size of the binary bounds the further cost of that thread.
    ///
    /// # Errors
    /// The binary is too large, is not WebAssembly, is not an operator, imports interfaces that are
    /// not granted, or cannot describe itself within the limits. A cache failure is only logged.
    pub fn load_granted(
        &self,
        bytes: &[u8],
        limits: LoadLimits,
        interfaces: Interfaces,
    ) -> Result<Component, LoadError> {
        self.load_hashed(bytes, blake3::hash(bytes), limits, interfaces)
    }

    /// Like [`load_granted`](Self::load_granted), for code that is hashed already.
    ///
    /// # Errors
    /// See [`load_granted`](Self::load_granted).
    pub fn load_code(
        &self,
        code: &Code,
        limits: LoadLimits,
        interfaces: Interfaces,
    ) -> Result<Component, LoadError> {
        self.load_hashed(code.bytes(), code.hash(), limits, interfaces)
    }

    fn load_hashed(
        &self,
        bytes: &[u8],
        hash: Hash,
        limits: LoadLimits,
        interfaces: Interfaces,
    ) -> Result<Component, LoadError> {
        let (len, max) = (bytes.len(), limits.binary_bytes_max);
        if len > max {
            return Err(LoadError::TooLarge { len, max });
        }
        if let Some(inner) = self.loaded(hash, interfaces) {
            return Ok(Component { inner });
        }
        let kind = Kind::of(bytes)?;
        // The encoder and the compiler are third-party code, and their input is untrusted.
        let load = AssertUnwindSafe(|| self.inner.obtain(bytes, kind, hash, limits, interfaces));
        let compiled = panic::catch_unwind(load)
            .unwrap_or_else(|panic| Err(LoadError::Internal(message(&*panic))))?;
        Ok(Component {
            inner: self.remember(compiled),
        })
    }

    fn loaded(&self, hash: Hash, interfaces: Interfaces) -> Option<Arc<Compiled>> {
        let loaded = self
            .inner
            .loaded
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        loaded.get(&(hash, interfaces))?.upgrade()
    }

    /// Shares the compiled component, or returns the one that another thread compiled in the
    /// meantime.
    fn remember(&self, compiled: Compiled) -> Arc<Compiled> {
        let mut loaded = self
            .inner
            .loaded
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        loaded.retain(|_, compiled| compiled.strong_count() > 0);
        let key = (compiled.hash, compiled.interfaces);
        if let Some(earlier) = loaded.get(&key).and_then(std::sync::Weak::upgrade) {
            return earlier;
        }
        let compiled = Arc::new(compiled);
        loaded.insert(key, Arc::downgrade(&compiled));
        compiled
    }
}

impl Inner {
    fn obtain(
        self: &Arc<Self>,
        bytes: &[u8],
        kind: Kind,
        hash: Hash,
        limits: LoadLimits,
        interfaces: Interfaces,
    ) -> Result<Compiled, LoadError> {
        let id = self.artefact_id(&hash);
        if let Some((wasm, description)) = self
            .cache
            .as_ref()
            .and_then(|cache| cache.get(&id, |path| self.map(path)))
        {
            let (pre, imports) = self.link(&wasm, interfaces)?;
            return Ok(Compiled {
                engine: Arc::clone(self),
                pre,
                description,
                hash,
                len: bytes.len(),
                imports,
                interfaces,
            });
        }
        let wasm = match kind {
            Kind::Module => self.compile(&encode(bytes, interfaces)?),
            Kind::Component => self.compile(bytes),
        }?;
        let (pre, imports) = self.link(&wasm, interfaces)?;
        let said =
            instance::describe(self, &pre, limits, interfaces).map_err(LoadError::Describe)?;
        let description = Description::parse(said).map_err(LoadError::Description)?;
        if let Some(cache) = &self.cache {
            cache.keep(&id, wasm.serialize(), &description);
        }
        Ok(Compiled {
            engine: Arc::clone(self),
            pre,
            description,
            hash,
            len: bytes.len(),
            imports,
            interfaces,
        })
    }

    fn compile(&self, bytes: &[u8]) -> Result<wasmtime::component::Component, LoadError> {
        check_compile_cost(bytes)?;
        wasmtime::component::Component::from_binary(&self.wasm, bytes)
            .map_err(|error| LoadError::Invalid(format!("{error:#}")))
    }

    /// Maps compiled code that the cache has verified.
    fn map(&self, path: &Path) -> wasmtime::Result<wasmtime::component::Component> {
        // SAFETY: the file must be the output of `serialize` for this engine and must not change
        // while it is mapped. The cache has compared its contents with a hash that only a process
        // of this user with the folder's key can have written. That process wrote the output of
        // `serialize`, and the id in the name covers the version of wasmtime and all relevant
        // settings. Other users cannot write to that folder, and its files are replaced and removed
        // but never modified, so the mapping keeps the verified contents.
        unsafe { wasmtime::component::Component::deserialize_file(&self.wasm, path) }
    }

    /// Checks imports and exports, by name first, because names are the most frequent mistake.
    fn link(
        &self,
        wasm: &wasmtime::component::Component,
        interfaces: Interfaces,
    ) -> Result<(OperatorPre<super::host::HostState>, Vec<String>), LoadError> {
        let ty = wasm.component_type();
        let imports: Vec<String> = ty
            .imports(&self.wasm)
            .map(|(name, _)| name.to_owned())
            .collect();
        let foreign: Vec<String> = imports
            .iter()
            .filter(|name| !is_operator_interface(name) && !interfaces.cover(name))
            .cloned()
            .collect();
        if !foreign.is_empty() {
            return Err(LoadError::Imports {
                names: foreign,
                granted: interfaces,
            });
        }
        let missing = EXPORTS.iter().filter(|name| {
            let export = ty.get_export(&self.wasm, name);
            !export.is_some_and(|export| matches!(export.ty, ComponentItem::ComponentFunc(_)))
        });
        let missing: Vec<String> = missing.map(|&name| name.to_owned()).collect();
        if !missing.is_empty() {
            return Err(LoadError::MissingExports(missing));
        }
        let misfit = |error: wasmtime::Error| LoadError::World(format!("{error:#}"));
        let pre = if interfaces == Interfaces::default() {
            self.linker.instantiate_pre(wasm)
        } else {
            let mut linker = self.linker.clone();
            wasi::link(&mut linker, interfaces).and_then(|()| linker.instantiate_pre(wasm))
        };
        let pre = pre.map_err(misfit)?;
        Ok((OperatorPre::new(pre).map_err(misfit)?, imports))
    }

    /// Returns the id of compiled code, which covers everything that the code depends on.
    fn artefact_id(&self, source: &Hash) -> Hash {
        let mut hasher = Blake3Hasher(blake3::Hasher::new());
        hasher.write(b"mosaik-runner operator 2\0");
        hasher.write(env!("CARGO_PKG_VERSION").as_bytes());
        hasher.write(source.as_bytes());
        // Covers wasmtime's version, the target and its features, and all settings that change the
        // code.
        self.wasm.precompile_compatibility_hash().hash(&mut hasher);
        hasher.0.finalize()
    }
}

/// The kind of a binary, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Module,
    Component,
}

impl Kind {
    pub(super) fn of(bytes: &[u8]) -> Result<Self, LoadError> {
        let text = bytes.trim_ascii_start();
        Err(LoadError::NotWasm(if bytes.starts_with(MODULE) {
            return Ok(Self::Module);
        } else if bytes.starts_with(COMPONENT) {
            return Ok(Self::Component);
        } else if bytes.is_empty() {
            "it is empty"
        } else if text.starts_with(b"(module")
            || text.starts_with(b"(component")
            || text.starts_with(b";;")
        {
            "this is the text format, which has to be assembled first"
        } else if bytes.starts_with(b"\0asm") {
            "its version is unknown"
        } else if bytes.starts_with(b"\x7fELF") {
            "this is native code; build it for a wasm32 target"
        } else {
            "it does not start with `\\0asm`"
        }))
    }
}

/// A collision-resistant [`Hasher`], for types that only support hashing through this trait.
struct Blake3Hasher(blake3::Hasher);

impl Hasher for Blake3Hasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let hash = self.0.finalize();
        hash.as_bytes()
            .iter()
            .take(8)
            .fold(0, |word, &byte| word << 8 | u64::from(byte))
    }
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
        .to_owned()
}
