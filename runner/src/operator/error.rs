//! What can go wrong with an operator, one enum an operation.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::grants::Interfaces;

/// Why [`Engine::new`](super::Engine::new) failed.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The compiler cannot be set up on this machine.
    #[error("the WebAssembly compiler cannot be set up: {0}")]
    Compiler(String),
    /// The thread that measures the time of guest calls cannot be started.
    #[error("the thread that measures guest calls cannot be started: {0}")]
    Ticker(#[source] io::Error),
    /// The cache folder cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

/// Why a folder cannot hold compiled code.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// A file system call failed.
    #[error("the cache folder {path} cannot be used: {source}", path = .path.display())]
    Io {
        /// The folder or the file in it.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Somebody else could put code there that this process would then run.
    #[error("the cache folder cannot be trusted: {path} {why}", path = .path.display())]
    Untrusted {
        /// The folder or the file in it.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

/// Why [`Engine::load`](super::Engine::load) failed.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The binary is larger than allowed.
    #[error("the binary has {len} bytes, more than the {max} allowed")]
    TooLarge {
        /// Bytes it has.
        len: usize,
        /// Bytes it may have.
        max: usize,
    },
    /// The bytes are no WebAssembly binary at all.
    #[error("not a WebAssembly binary: {0}")]
    NotWasm(&'static str),
    /// A core module that doesn't say which component it is.
    #[error(
        "a core module without its component type (the custom section `component-type`); is the operator crate built \
         with mosaik-wasm-sdk or wit-bindgen, and the section not stripped?"
    )]
    NoComponentType,
    /// A core module that cannot be made a component.
    #[error("the core module cannot be made a component: {0}")]
    Encode(String),
    /// WebAssembly that does not validate, needs a feature that is off, or does not compile.
    #[error("not a valid component: {0}")]
    Invalid(String),
    /// The component is valid, as far as can be seen, but would cost too much to compile.
    #[error("asks too much of the compiler: {0}")]
    TooComplex(String),
    /// The component wants to reach what it was not granted; [`hint`](Self::hint) says how to grant it.
    #[error("imports {}, which nothing grants", list(.names))]
    Imports {
        /// The interfaces by their names.
        names: Vec<String>,
        /// What it was granted.
        granted: Interfaces,
    },
    /// A core module wants to reach what only a component can be granted.
    #[error("is a core module that imports {}: only a component can be granted more than `{host}`", list(.0), host = super::host::HOST)]
    ModuleImports(Vec<String>),
    /// The component is not an operator.
    #[error("does not export {}, which an operator of the world `{world}` must", list(.0), world = super::load::WORLD)]
    MissingExports(Vec<String>),
    /// An import or export exists under the right name with another type.
    #[error("does not fit the world `{world}`: {0}", world = super::load::WORLD)]
    World(String),
    /// The call of `describe`, which every load makes once, failed.
    #[error("cannot be asked what it is: {0}")]
    Describe(#[source] CallError),
    /// What it says of itself makes no sense.
    #[error("describes itself wrongly: {0}")]
    Description(String),
    /// The encoder or the compiler failed in a way it should not on any input.
    #[error("the compiler failed unexpectedly: {0}")]
    Internal(String),
}

impl LoadError {
    /// What would mend it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Imports { names, granted } => Some(granted.hint(names)),
            Self::ModuleImports(_) => Some(
                "build it for a target that makes components, as `wasm32-wasip2` does".to_owned(),
            ),
            _ => None,
        }
    }
}

/// Why [`Component::instantiate`](super::Component::instantiate) failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// A binding names a port that the operator does not describe.
    #[error("it has no {direction} port `{port}`; it has {}", list(.known))]
    UnknownPort {
        /// `input` or `output`.
        direction: &'static str,
        /// The name in the binding.
        port: String,
        /// The ports it describes.
        known: Vec<String>,
    },
    /// What it is granted cannot be had: a folder is gone.
    #[error("{0}")]
    Grant(String),
    /// Instantiation or the guest's `open` failed; [`CallError::Refused`] is the guest's own word on its configuration.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// Why a call into an operator failed.
