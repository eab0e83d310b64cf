//! [`Library`]: the components of a graph.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use blake3::Hash;

use super::{
    builtins::BUILTINS,
    compile::{compile, compile_time_max},
    error::{CodeError, ComponentError, InstanceError},
    opened::{HeldLog, OpenedWith, Openings},
    setup::{granted, setup},
};
use crate::{
    code::Code,
    declare::io_reason,
    files,
    graph::{
        ComponentInfo, ComponentSource, Components, Grants, Graph, OpenRefusal, OperatorLimits,
        OperatorStage, Stage, StageKind, Unusable,
    },
    machine::{self, Shortage},
    operator::{Component, Engine, Instance, Interfaces, LoadLimits, NoEvents, Setup},
};

/// An instance that a check has opened, with its log lines.
#[derive(Debug)]
struct Opened {
    instance: Instance,
    log: Arc<HeldLog>,
}

/// Loads components and caches them by the hash of their bytes and by their linked interfaces.
#[derive(Debug)]
pub struct Library {
    engine: Engine,
    loaded: Mutex<HashMap<(Hash, Interfaces), Component>>,
    /// `None` if the instances that a check opens never start.
    openings: Option<Mutex<Openings<Opened>>>,
    /// The resource that was short when a component was last loaded or opened.
    shortage: Mutex<Option<Shortage>>,
    #[cfg(test)]
    opens: std::sync::atomic::AtomicUsize,
}

impl Library {
    /// Creates an empty library on an engine. It keeps the instances that a check has opened until
    /// they are taken to start.
    pub fn new(engine: Engine) -> Self {
        Self {
            openings: Some(Mutex::default()),
            ..Self::for_checks(engine)
        }
    }

    /// Creates an empty library for graphs that never run.
    pub fn for_checks(engine: Engine) -> Self {
        Self {
            engine,
            loaded: Mutex::default(),
            openings: None,
            shortage: Mutex::default(),
            #[cfg(test)]
            opens: std::sync::atomic::AtomicUsize::new(0),
        }
    }

    /// Returns the resource that was short when a component was last loaded or opened. Such a
    /// failure is not the fault of the component.
    pub(crate) fn shortage(&self) -> Option<Shortage> {
        *self.shortage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a shortage and returns it.
    fn lacks(&self, shortage: Shortage) -> Shortage {
        *self.shortage.lock().unwrap_or_else(PoisonError::into_inner) = Some(shortage);
        shortage
    }

    /// Returns the component of this hash, linked with the interfaces of these grants, if a check
    /// has loaded it.
    pub fn get(&self, hash: &str, grants: &Grants) -> Option<Component> {
        let hash = Hash::from_hex(hash).ok()?;
        self.find((hash, granted(grants).interfaces()))
    }

    fn find(&self, key: (Hash, Interfaces)) -> Option<Component> {
        self.loaded
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&key)
            .cloned()
    }

    fn openings(&self) -> Option<MutexGuard<'_, Openings<Opened>>> {
        let openings = self.openings.as_ref()?;
        Some(openings.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes the instance that a check has opened with this setup. Its log lines so far, and all
    /// later ones, go to the receiver in the setup.
    pub(crate) fn take_opened(&self, component: &Component, setup: &Setup) -> Option<Instance> {
        let with = OpenedWith::new(component, setup);
        let Opened { instance, log } = self.openings()?.take(&with)?;
        log.release(&setup.events);
        Some(instance)
    }

    /// Returns the number of opened instances that wait for their start.
    pub(crate) fn waiting(&self) -> usize {
        self.openings().map_or(0, |openings| openings.waiting())
    }

    /// Drops the components that a graph does not contain, so that the memory of a node that is
    /// edited for months does not grow. Drops the instances that did not start.
    pub fn retain(&self, graph: &Graph) {
        let hashes = graph.component_hashes();
        self.loaded
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|(hash, _), _| hashes.contains(&hash.to_hex().as_str()));
        let opened_with = |stage: &Stage| {
            let StageKind::Operator(operator) = &stage.kind else {
                return None;
            };
            let component = self.get(&operator.info.hash, &operator.settings.allow)?;
            let setup = setup(graph, stage, operator, Arc::new(NoEvents));
            Some(OpenedWith::new(&component, &setup))
        };
        let running: Vec<_> = graph.stages().filter_map(opened_with).collect();
        if let Some(mut openings) = self.openings() {
            openings.retain(&running);
        }
    }

