//! The result of a build: found in cargo's messages, and placed where manifests expect it.

use std::{
    fs,
    io::{self, BufRead as _, BufReader, Read},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use serde::Deserialize;

/// A line of `cargo build --message-format=json`, reduced to the fields used here.
#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    manifest_path: PathBuf,
    #[serde(default)]
    target: Target,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

#[derive(Default, Deserialize)]
struct Target {
    #[serde(default)]
    kind: Vec<String>,
}

/// Returns the WebAssembly file that cargo has built from the crate with this `Cargo.toml`. Reads the messages to their
/// end.
///
/// # Errors
/// Reading failed.
pub(super) fn of(messages: impl Read, manifest: &Path) -> io::Result<Option<PathBuf>> {
    let manifest = fs::canonicalize(manifest)?;
    let mut found = None;
    for line in BufReader::new(messages).lines() {
        // Ignore output that is not a message of cargo.
        let Ok(message) = serde_json::from_str::<Message>(&line?) else {
            continue;
        };
        let is_it = message.reason == "compiler-artifact"
            && message.target.kind.iter().any(|kind| kind == "cdylib")
            && fs::canonicalize(&message.manifest_path).is_ok_and(|path| path == manifest);
        if is_it {
            let mut files = message.filenames.into_iter();
            found = files.find(|file| file.extension().is_some_and(|is| is == "wasm"));
        }
    }
    Ok(found)
}

/// Places the file at the path that cargo would use without a shared target folder, in `target` in the crate's folder,
/// and returns that path. An existing file is replaced atomically, since a node may be watching it.
///
/// # Errors
/// The file system reports an error.
pub(super) fn place(built: &Path, folder: &Path) -> anyhow::Result<PathBuf> {
    // The target, the profile and the file.
    let mut parts: Vec<_> = built.iter().rev().take(3).collect();
    parts.reverse();
    let below = Path::new("target").join(parts.iter().collect::<PathBuf>());
    let path = if folder == Path::new(".") {
        below
    } else {
        folder.join(below)
    };
    let is_there = fs::canonicalize(&path)
        .is_ok_and(|there| fs::canonicalize(built).is_ok_and(|built| built == there));
    if !is_there {
        copy(built, &path).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(path)
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let folder = to.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut partial = tempfile::Builder::new()
        .permissions(fs::Permissions::from_mode(0o644))
        .tempfile_in(folder)?;
    io::copy(&mut fs::File::open(from)?, &mut partial)?;
    partial.persist(to)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_artifact_is_the_cdylib_of_the_crate() {
        let folder = tempfile::tempdir().unwrap();
        let manifest = folder.path().join("Cargo.toml");
        let other = folder.path().join("other/Cargo.toml");
        fs::create_dir(folder.path().join("other")).unwrap();
        fs::write(&manifest, "").unwrap();
        fs::write(&other, "").unwrap();
        let artifact = |manifest: &Path, kind: &str, files: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","manifest_path":{manifest:?},"target":{{"kind":[{kind}]}},"filenames":[{files}]}}"#
            )
        };
        let both = r#""cdylib","rlib""#;
        let messages = [
            artifact(&manifest, r#""custom-build""#, r#""/t/build.wasm""#),
            artifact(&manifest, both, r#""/t/a.wasm","/t/liba.rlib""#),
            artifact(&other, both, r#""/t/other.wasm""#),
            "a build script's line".to_owned(),
            r#"{"reason":"build-finished","success":true}"#.to_owned(),
        ];
        let found = of(messages.join("\n").as_bytes(), &manifest).unwrap();
        assert_eq!(found.as_deref(), Some(Path::new("/t/a.wasm")));
        let only_rlib = artifact(&manifest, r#""lib""#, r#""/t/liba.rlib""#);
        assert_eq!(of(only_rlib.as_bytes(), &manifest).unwrap(), None);
    }

    #[test]
    fn the_artifact_is_copied_to_the_target_folder_of_the_crate() {
        let folder = tempfile::tempdir().unwrap();
        let (krate, shared) = (folder.path().join("a"), folder.path().join("shared"));
        let below = "wasm32-unknown-unknown/release/a.wasm";
        fs::create_dir_all(shared.join(below).parent().unwrap()).unwrap();
        fs::write(shared.join(below), "1").unwrap();
        let placed = place(&shared.join(below), &krate).unwrap();
        assert_eq!(placed, krate.join("target").join(below));
        assert_eq!(fs::read(&placed).unwrap(), b"1");
        fs::write(shared.join(below), "2").unwrap();
        place(&shared.join(below), &krate).unwrap();
        assert_eq!(fs::read(&placed).unwrap(), b"2");
        let mode = fs::metadata(&placed).unwrap().permissions().mode();
        assert_eq!(mode & 0o400, 0o400);
        assert_eq!(mode & 0o133, 0);

        let before = fs::metadata(&placed).unwrap().modified().unwrap();
        assert_eq!(place(&placed, &krate).unwrap(), placed);
        assert_eq!(fs::metadata(&placed).unwrap().modified().unwrap(), before);
        let files = fs::read_dir(placed.parent().unwrap()).unwrap();
        assert_eq!(files.count(), 1);
    }
}
