//! The errors of operators, one enum per operation.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::grants::Interfaces;

/// The reason why [`Engine::new`](super::Engine::new) failed.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The compiler cannot be set up on this machine.
    #[error("the WebAssembly compiler cannot be set up: {0}")]
    Compiler(String),
    /// The thread that measures the time of guest calls cannot be started.
    #[error("the thread that measures guest calls cannot be started: {0}")]
    Ticker(#[source] io::Error),
    /// The cache folder is unusable.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

/// The reason why a folder cannot hold compiled code.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// A file system call failed.
    #[error("the cache folder {path} cannot be used: {source}", path = .path.display())]
    Io {
        /// The folder or the file in it.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// Another user could place code there that this process would then run.
    #[error("untrusted cache folder: {path} {why}", path = .path.display())]
    Untrusted {
        /// The folder or the file in it.
        path: PathBuf,
        /// The problem.
        why: String,
    },
}

/// The reason why [`Engine::load`](super::Engine::load) failed.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The binary is larger than allowed.
    #[error("the binary has {len} bytes, more than the {max} allowed")]
    TooLarge {
        /// Its size in bytes.
        len: usize,
        /// Its maximum size in bytes.
        max: usize,
    },
    /// The bytes are not a WebAssembly binary.
    #[error("not a WebAssembly binary: {0}")]
    NotWasm(&'static str),
    /// A core module without its component type.
    #[error(
        "a core module without its component type (the custom section `component-type`); is the operator crate built \
         with mosaik-wasm-sdk or wit-bindgen, and the section not stripped?"
    )]
    NoComponentType,
    /// A core module that cannot be converted to a component.
    #[error("the core module cannot be converted to a component: {0}")]
    Encode(String),
    /// WebAssembly that is invalid, needs a disabled feature, or does not compile.
    #[error("not a valid component: {0}")]
    Invalid(String),
    /// The component appears to be valid, but compiling it would cost too much.
    #[error("too complex to compile: {0}")]
    TooComplex(String),
    /// The component imports interfaces that were not granted; [`hint`](Self::hint) explains how to
    /// grant them.
    #[error("imports {}, which no grant provides", list(.names))]
    Imports {
        /// The names of the interfaces.
        names: Vec<String>,
        /// The granted interfaces.
        granted: Interfaces,
    },
    /// A core module imports interfaces that can only be granted to a component.
    #[error("is a core module that imports {}: only a component can be granted more than `{host}`", list(.0), host = super::host::HOST)]
    ModuleImports(Vec<String>),
    /// The component is not an operator.
    #[error("does not export {}, which an operator of the world `{world}` must", list(.0), world = super::load::WORLD)]
    MissingExports(Vec<String>),
    /// An import or export has the right name but another type.
    #[error("does not implement the world `{world}`: {0}", world = super::load::WORLD)]
    World(String),
    /// The call to `describe`, which every load makes once, failed.
    #[error("cannot be queried for its description: {0}")]
    Describe(#[source] CallError),
    /// Its description is invalid.
    #[error("invalid description: {0}")]
    Description(String),
    /// The encoder or the compiler failed in a way that no input should cause.
    #[error("the compiler failed unexpectedly: {0}")]
    Internal(String),
}

impl LoadError {
    /// Returns advice on how to fix the error, if there is any.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Imports { names, granted } => Some(granted.hint(names)),
            Self::ModuleImports(_) => Some(
                "build it for a target that produces components, such as `wasm32-wasip2`"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}

/// The reason why [`Component::instantiate`](super::Component::instantiate) failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// A binding names a port that the operator does not describe.
    #[error("it has no {direction} port `{port}`; it has {}", list(.known))]
    UnknownPort {
        /// `input` or `output`.
        direction: &'static str,
        /// The name in the binding.
        port: String,
        /// The ports that it describes.
        known: Vec<String>,
    },
    /// A grant is unavailable, for example because a folder no longer exists.
    #[error("{0}")]
    Grant(String),
    /// Instantiation or the guest's `open` failed. [`CallError::Refused`] is the guest's own
    /// refusal of its configuration.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// The reason why a call into an operator failed.
///
/// [`is_fatal`](Self::is_fatal) returns true if the instance is lost.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The guest trapped, for example because it panicked, exhausted its stack, divided by zero or
    /// accessed memory out of bounds.
    #[error("{message}")]
    Trapped {
        /// The operator, the call, the trap, its location and the guest's last error line.
        message: String,
    },
    /// The call used up its CPU time. The load of the machine makes no difference.
    #[error("`{call}` used more than the {limit:?} of CPU time that `limits.time` allows it")]
    TimedOut {
        /// The exported function.
        call: &'static str,
        /// The CPU time limit: the base, and 1/1000 of it for each record of the batch.
        limit: Duration,
    },
    /// The call waited too long for the host, for example for a file, a timer or a response.
    #[error("`{call}` waited longer than the {limit:?} that `limits.wait` allows it")]
    WaitedTooLong {
        /// The exported function.
        call: &'static str,
        /// The wait limit, which grows with the batch like the CPU time limit.
        limit: Duration,
    },
    /// The guest requested more memory than its limit.
    #[error("`{call}` needs more memory than the {limit} bytes that `limits.memory` allows")]
    OutOfMemory {
        /// The exported function.
        call: &'static str,
        /// The limit in bytes.
        limit: usize,
    },
    /// The answer violates the canonical ABI, the rules of the world or a limit.
    #[error("`{call}` returned a malformed answer: {what}")]
    Malformed {
        /// The exported function.
        call: &'static str,
        /// The problem.
        what: String,
    },
    /// The guest refused the call. The text is its error, cut to
    /// [`Limits::reason_bytes_max`](super::Limits::reason_bytes_max).
    #[error("{0}")]
    Refused(String),
    /// An earlier call failed. The guest's memory cannot be trusted and was discarded, and the
    /// guest was not called.
    #[error("the instance was lost in an earlier failure")]
    Poisoned,
    /// The batch can never fit into the guest's memory. The guest was not called.
    #[error("a batch of {len} bytes does not fit an operator with {max} bytes of memory")]
    BatchTooLarge {
        /// Size of the batch in bytes, headers included.
        len: usize,
        /// Maximum size of the guest's memory in bytes.
        max: usize,
    },
    /// The operator describes no such input port. The guest was not called.
    #[error("there is no input port {port}, the operator has {count}")]
    NoSuchPort {
        /// The requested number.
        port: u32,
        /// Number of its input ports.
        count: usize,
    },
}

impl CallError {
    /// Returns true if the instance is unusable and has to be re-created.
    pub const fn is_fatal(&self) -> bool {
        !matches!(
            self,
            Self::Refused(_) | Self::BatchTooLarge { .. } | Self::NoSuchPort { .. }
        )
    }
}

/// Formats names as `` `a`, `b` and `c` ``, up to the number that a component with a language
/// runtime imports.
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
