//! The components of a graph: reads their code, compiles each once, describes them to the manifest
//! check and provides them to the build.

use std::{
    borrow::Cow,
    collections::HashMap,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use super::setup::{granted, setup};
use crate::{
    connector,
    declare::{io_reason, show_size},
    files,
    graph::{
        ComponentInfo, ComponentSource, Components, DataFormat, Grants, Graph, OperatorLimits,
        OperatorStage, Stage,
    },
    machine::{self, Shortage},
    operator::{Component, Engine, Interfaces, LoadLimits, NoEvents, process_cpu_time},
};

/// The built-in operators, by name.
pub const BUILTINS: &[(&str, &[u8])] = &[
    (
        "dedupe",
        include_bytes!("../../../operators/built/dedupe.wasm"),
    ),
    (
        "enrich",
        include_bytes!("../../../operators/built/enrich.wasm"),
    ),
    ("join", include_bytes!("../../../operators/built/join.wasm")),
    ("jq", include_bytes!("../../../operators/built/jq.wasm")),
    (
        "sample",
        include_bytes!("../../../operators/built/sample.wasm"),
    ),
    (
        "split",
        include_bytes!("../../../operators/built/split.wasm"),
    ),
    (
        "window",
        include_bytes!("../../../operators/built/window.wasm"),
    ),
];

/// Time limit for the compilation of a component with a `limits.binary` of at most 10 MiB: 60 s,
/// about 20 times the compile time of the largest operator here. The limit is longer while the
/// process gets less CPU time. Each additional MiB adds 10 s, up to [`COMPILE_TIME_CAP`], because
/// larger components contain the runtime of their language.
pub const COMPILE_TIME_MAX: Duration = Duration::from_mins(1);

/// Maximum time limit for the compilation of any component: 5 minutes.
pub const COMPILE_TIME_CAP: Duration = Duration::from_mins(5);

const COMPILE_TIME_PER_MIB_MORE: Duration = Duration::from_secs(10);

/// The reason why an operator's code is unavailable.
#[derive(Debug, thiserror::Error)]
pub enum CodeError {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// The file is larger than this limit, in bytes.
    #[error("it is larger than {}", show_size(*.0))]
    TooLarge(u64),
    /// No built-in operator has this name (first field); the second field lists the existing ones.
    #[error("unknown built-in operator `{0}`; expected one of {1}")]
    NoBuiltin(String, String),
}

/// Loads components and caches them by the hash of their bytes and by their linked interfaces.
#[derive(Debug)]
pub struct Library {
    engine: Engine,
    loaded: Mutex<HashMap<(String, Interfaces), Component>>,
    /// The resource that was short when a component was last loaded or opened.
    shortage: Mutex<Option<Shortage>>,
}

impl Library {
    /// Creates an empty library on an engine.
    pub fn new(engine: Engine) -> Self {
        Self {
            engine,
            loaded: Mutex::default(),
            shortage: Mutex::default(),
        }
    }

    /// Returns the resource that was short when a component was last loaded or opened. Such a
    /// failure is not the fault of the component.
    pub(crate) fn shortage(&self) -> Option<Shortage> {
        *self.shortage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a shortage and returns its message.
    fn lacks(&self, shortage: Shortage) -> String {
        *self.shortage.lock().unwrap_or_else(PoisonError::into_inner) = Some(shortage);
        shortage.to_string()
    }

    /// Returns the component of this hash, linked with the interfaces of these grants, if a check
    /// has loaded it.
    pub fn get(&self, hash: &str, grants: &Grants) -> Option<Component> {
        self.find(&(hash.to_owned(), granted(grants).interfaces()))
    }

    fn find(&self, key: &(String, Interfaces)) -> Option<Component> {
        self.loaded
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(key)
            .cloned()
    }

    /// Drops all other components, so that the memory of a node that is edited for months does not
    /// grow.
    pub fn retain(&self, hashes: &[&str]) {
        self.loaded
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|(hash, _), _| hashes.contains(&hash.as_str()));
    }

    /// Reads an operator's code. Blocks.
    ///
    /// # Errors
    /// There is no such built-in operator, or the file cannot be read or is larger than its limit.
    pub fn code(
        source: &ComponentSource,
        limits: &OperatorLimits,
    ) -> Result<Cow<'static, [u8]>, CodeError> {
        let name = match source {
            ComponentSource::Builtin(name) => name,
            ComponentSource::Path(path) => {
                return read(path, limits.binary).map(Cow::Owned);
            }
        };
        let builtin = BUILTINS.iter().find(|(builtin, _)| builtin == name);
        builtin
            .map(|(_, bytes)| Cow::Borrowed(*bytes))
            .ok_or_else(|| {
                let names: Vec<_> = BUILTINS.iter().map(|(name, _)| *name).collect();
                CodeError::NoBuiltin(name.clone(), names.join(", "))
            })
    }

    /// Returns the component of this code, which may import `interfaces`. Blocks on the first call
    /// while it compiles.
    ///
    /// # Errors
    /// The reason why the code is not a usable operator, as one sentence.
    pub fn load(
        &self,
        bytes: &[u8],
        limits: &OperatorLimits,
        interfaces: Interfaces,
    ) -> Result<Component, String> {
        let key = (blake3::hash(bytes).to_hex().to_string(), interfaces);
        if let Some(component) = self.find(&key) {
            return Ok(component);
        }
        machine::check_instances(1).map_err(|shortage| self.lacks(shortage))?;
        let time_max = compile_time_max(limits);
        let limits = LoadLimits {
            binary_bytes_max: binary_bytes(limits),
            ..LoadLimits::default()
        };
        let component = compile(&self.engine, bytes.to_vec(), limits, interfaces, time_max)
            .map_err(|why| why.unwrap_or_else(|| self.lacks(Shortage::of_threads())))?;
        self.loaded
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key, component.clone());
        Ok(component)
    }
}