    /// Reads an operator's code. Blocks.
    ///
    /// # Errors
    /// There is no such built-in operator, or the file cannot be read or is larger than its limit.
    pub fn code(source: &ComponentSource, limits: &OperatorLimits) -> Result<Code, CodeError> {
        match source {
            ComponentSource::Builtin(name) => builtin(name),
            ComponentSource::Path(path) => read(path, limits.binary).map(Code::new),
        }
    }

    /// Returns the component of this code, which may import `interfaces`. Blocks on the first call
    /// while it compiles.
    ///
    /// # Errors
    /// The code is not a usable operator, takes too long to compile, or the system provides too few resources.
    pub fn load(
        &self,
        code: &Code,
        limits: &OperatorLimits,
        interfaces: Interfaces,
    ) -> Result<Component, ComponentError> {
        let key = (code.hash(), interfaces);
        if let Some(component) = self.find(key) {
            return Ok(component);
        }
        machine::check_instances(1)
            .map_err(|shortage| ComponentError::Shortage(self.lacks(shortage)))?;
        let time_max = compile_time_max(limits);
        let limits = LoadLimits {
            binary_bytes_max: usize::try_from(limits.binary).unwrap_or(usize::MAX),
            ..LoadLimits::default()
        };
        let component = compile(&self.engine, code.clone(), limits, interfaces, time_max)
            .inspect_err(|error| {
                if let ComponentError::Shortage(shortage) = error {
                    self.lacks(*shortage);
                }
            })?;
        self.loaded
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key, component.clone());
        Ok(component)
    }

    /// Opens an instance.
    fn instantiate(&self, component: &Component, setup: Setup) -> Result<Instance, InstanceError> {
        if machine::check_instances(1).is_err()
            && let Some(mut openings) = self.openings()
        {
            openings.drop_waiting();
        }
        machine::check_instances(1)
            .map_err(|shortage| InstanceError::Shortage(self.lacks(shortage)))?;
        #[cfg(test)]
        self.opens
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Ok(component.instantiate(setup)?)
    }

    /// Returns the number of instances that checks have opened.
    #[cfg(test)]
    pub(crate) fn opens(&self) -> usize {
        self.opens.load(std::sync::atomic::Ordering::Relaxed)
    }
}

impl Components for Library {
    fn open(
        &self,
        graph: &Graph,
        stage: &Stage,
        operator: &OperatorStage,
    ) -> Result<(), OpenRefusal> {
        let component = self
            .get(&operator.info.hash, &operator.settings.allow)
            .ok_or(InstanceError::NotLoaded)?;
        let log = Arc::new(HeldLog::default());
        let setup = setup(graph, stage, operator, Arc::clone(&log) as _);
        let with = OpenedWith::new(&component, &setup);
        // The operator runs, and would only be opened to be dropped.
        if self
            .openings()
            .is_some_and(|openings| openings.has_opened(&with))
        {
            return Ok(());
        }
        let instance = self.instantiate(&component, setup)?;
        if let Some(mut openings) = self.openings() {
            openings.add(with, Opened { instance, log });
        }
        Ok(())
    }

    fn builtins(&self) -> Vec<&str> {
        BUILTINS.iter().map(|(name, _)| *name).collect()
    }

    fn builtin(&self, name: &str) -> Result<Code, Unusable> {
        Ok(builtin(name)?)
    }

    fn describe(
        &self,
        code: &Code,
        limits: &OperatorLimits,
        grants: &Grants,
    ) -> Result<ComponentInfo, Unusable> {
        let component = self.load(code, limits, granted(grants).interfaces())?;
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

fn builtin(name: &str) -> Result<Code, CodeError> {
    let builtin = BUILTINS.iter().find(|(builtin, _)| *builtin == name);
    builtin.map(|(_, bytes)| Code::new(*bytes)).ok_or_else(|| {
        let names: Vec<_> = BUILTINS.iter().map(|(name, _)| *name).collect();
        CodeError::NoBuiltin(name.to_owned(), names.join(", "))
    })
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
