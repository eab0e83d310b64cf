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

/// Frames of a trap's backtrace that are looked at.
const BACKTRACE_FRAMES: NonZeroUsize = NonZeroUsize::new(32).expect("32 is not zero");

/// How an [`Engine`] is set up.
#[derive(Debug, Clone, Default)]
pub struct EngineConfig {
    /// The folder for compiled code, made with mode 0700 if it doesn't exist, 512 MiB at most. `None`, the default:
    /// every process compiles anew.
    pub cache_dir: Option<PathBuf>,
}

/// Compiles operators and runs them within limits. A clone is a reference count.
///
/// Dropping the last clone, [`Component`](super::Component) and [`Instance`](super::Instance) ends its thread.
#[derive(Clone)]
pub struct Engine {
    pub(super) inner: Arc<Inner>,
}

/// What all clones of an [`Engine`] share.
pub(super) struct Inner {
    pub(super) wasm: wasmtime::Engine,
    /// What every operator reaches.
    pub(super) linker: Linker<HostState>,
    pub(super) ticker: Ticker,
    pub(super) waits: Waits,
    pub(super) cache: Option<Cache>,
    /// What is loaded, so that many stages of one operator share its code. Holds no more than what is in use.
    pub(super) loaded: Mutex<HashMap<(Hash, Interfaces), Weak<Compiled>>>,
}

impl Engine {
    /// Sets up the compiler and starts the thread that measures guest calls.
    ///
    /// # Errors
    /// When the machine can't run compiled WebAssembly, a thread can't be started, or the cache folder is unusable or
    /// could be written by others.
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

/// What guests may use of WebAssembly, and how they are stopped. Threads, garbage collection, exceptions and the
/// asynchronous component model are not compiled in at all.
fn sandbox() -> Config {
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .cranelift_opt_level(OptLevel::Speed)
        .wasm_component_model(true)
        .wasm_memory64(false)
        // What passes between the parts of a component that is made of several is copied by code that sees the memories
        // of both; without this the compiler panics on such a component.
        .wasm_multi_memory(true)
        // Its results depend on the machine.
        .wasm_relaxed_simd(false)
        .epoch_interruption(true)
        .max_wasm_stack(512 * 1024)
        .wasm_backtrace_max_frames(Some(BACKTRACE_FRAMES))
        // An instance reserves 4 GiB of addresses, not of memory: no bounds check is needed then, and the base of the
        // memory never moves. Its first pages are shared with all other instances until they are written.
        .memory_reservation(4 << 30)
        .memory_guard_size(32 << 20)
        .memory_may_move(false)
        .memory_init_cow(true);
    config
}