///
/// [`is_fatal`](Self::is_fatal) says whether the instance is lost.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The guest trapped: it panicked, ran out of stack, divided by zero, reached outside its memory.
    #[error("{message}")]
    Trapped {
        /// Names the operator, the call, the trap, where it happened and what the guest last logged as an error.
        message: String,
    },
    /// The call used up its CPU time. How busy the machine is makes no difference.
    #[error("`{call}` used more than the {limit:?} of CPU time that `limits.time` allows it")]
    TimedOut {
        /// The exported function.
        call: &'static str,
        /// The CPU time it had: the base, and a thousandth of it for each record of the batch.
        limit: Duration,
    },
    /// The call waited too long for the host: a file, a timer, a response.
    #[error("`{call}` waited longer than the {limit:?} that `limits.wait` allows it")]
    WaitedTooLong {
        /// The exported function.
        call: &'static str,
        /// The time it had, as for the CPU time.
        limit: Duration,
    },
    /// The guest wanted more memory than it may have.
    #[error("`{call}` needs more memory than the {limit} bytes that `limits.memory` allows")]
    OutOfMemory {
        /// The exported function.
        call: &'static str,
        /// Bytes it may have.
        limit: usize,
    },
    /// The answer breaks the canonical ABI, the world's rules or a limit.
    #[error("`{call}` gave a malformed answer: {what}")]
    Malformed {
        /// The exported function.
        call: &'static str,
        /// What is wrong with it.
        what: String,
    },
    /// The guest said no: its error text, cut to [`Limits::reason_bytes_max`](super::Limits::reason_bytes_max).
    #[error("{0}")]
    Refused(String),
    /// An earlier call failed, so the guest's memory cannot be trusted and is gone; nothing was called.
    #[error("the instance was lost in an earlier failure")]
    Poisoned,
    /// The batch can never fit the guest's memory; nothing was called.
    #[error("a batch of {len} bytes does not fit an operator with {max} bytes of memory")]
    BatchTooLarge {
        /// Bytes of the batch, headers included.
        len: usize,
        /// Bytes of memory the guest may have.
        max: usize,
    },
    /// The operator describes no such input port; nothing was called.
    #[error("there is no input port {port}, the operator has {count}")]
    NoSuchPort {
        /// The number asked for.
        port: u32,
        /// How many it has.
        count: usize,
    },
}

impl CallError {
    /// Whether the instance is unusable from here on and has to be made anew.
    pub const fn is_fatal(&self) -> bool {
        !matches!(
            self,
            Self::Refused(_) | Self::BatchTooLarge { .. } | Self::NoSuchPort { .. }
        )
    }
}

/// `` `a`, `b` and `c` ``, at most so many as a component of a language's runtime imports.
fn list(names: &[String]) -> String {
    const SHOWN_MAX: usize = 32;
    let quoted: Vec<_> = names
        .iter()
        .take(SHOWN_MAX)
        .map(|name| format!("`{name}`"))
        .collect();
    match (names.len().checked_sub(SHOWN_MAX), quoted.split_last()) {
        (_, None) => "none".to_owned(),
        (Some(more @ 1..), _) => format!("{} and {more} more", quoted.join(", ")),
        (_, Some((last, []))) => last.clone(),
        (_, Some((last, first))) => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_names_reads_as_a_sentence() {
        let names = |n: usize| (0..n).map(|i| i.to_string()).collect::<Vec<_>>();
        assert_eq!(list(&names(0)), "none");
        assert_eq!(list(&names(1)), "`0`");
        assert_eq!(list(&names(3)), "`0`, `1` and `2`");
        assert_eq!(
            list(&names(34)).rsplit_once(", "),
            list(&names(32))
                .replace(" and ", ", ")
                .rsplit_once(", ")
                .map(|(first, _)| (first, "`31` and 2 more"))
        );
    }
}
