//! What a graph must know of an operator's code, and the checks that need no WebAssembly engine.

use std::path::Path;

use mosaik_streams::Encoding;

use super::{
    DataFormat, Graph, OperatorStage, PostcardPolicy, Role, SourceConfig, Stage, StageKey,
    StageKind, StreamName, config_place,
};
use crate::{
    files::{self, Contents},
    manifest::{
        ComponentSource, DataFileDecl, Diagnostic, Grants, OperatorDecl, OperatorLimits, Span,
        io_reason, nearest, show_size,
    },
};

/// What a component says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ComponentInfo {
    /// Its inputs, in order.
    pub inputs: Vec<String>,
    /// Its outputs, in order.
    pub outputs: Vec<String>,
    /// The version of its state; 0 of one that keeps none.
    pub state_version: u32,
    /// The blake3 hash of its code, 64 hex digits.
    pub hash: String,
    /// The length of its code, in bytes.
    pub len: u64,
}

/// Whoever can look into a component.
pub trait Components {
    /// What a component says of itself, if what it imports is granted. The error is one clear sentence, in lower case
    /// and without a full stop; what helps against it may follow on a second line.
    fn describe(
        &self,
        component: &ComponentSource,
        limits: &OperatorLimits,
        grants: &Grants,
    ) -> Result<ComponentInfo, String>;

    /// The names of the built-in operators.
    fn builtins(&self) -> Vec<&str>;

    /// Whether a source with these settings can feed a stream of this encoding. The error is the key at fault and why, in
    /// lower case and without a full stop.
    fn check_source(
        &self,
        config: &SourceConfig,
        encoding: &Encoding,
    ) -> Result<(), (&'static str, String)>;

    /// What content that begins like this is, if it is not text: `compressed by gzip`. What helps may follow after `; `.
    fn other_than_text(&self, beginning: &[u8]) -> Option<String>;

    /// The content of a data file as JSON. The error says what is wrong with it, in lower case and without a full stop.
    fn to_json(&self, format: DataFormat, bytes: &[u8]) -> Result<String, String>;

    /// Opens an operator of a graph as it would be run, and lets it go: whether it takes its configuration. The error
    /// says why not, in lower case and without a full stop; its first line must be enough to understand it.
    fn open(&self, graph: &Graph, stage: &Stage, operator: &OperatorStage) -> Result<(), String>;
}

/// Tries out whether the operators take their configuration.
pub(super) fn open(
    operators: &[OperatorDecl],
    graph: &Graph,
    components: &dyn Components,
    found: &mut Vec<Diagnostic>,
) {
    for decl in operators {
        let key = StageKey {
            role: Role::Operator,
            name: decl.name.value.clone(),
        };
        let (Some(span), Some(stage)) = (decl.config_span, graph.stage(&key)) else {
            continue;
        };
        let StageKind::Operator(operator) = &stage.kind else {
            continue;
        };
        if !streams_of(stage).all(|stream| graph.streams.contains_key(stream)) {
            continue;
        }
        if let Err(reason) = components.open(graph, stage, operator) {
            let refused = refused(decl, span, &reason);
            // Most know JSON only.
            let native = streams_of(stage)
                .any(|stream| matches!(graph.streams[stream].encoding, Encoding::Postcard(_)))
                && operator.postcard == PostcardPolicy::Native;
            found.push(if native && refused.help.is_none() {
                refused.help(
                    "it reads and writes postcard as it is; for JSON give it `postcard: json`",
                )
            } else {
                refused
            });
        }
    }
}

fn streams_of(stage: &Stage) -> impl Iterator<Item = &StreamName> {
    stage.edges().map(|edge| &edge.stream).chain(stage.writes())
}

fn refused(decl: &OperatorDecl, span: Span, reason: &str) -> Diagnostic {
    let name = &decl.name.value;
    if decl.config.is_secret() {
        return Diagnostic::error(format!(
            "operator `{name}` does not open with its configuration"
        ))
        .at(span, "it holds a secret, so the reason is not shown");
    }
    // Lines further down keep their indentation: they may point at a column.
    let reason = reason.trim();
    let (first, rest) = reason.split_once('\n').unwrap_or((reason, ""));
    let first = match first.trim_end() {
        "" => "it does not say why",
        first => first,
    };
    let opened_with = if span == decl.name.span {
        "opened without a configuration"
    } else {
        "opened with this"
    };
    let place = config_place::of(&decl.config_places, first);
    let (span, label) = match (file_at_fault(decl, first), &place) {
        (Some(file), _) => (file.path.span, "opened with what stands in this file"),
        (None, Some(place)) => (place.span, place.label),
        (None, None) => (span, opened_with),
    };
    let help = place.and_then(|place| place.help);
    Diagnostic::error(format!("operator `{name}` does not open: {first}"))
        .at(span, label)
        .maybe_help(help.or_else(|| (!rest.is_empty()).then(|| format!("it says\n{rest}"))))
}

/// The file that a reason is about, if it starts with the name of what was read from it, as those of the SDK do.
fn file_at_fault<'d>(decl: &'d OperatorDecl, reason: &str) -> Option<&'d DataFileDecl> {
    let field = reason.strip_prefix("config.")?;
    decl.files.iter().find(|file| {
        let rest = field.strip_prefix(&file.name);
        rest.is_some_and(|rest| rest.starts_with([':', '[', '.']))
    })
}

