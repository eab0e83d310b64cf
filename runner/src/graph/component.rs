//! Information about an operator's code, and the checks that need no WebAssembly engine.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use mosaik_streams::Encoding;

use super::{
    Components, Graph, PostcardPolicy, Role, Stage, StageKey, StageKind, StreamName, Unusable,
    config_place,
};
use crate::{
    code::Code,
    declare::{Diagnostic, Span, io_reason, near_file, show_size},
    files::{self, Contents},
    manifest::{ComponentSource, DataFileDecl, OperatorDecl},
};

/// The description of a component.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ComponentInfo {
    /// The names of its inputs, in order.
    pub inputs: Vec<String>,
    /// The names of its outputs, in order.
    pub outputs: Vec<String>,
    /// The version of its state; 0 if it has no state.
    pub state_version: u32,
    /// The blake3 hash of its code, as 64 hex digits.
    pub hash: String,
    /// The size of its code, in bytes.
    pub len: u64,
}

/// Checks that the operators accept their configuration by opening them.
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
        let Err(refusal) = components.open(graph, stage, operator) else {
            continue;
        };
        // Most operators only support JSON.
        let native = streams_of(stage)
            .any(|stream| matches!(graph.streams[stream].encoding, Encoding::Postcard(_)))
            && operator.postcard == PostcardPolicy::Native;
        for refused in refused(decl, span, &refusal.0) {
            found.push(if native && refused.help.is_none() {
                refused.help("it reads and writes raw postcard; for JSON set `postcard: json`")
            } else {
                refused
            });
        }
    }
}

fn streams_of(stage: &Stage) -> impl Iterator<Item = &StreamName> {
    stage.edges().map(|edge| &edge.stream).chain(stage.writes())
}

/// Returns a diagnostic for each mistake.
fn refused(decl: &OperatorDecl, span: Span, reason: &str) -> Vec<Diagnostic> {
    if decl.config.is_secret() {
        let name = &decl.name.value;
        return vec![
            Diagnostic::error(format!(
                "operator `{name}` failed to open with its configuration"
            ))
            .at(
                span,
                "the configuration contains a secret, so the reason is not shown",
            ),
        ];
    }
    let mistakes = config_place::mistakes(reason).into_iter();
    mistakes
        .map(|mistake| refused_for(decl, span, mistake))
        .collect()
}

fn refused_for(decl: &OperatorDecl, span: Span, reason: &str) -> Diagnostic {
    let name = &decl.name.value;
    // Further lines keep their indentation, since they may point at a column.
    let reason = reason.trim();
    let (first, rest) = reason.split_once('\n').unwrap_or((reason, ""));
    let first = match first.trim_end() {
        "" => "it gives no reason",
        first => first,
    };
    let opened_with = if span == decl.name.span {
        "opened without a configuration"
    } else {
        "opened with this"
    };
    let place = config_place::of(&decl.places, first);
    let (span, label) = match (file_at_fault(decl, first), &place) {
        (Some(file), _) => (file.path.span, "opened with the content of this file"),
        (None, Some(place)) => (place.span, place.label),
        (None, None) => (span, opened_with),
    };
    let help = place.and_then(|place| place.help);
    Diagnostic::error(format!("operator `{name}` failed to open: {first}"))
        .at(span, label)
        .maybe_help(help.or_else(|| (!rest.is_empty()).then(|| format!("it says\n{rest}"))))
}

/// Returns the file that a reason refers to, if the reason starts with the name of that file's key, as reasons from the
/// SDK do.
fn file_at_fault<'d>(decl: &'d OperatorDecl, reason: &str) -> Option<&'d DataFileDecl> {
    let field = reason.strip_prefix("config.")?;
    decl.files.iter().find(|file| {
        let rest = field.strip_prefix(&file.name);
        rest.is_some_and(|rest| rest.starts_with([':', '[', '.']))
    })
}

/// The code of the components of one manifest. Each file is read once, so that all operators that name it run the same
/// code.
#[derive(Default)]
pub(super) struct Codes(BTreeMap<PathBuf, Code>);

