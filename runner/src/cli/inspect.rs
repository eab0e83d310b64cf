//! `mosaik-runner inspect`.

use clap::Args;
use serde_json::{Value, json};

use super::{Exit, harmless, load, operator_args, print, print_stderr};
use crate::{
    components::{CodeError, Library},
    manifest::{ComponentSource, OperatorLimits},
    operator::{Description, Given, Import, Inspection, Interfaces, WORLD},
};

/// Show the ports, state, configuration, imports and digest of an operator.
///
/// Accepts a component, or a core module with an embedded component type. Exits with 1 if the file is not an operator, or
/// if no grant provides one of its imports.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mosaik-runner inspect builtin:window")]
pub(super) struct InspectArgs {
    /// Path of a `.wasm` file, or `builtin:<name>`.
    operator: String,
    /// Print a JSON object, including the full schema of the configuration.
    #[arg(long)]
    json: bool,
    /// Maximum size of the component, at most 256MiB.
    #[arg(long, value_parser = operator_args::binary, default_value = "10MiB", value_name = "SIZE")]
    binary: u64,
}

/// The information to print.
struct Report {
    operator: String,
    len: usize,
    digest: String,
    inspection: Inspection,
    /// `None` if the operator cannot be queried, because it needs imports that no grant provides.
    description: Option<Description>,
}

pub(super) fn run(args: &InspectArgs) -> anyhow::Result<Exit> {
    let limits = OperatorLimits {
        binary: args.binary,
        ..OperatorLimits::default()
    };
    let report = match look(&operator_args::source(&args.operator), &limits) {
        Ok(report) => report,
        Err(reason) => {
            let reason = harmless(&reason);
            print_stderr(&format!("error: {}: {reason}", args.operator));
            return Ok(Exit::Mistakes);
        }
    };
    print(&if args.json {
        format!("{:#}\n", report.json())
    } else {
        report.text()
    })?;
    let missing = missing(&report.inspection);
    if missing.is_empty() {
        return Ok(Exit::Success);
    }
    print_stderr(&format!(
        "error: {}: no grant provides {}, so it cannot run",
        args.operator,
        missing.join(", ")
    ));
    Ok(Exit::Mistakes)
}

fn look(operator: &ComponentSource, limits: &OperatorLimits) -> Result<Report, String> {
    let code = Library::code(operator, limits).map_err(|error| match error {
        CodeError::TooLarge(_) => format!("{error}; raise the limit with `--binary`"),
        _ => error.to_string(),
    })?;
    let inspection =
        Inspection::of(code.bytes()).map_err(|error| format!("not an operator: {error}"))?;
    let description = if missing(&inspection).is_empty() {
        let library = load::library().map_err(|error| format!("{error:#}"))?;
        let component = library
            .load(&code, limits, Interfaces::ALL)
            .map_err(|error| format!("not an operator: {}", error.with_hint()))?;
        Some(component.description().clone())
    } else {
        None
    };
    Ok(Report {
        operator: operator.to_string(),
        len: code.bytes().len(),
        digest: format!("blake3:{}", code.hash().to_hex()),
        inspection,
        description,
    })
}

/// Returns the imports that no grant provides.
fn missing(inspection: &Inspection) -> Vec<&str> {
    let never = |import: &&Import| import.given == Given::Never;
    let missing = inspection.imports.iter().filter(never);
    missing.map(|import| import.name.as_str()).collect()
}

impl Report {
    fn kind(&self) -> &'static str {
        if self.inspection.is_component {
            "component"
        } else {
            "module"
        }
    }

    fn json(&self) -> Value {
        let import = |import: &Import| {
            let given = match import.given {
                Given::Always => "always",
                Given::Allowed => "allow",
                Given::Never => "never",
            };
            json!({"name": import.name, "given": given})
        };
        let mut report = json!({
            "operator": self.operator,
            "kind": self.kind(),
            "bytes": self.len,
            "digest": self.digest,
            "imports": self.inspection.imports.iter().map(import).collect::<Vec<_>>(),
        });
        if let Some(description) = &self.description {
            report["world"] = WORLD.into();
            report["inputs"] = json!(description.inputs);
            report["outputs"] = json!(description.outputs);
            report["state_version"] = description.state_version.into();
            report["config_schema"] = schema(description).unwrap_or_default();
        }
        report
    }

    fn text(&self) -> String {
        let kind = if self.inspection.is_component {
            "a component"
        } else {
            "a core module with its component type"
        };
        let mut lines = vec![
            ("operator", self.operator.clone()),
            ("code", format!("{} bytes, {kind}", self.len)),
            ("digest", self.digest.clone()),
        ];
        match &self.description {
            Some(description) => {
                lines.push(("world", WORLD.to_owned()));
                lines.push(("inputs", names(&description.inputs)));
                lines.push(("outputs", names(&description.outputs)));
                lines.push((
                    "state",
                    match description.state_version {
                        0 => "none".to_owned(),
                        version => format!("version {version}"),
                    },
                ));
            }
            None => lines.push((
                "ports",
                "unknown: it cannot be queried without its imports".to_owned(),
            )),
        }
        for (index, import) in self.inspection.imports.iter().enumerate() {
            let given = match import.given {
                Given::Always => "",
                Given::Allowed => "  (requires `allow`)",
                Given::Never => "  (no grant provides it)",
            };
            let label = if index == 0 { "imports" } else { "" };
            lines.push((label, format!("{}{given}", import.name)));
        }
        if let Some(allow) = self.inspection.allow() {
            lines.push(("allow", allow));
        }
        if let Some(description) = &self.description {
            for (index, line) in config(description).into_iter().enumerate() {
                lines.push((if index == 0 { "config" } else { "" }, line));
            }
        }
        let line = |(label, text): &(&str, String)| format!("{label:<9} {}\n", harmless(text));
        lines.iter().map(line).collect::<Vec<_>>().concat()
    }
}

fn names(names: &[String]) -> String {
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

fn schema(description: &Description) -> Option<Value> {
    serde_json::from_str(&description.config_schema).ok()
}

/// Formats each field of the configuration on a line, if its schema is that of an object; otherwise the schema itself.
fn config(description: &Description) -> Vec<String> {
    let Some(schema) = schema(description) else {
        return vec!["not documented".to_owned()];
    };
    let Some(fields) = schema["properties"].as_object() else {
        return format!("{schema:#}").lines().map(str::to_owned).collect();
    };
    let required = schema["required"].as_array();
    if fields.is_empty() {
        return vec!["takes none".to_owned()];
    }
    let field = |(name, field): (&String, &Value)| {
        let kind = match &field["type"] {
            Value::String(kind) => format!(": {kind}"),
            Value::Array(kinds) => {
                let kinds: Vec<_> = kinds.iter().filter_map(Value::as_str).collect();
                format!(": {}", kinds.join(" or "))
            }
            _ => String::new(),
        };
        let is_required = required.is_some_and(|required| required.iter().any(|one| one == name));
        let default = match field.get("default") {
            _ if is_required => ", required".to_owned(),
            Some(default) => format!(", default {default}"),
            None => String::new(),
        };
        let text = field["description"].as_str().unwrap_or_default();
        let stop = if text.is_empty() { "" } else { ". " };
        [name, &*kind, &default, stop, text].concat()
    };
    fields.iter().map(field).collect()
}
