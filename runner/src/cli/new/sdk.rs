//! The dependency on the SDK in a new operator's `Cargo.toml`.

use std::{
    fs,
    path::{Component, Path, PathBuf},
};

use anyhow::{Context as _, ensure};

/// The folder of the SDK when this binary was built.
const IN_SOURCE_TREE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../wasm-sdk");

/// The source of the SDK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sdk {
    /// A folder, by its absolute path without symbolic links.
    Folder(PathBuf),
    /// crates.io, with the version of this binary.
    Version(&'static str),
}

impl Sdk {
    /// Returns the requested folder; otherwise the folder in the source tree of this binary if it still exists, or else
    /// the version of this binary.
    ///
    /// # Errors
    /// The requested folder does not contain the SDK.
    pub(super) fn find(asked: Option<&Path>) -> anyhow::Result<Self> {
        if let Some(path) = asked {
            let folder = fs::canonicalize(path)
                .with_context(|| format!("cannot find the SDK at {}", path.display()))?;
            ensure!(
                holds_the_sdk(&folder),
                "{} is not the folder of mosaik-wasm-sdk",
                path.display()
            );
            return Ok(Self::Folder(folder));
        }
        Ok(match fs::canonicalize(IN_SOURCE_TREE) {
            Ok(folder) if holds_the_sdk(&folder) => Self::Folder(folder),
            _ => Self::Version(env!("CARGO_PKG_VERSION")),
        })
    }

    /// Returns the value of `mosaik-wasm-sdk =` in the `Cargo.toml` of a crate in `folder`, an absolute path without
    /// symbolic links.
    ///
    /// # Errors
    /// The path is not UTF-8, which `Cargo.toml` requires.
    pub(super) fn dependency(&self, folder: &Path) -> anyhow::Result<String> {
        let path = match self {
            Self::Version(version) => return Ok(format!("\"{version}\"")),
            Self::Folder(sdk) => within_repository(sdk, folder).unwrap_or_else(|| sdk.clone()),
        };
        let path = path
            .to_str()
            .with_context(|| format!("{} is not UTF-8", path.display()))?;
        // A JSON string is also a valid TOML string.
        Ok(format!("{{ path = {} }}", serde_json::to_string(path)?))
    }
}

impl std::fmt::Display for Sdk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Folder(path) => write!(f, "mosaik-wasm-sdk in {}", path.display()),
            Self::Version(version) => write!(
                f,
                "mosaik-wasm-sdk {version} from crates.io; `--sdk PATH` takes a folder instead"
            ),
        }
    }
}

/// Returns the relative path from `folder` to the SDK if both are in one repository, so that the repository can be
/// moved.
fn within_repository(sdk: &Path, folder: &Path) -> Option<PathBuf> {
    let repository = sdk.parent()?;
    let below = folder.strip_prefix(repository).ok()?;
    let up = below.components().map(|_| Component::ParentDir);
    Some(up.collect::<PathBuf>().join(sdk.file_name()?))
}

fn holds_the_sdk(folder: &Path) -> bool {
    fs::read_to_string(folder.join("Cargo.toml")).is_ok_and(|text| {
        text.lines()
            .any(|line| line.trim() == "name = \"mosaik-wasm-sdk\"")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_relative_within_the_repository_only() {
        let sdk = Sdk::Folder("/src/repo/wasm-sdk".into());
        let dependency = |folder: &str| sdk.dependency(Path::new(folder)).unwrap();
        assert_eq!(dependency("/src/repo/a"), r#"{ path = "../wasm-sdk" }"#);
        assert_eq!(
            dependency("/src/repo/ops/a"),
            r#"{ path = "../../wasm-sdk" }"#
        );
        for elsewhere in ["/src/a", "/src/repository/a"] {
            assert_eq!(dependency(elsewhere), r#"{ path = "/src/repo/wasm-sdk" }"#);
        }
        let quoted = Sdk::Folder(r#"/src/a"b\c"#.into());
        assert_eq!(
            quoted.dependency(Path::new("/x")).unwrap(),
            r#"{ path = "/src/a\"b\\c" }"#
        );
        let version = Sdk::Version("1.2.3").dependency(Path::new("/x")).unwrap();
        assert_eq!(version, r#""1.2.3""#);
    }

    #[test]
    fn the_sdk_of_the_source_tree_is_found_and_other_folders_are_refused() {
        let Sdk::Folder(folder) = Sdk::find(None).unwrap() else {
            panic!("this test runs in the source tree");
        };
        assert!(folder.join("wit/operator.wit").is_file());
        let empty = tempfile::tempdir().unwrap();
        let refused = Sdk::find(Some(empty.path())).unwrap_err().to_string();
        assert!(refused.contains("is not the folder of mosaik-wasm-sdk"));
        assert!(Sdk::find(Some(&empty.path().join("nowhere"))).is_err());
    }
}