impl Components for Library {
    fn open(&self, graph: &Graph, stage: &Stage, operator: &OperatorStage) -> Result<(), String> {
        let component = self
            .get(&operator.info.hash, &operator.settings.allow)
            .ok_or("its component is no longer loaded")?;
        machine::check_instances(1).map_err(|shortage| self.lacks(shortage))?;
        let setup = setup(graph, stage, operator, Arc::new(NoEvents));
        component
            .instantiate(setup)
            .map(drop)
            .map_err(|error| error.to_string())
    }

    fn builtins(&self) -> Vec<&str> {
        BUILTINS.iter().map(|(name, _)| *name).collect()
    }

    fn to_json(&self, format: DataFormat, bytes: &[u8]) -> Result<String, String> {
        connector::to_json(format, bytes)
    }

    fn describe(
        &self,
        source: &ComponentSource,
        limits: &OperatorLimits,
        grants: &Grants,
    ) -> Result<ComponentInfo, String> {
        let component = self.load(
            &Self::code(source, limits).map_err(|error| error.to_string())?,
            limits,
            granted(grants).interfaces(),
        )?;
        let description = component.description();
        Ok(ComponentInfo {
            inputs: description.inputs.clone(),
            outputs: description.outputs.clone(),
            state_version: description.state_version,
            hash: component.hash(),
            len: component.len() as u64,
        })
    }
}