impl Codes {
    /// Returns the description of a component, or the reason that it cannot be used.
    pub(super) fn inspect(
        &mut self,
        decl: &OperatorDecl,
        components: &dyn Components,
    ) -> Result<ComponentInfo, Box<Diagnostic>> {
        let code = match &*decl.component.value {
            ComponentSource::Path(path) => self.of_file(path, decl, components)?,
            ComponentSource::Builtin(name) => components
                .builtin(name)
                .map_err(|why| Box::new(unusable(decl, &why)))?,
        };
        // The digest of pinned code is compared before the code is inspected.
        check_digest(decl, &code)?;
        components
            .describe(&code, &decl.settings.limits, &decl.settings.allow)
            .map_err(|why| Box::new(unusable(decl, &why)))
    }

    fn of_file(
        &mut self,
        path: &Path,
        decl: &OperatorDecl,
        components: &dyn Components,
    ) -> Result<Code, Box<Diagnostic>> {
        if let Some(code) = self.0.get(path) {
            check_length(decl, code.bytes().len() as u64)?;
            return Ok(code.clone());
        }
        let code = read(path, decl, &components.builtins())?;
        self.0.insert(path.to_path_buf(), code.clone());
        Ok(code)
    }
}

fn unusable(decl: &OperatorDecl, why: &Unusable) -> Diagnostic {
    let component = &decl.component.value;
    let reason = why.to_string();
    let message = match &**component {
        // The reason may contain the secret name.
        ComponentSource::Builtin(name) if component.is_secret() => {
            format!(
                "unusable operator: {}",
                reason.replace(name.as_str(), "***")
            )
        }
        ComponentSource::Path(path) if component.is_secret() => {
            let reason = reason.replace(&*path.to_string_lossy(), "***");
            format!("unusable operator: {reason}")
        }
        ComponentSource::Path(_) => format!("unusable operator: {reason}"),
        ComponentSource::Builtin(name) => {
            format!("`builtin:{name}` is unusable: {reason}")
        }
    };
    Diagnostic::error(message)
        .at(decl.component.span, "this component")
        .maybe_help(why.help().map(str::to_owned))
}

fn check_digest(decl: &OperatorDecl, code: &Code) -> Result<(), Box<Diagnostic>> {
    let Some(digest) = &decl.digest else {
        return Ok(());
    };
    let hash = code.hash();
    if hash == digest.value {
        return Ok(());
    }
    Err(Box::new(
        Diagnostic::error(format!(
            "the code of operator `{}` does not match its digest",
            decl.name.value
        ))
        .at(digest.span, "another digest")
        .also(decl.component.span, "this component")
        .help(format!("its digest is `blake3:{}`", hash.to_hex())),
    ))
}

fn check_length(decl: &OperatorDecl, length: u64) -> Result<(), Box<Diagnostic>> {
    let limit = decl.settings.limits.binary;
    if length <= limit {
        return Ok(());
    }
    Err(Box::new(
        Diagnostic::error(format!(
            "the component is larger than its limit of {}",
            show_size(limit)
        ))
        .at(decl.component.span, format!("{length} bytes"))
        .help("raise it with `limits: {binary: …}`"),
    ))
}

/// Reads a component's file, and checks its first bytes.
fn read(path: &Path, decl: &OperatorDecl, builtins: &[&str]) -> Result<Code, Box<Diagnostic>> {
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
    let limit = decl.settings.limits.binary;
    let Contents { bytes, length } = files::read(path, limit).map_err(unreadable)?;
    check_length(decl, length)?;
    if !bytes.starts_with(b"\0asm") {
        let help = match bytes.first() {
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
    Ok(Code::new(bytes))
}

/// Returns the built-in operator that was probably meant by a missing file.
fn builtin_meant(path: &Path, builtins: &[&str]) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let name = name.strip_suffix(".wasm").unwrap_or(name);
    let name = name.strip_prefix("builtin.").unwrap_or(name);
    let meant = builtins.iter().find(|builtin| **builtin == name)?;
    Some(format!(
        "for the built-in operator write `wasm: builtin:{meant}`"
    ))
}
