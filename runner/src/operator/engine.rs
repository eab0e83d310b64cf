//! [`Engine`]: the compiler, the linker and the ticker that all operators of a process share.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, Weak};

use blake3::Hash;
use wasmtime::component::Linker;
use wasmtime::{Config, OptLevel, Strategy};

use super::cache::Cache;
use super::component::Compiled;
use super::error::EngineError;
use super::grants::Interfaces;
use super::host::{self, HostState};
use super::ticker::Ticker;
use super::wait::Waits;

/// Maximum number of frames inspected in a trap's backtrace: 32.
const BACKTRACE_FRAMES: NonZeroUsize = NonZeroUsize::new(32).expect("32 is not zero");

/// The configuration of an [`Engine`].
#[derive(Debug, Clone, Default)]
pub struct EngineConfig {
    /// The folder for compiled code, at most 512 MiB. It is created with mode 0700 if it does not
    /// exist. `None`, the default, disables the cache: every process compiles again.
    pub cache_dir: Option<PathBuf>,
}

/// Compiles operators and runs them within limits. Cloning only increments a reference count.
///
/// Dropping the last clone, [`Component`](super::Component) and [`Instance`](super::Instance) ends
/// its thread.
#[derive(Clone)]
pub struct Engine {
    pub(super) inner: Arc<Inner>,
}

/// The data that all clones of an [`Engine`] share.
pub(super) struct Inner {
    pub(super) wasm: wasmtime::Engine,
    /// The functions that every operator can call.
    pub(super) linker: Linker<HostState>,
    pub(super) ticker: Ticker,
    pub(super) waits: Waits,
    pub(super) cache: Option<Cache>,
    /// The loaded components, so that the stages of one operator share its code. Contains only
    /// components in use.
    pub(super) loaded: Mutex<HashMap<(Hash, Interfaces), Weak<Compiled>>>,
}

impl Engine {
    /// Creates the compiler and starts the thread that measures guest calls.
    ///
    /// # Errors
    /// The machine cannot run compiled WebAssembly, a thread cannot be started, or the cache folder
    /// is unusable or writable by other users.
    pub fn new(config: EngineConfig) -> Result<Self, EngineError> {
        let failed = |error: wasmtime::Error| EngineError::Compiler(format!("{error:#}"));
        let wasm = wasmtime::Engine::new(&sandbox()).map_err(failed)?;
        let mut linker = Linker::new(&wasm);
        host::link(&mut linker).map_err(failed)?;
        let ticker = Ticker::start(wasm.weak()).map_err(EngineError::Ticker)?;
        let cache = config.cache_dir.map(Cache::open).transpose()?;
        Ok(Self {
            inner: Arc::new(Inner {
                wasm,
                linker,
                ticker,
                waits: Waits::default(),
                cache,
                loaded: Mutex::default(),
            }),
        })
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("cache", &self.inner.cache)
            .finish_non_exhaustive()
    }
}

/// Returns the WebAssembly features of guests and the settings that interrupt them. Threads,
/// garbage collection, exceptions and the asynchronous component model are not compiled in at all.
fn sandbox() -> Config {
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .cranelift_opt_level(OptLevel::Speed)
        .wasm_component_model(true)
        .wasm_memory64(false)
        // Data passed between the parts of a composed component is copied by code that accesses
        // both memories. Without this feature, the compiler panics on such a component.
        .wasm_multi_memory(true)
        // Its results depend on the machine.
        .wasm_relaxed_simd(false)
        .epoch_interruption(true)
        .max_wasm_stack(512 * 1024)
        .wasm_backtrace_max_frames(Some(BACKTRACE_FRAMES))
        // An instance reserves 4 GiB of addresses, not of memory: then no bounds check is needed,
        // and the base of the memory never moves. Its first pages are shared with all other
        // instances until they are written.
        .memory_reservation(4 << 30)
        .memory_guard_size(32 << 20)
        .memory_may_move(false)
        .memory_init_cow(true);
    config
}