/// Compiles a component on a separate thread and waits at most `time_max`. A compiler cannot be
/// stopped: after a timeout it continues, on a binary of limited size, and its result is discarded.
/// Returns an error without a reason if no thread can be started.
fn compile(
    engine: &Engine,
    bytes: Vec<u8>,
    limits: LoadLimits,
    interfaces: Interfaces,
    time_max: Duration,
) -> Result<Component, Option<String>> {
    let (answer, answered) = mpsc::sync_channel(1);
    let engine = engine.clone();
    let compiling = thread::Builder::new()
        .name("compile".into())
        .spawn(move || {
            // After the time limit, there is no receiver.
            let _ = answer.send(engine.load_granted(&bytes, limits, interfaces));
        });
    compiling.map_err(|_| None)?;
    match wait_for(&answered, time_max) {
        Ok(loaded) => loaded.map_err(|error| {
            Some(match error.hint() {
                Some(hint) => format!("{error}\n{hint}"),
                None => error.to_string(),
            })
        }),
        Err(RecvTimeoutError::Timeout) => Err(Some(format!(
            "it takes longer than {time_max:?} to compile"
        ))),
        Err(RecvTimeoutError::Disconnected) => {
            Err(Some("the compiler failed unexpectedly".to_owned()))
        }
    }
}

/// Times out after `time_max` of both wall and process CPU time, at the latest after 10 times
/// `time_max` of wall time: on a busy machine a compiler waits more than it works.
fn wait_for<T>(answered: &mpsc::Receiver<T>, time_max: Duration) -> Result<T, RecvTimeoutError> {
    const BUSY_FACTOR: u32 = 10;
    let (began, cpu_began) = (Instant::now(), process_cpu_time());
    let mut wait = time_max;
    loop {
        let waited = answered.recv_timeout(wait);
        let used = process_cpu_time().saturating_sub(cpu_began);
        let is_over = used >= time_max || began.elapsed() >= time_max.saturating_mul(BUSY_FACTOR);
        match waited {
            Err(RecvTimeoutError::Timeout) if !is_over => {
                wait = time_max
                    .saturating_sub(used)
                    .max(Duration::from_millis(100));
            }
            waited => return waited,
        }
    }
}

fn compile_time_max(limits: &OperatorLimits) -> Duration {
    let more = limits
        .binary
        .saturating_sub(OperatorLimits::default().binary);
    let mib_more = u32::try_from(more.div_ceil(1 << 20)).unwrap_or(u32::MAX);
    COMPILE_TIME_MAX
        .saturating_add(COMPILE_TIME_PER_MIB_MORE.saturating_mul(mib_more))
        .min(COMPILE_TIME_CAP)
}

fn binary_bytes(limits: &OperatorLimits) -> usize {
    usize::try_from(limits.binary).unwrap_or(usize::MAX)
}

/// Reads a file of at most `bytes_max` bytes: a regular file, or one that the process was given
/// open.
fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>, CodeError> {
    let contents = files::read_given(path, bytes_max)
        .map_err(|error| CodeError::Unreadable(io_reason(&error)))?;
    if contents.length > bytes_max {
        return Err(CodeError::TooLarge(bytes_max));
    }
    Ok(contents.bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::EngineConfig;

    #[test]
    fn a_component_has_to_be_compiled_in_time() {
        let engine = Engine::new(EngineConfig::default()).unwrap();
        let (_, window) = BUILTINS.iter().find(|(name, _)| *name == "window").unwrap();
        let within = |limit| {
            compile(
                &engine,
                window.to_vec(),
                LoadLimits::default(),
                Interfaces::default(),
                limit,
            )
        };
        let late = within(Duration::ZERO).unwrap_err();
        assert_eq!(late.unwrap(), "it takes longer than 0ns to compile");
        assert_eq!(within(COMPILE_TIME_MAX).unwrap().len(), window.len());
    }

    #[test]
    fn a_component_that_may_be_larger_has_more_time_to_be_compiled() {
        let of = |binary| {
            compile_time_max(&OperatorLimits {
                binary,
                ..OperatorLimits::default()
            })
        };
        assert_eq!(of(1), COMPILE_TIME_MAX);
        assert_eq!(of(10 << 20), COMPILE_TIME_MAX);
        assert_eq!(of((10 << 20) + 1), Duration::from_secs(70));
        assert_eq!(of(256 << 20), COMPILE_TIME_CAP);
    }
}