/// What a component says of itself, or what is wrong with it.
pub(super) fn inspect(
    decl: &OperatorDecl,
    components: &dyn Components,
) -> Result<ComponentInfo, Box<Diagnostic>> {
    let span = decl.component.span;
    // Pinned code is compared before anything looks into it.
    if let ComponentSource::Path(path) = &*decl.component.value {
        check_digest(decl, &check_file(path, decl, &components.builtins())?)?;
    }
    let component = &decl.component.value;
    let info = components
        .describe(component, &decl.limits, &decl.grants)
        .map_err(|reason| {
            let (reason, help) = match reason.split_once('\n') {
                Some((reason, help)) => (reason, Some(help.to_owned())),
                None => (reason.as_str(), None),
            };
            let message = match &**component {
                // The reason may name it.
                ComponentSource::Builtin(name) if component.is_secret() => {
                    format!(
                        "not an operator that can be used: {}",
                        reason.replace(name.as_str(), "***")
                    )
                }
                ComponentSource::Path(path) if component.is_secret() => {
                    let reason = reason.replace(&*path.to_string_lossy(), "***");
                    format!("not an operator that can be used: {reason}")
                }
                ComponentSource::Path(_) => format!("not an operator that can be used: {reason}"),
                ComponentSource::Builtin(name) => {
                    format!("`builtin:{name}` cannot be used: {reason}")
                }
            };
            Box::new(
                Diagnostic::error(message)
                    .at(span, "this component")
                    .maybe_help(help),
            )
        })?;
    if let ComponentSource::Builtin(_) = &**component {
        check_digest(decl, &info.hash)?;
    }
    Ok(info)
}

fn check_digest(decl: &OperatorDecl, hash: &str) -> Result<(), Box<Diagnostic>> {
    let Some(digest) = &decl.digest else {
        return Ok(());
    };
    let pinned = blake3::Hash::from_bytes(digest.value).to_hex();
    if pinned.as_str() == hash {
        return Ok(());
    }
    Err(Box::new(
        Diagnostic::error(format!(
            "the code of operator `{}` is not the one pinned",
            decl.name.value
        ))
        .at(digest.span, "another digest")
        .also(decl.component.span, "this component")
        .help(format!("its digest is `blake3:{hash}`")),
    ))
}

/// Checks a component's file as far as its first bytes go, and hashes it.
fn check_file(
    path: &Path,
    decl: &OperatorDecl,
    builtins: &[&str],
) -> Result<String, Box<Diagnostic>> {
    let span = decl.component.span;
    let unreadable = |error: std::io::Error| {
        let reason = io_reason(&error);
        let look =
            error.kind() == std::io::ErrorKind::NotFound && !decl.component.value.is_secret();
        let help = look.then(|| builtin_meant(path, builtins).or_else(|| near_file(path)));
        let help = help.flatten();
        Box::new(
            Diagnostic::error(format!("the component cannot be read: {reason}"))
                .at(span, reason)
                .maybe_help(help),
        )
    };
    let limit = decl.limits.binary;
    let Contents {
        bytes: code,
        length,
    } = files::read(path, limit).map_err(unreadable)?;
    if length > limit {
        return Err(Box::new(
            Diagnostic::error(format!(
                "the component is larger than its limit of {}",
                show_size(limit)
            ))
            .at(span, format!("{length} bytes"))
            .help("raise it with `limits: {binary: …}`"),
        ));
    }
    if !code.starts_with(b"\0asm") {
        let help = match code.first() {
            Some(b'(' | b';') => "this looks like WebAssembly text: compile it first",
            None => "the file is empty",
            Some(_) => "build it with `cargo build --target wasm32-unknown-unknown --release`",
        };
        return Err(Box::new(
            Diagnostic::error("the component is not WebAssembly")
                .at(span, "expected a file that starts with `\\0asm`")
                .help(help),
        ));
    }
    Ok(blake3::hash(&code).to_hex().to_string())
}

/// The built-in operator that a missing file was most likely meant to be.
fn builtin_meant(path: &Path, builtins: &[&str]) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let name = name.strip_suffix(".wasm").unwrap_or(name);
    let name = name.strip_prefix("builtin.").unwrap_or(name);
    let meant = builtins.iter().find(|builtin| **builtin == name)?;
    Some(format!(
        "for the built-in operator write `wasm: builtin:{meant}`"
    ))
}

/// A file beside a missing one that it was most likely meant to be.
pub(super) fn near_file(path: &Path) -> Option<String> {
    const MAX_LOOKED_AT: usize = 1000;
    let Ok(names) = files::names_in(path.parent()?, MAX_LOOKED_AT) else {
        return Some("its folder does not exist; paths are relative to the manifest".to_owned());
    };
    let name = path.file_name()?.to_str()?;
    let near = nearest(name, names.iter().map(String::as_str));
    Some(near.map_or_else(
        || "paths are relative to the manifest".to_owned(),
        |near| format!("there is a `{near}` in its folder"),
    ))
}
