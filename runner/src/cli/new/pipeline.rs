//! `mosaik-runner new pipeline`.

use std::{fs, io, path::Path};

use anyhow::{Context as _, bail};
use clap::Args;

use super::{SCHEMA, create, create_parent, fill, names::Named};
use crate::cli::{Exit, print, schema};

/// Create NAME.yaml, a manifest that runs unchanged, and a JSON Schema for editors.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  mosaik-runner new pipeline hello\n  mosaik-runner up hello.yaml"
)]
pub(super) struct PipelineArgs {
    /// Name of the pipeline, or a path that ends in the name.
    #[arg(value_parser = Named::pipeline)]
    name: Named,
}

/// The result of writing the schema.
#[derive(Debug, PartialEq, Eq)]
enum Schema {
    Written,
    Same,
    /// A different file has the name. It is not changed.
    Another,
}

pub(super) fn run(args: &PipelineArgs) -> anyhow::Result<Exit> {
    let manifest = args
        .name
        .path
        .with_file_name(format!("{}.yaml", args.name.name));
    create_parent(&manifest)?;
    if manifest.symlink_metadata().is_ok() {
        bail!("{} already exists", manifest.display());
    }
    let file = format!("{}.yaml", args.name.name);
    let text = fill(
        include_str!("../../../templates/pipeline.yaml"),
        &[("file", &file)],
    );
    // Write the schema first, so that a manifest never exists without its schema.
    let schema_file = manifest.with_file_name(SCHEMA);
    let schema = write_schema(&schema_file)?;
    create(&manifest, &text)?;

    let shown = manifest.display();
    let renew = match schema {
        Schema::Written | Schema::Same => String::new(),
        Schema::Another => format!(
            "\n{0} is of another version; to replace it:\n\n  mosaik-runner schema > {0}\n",
            schema_file.display()
        ),
    };
    print(&format!(
        "created {shown}; next:\n\n  mosaik-runner up {shown}\n{renew}"
    ))?;
    Ok(Exit::Success)
}

fn write_schema(path: &Path) -> anyhow::Result<Schema> {
    let text = schema::text();
    match fs::read(path) {
        Ok(there) if there == text.as_bytes() => Ok(Schema::Same),
        Ok(_) => Ok(Schema::Another),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            create(path, &text)?;
            Ok(Schema::Written)
        }
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_existing_schema_is_not_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(SCHEMA);
        assert_eq!(write_schema(&path).unwrap(), Schema::Written);
        assert_eq!(write_schema(&path).unwrap(), Schema::Same);
        fs::write(&path, "mine").unwrap();
        assert_eq!(write_schema(&path).unwrap(), Schema::Another);
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    }
}
