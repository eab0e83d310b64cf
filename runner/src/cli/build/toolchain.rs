//! Finds a Rust toolchain of this machine that can build WebAssembly, and configures cargo to use it.

use std::{
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
    process::Command,
};

use super::program;

/// The target for which operators are built.
pub(super) const TARGET: &str = "wasm32-unknown-unknown";

/// Debian's compiler, by its full path: if rustup is installed, `rustc` in `PATH` is a different one.
const DEBIAN: &str = "/usr/bin/rustc";

/// A toolchain that builds for [`TARGET`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Toolchain {
    /// A toolchain with the target's standard library.
    Installed {
        /// The compiler.
        rustc: PathBuf,
    },
    /// A toolchain with the source of the standard library, which is built together with the crate.
    FromSource {
        /// The compiler.
        rustc: PathBuf,
        /// The linker for WebAssembly.
        linker: PathBuf,
    },
}

/// The reason that no toolchain was found.
#[derive(Debug, thiserror::Error)]
pub(super) enum ToolchainError {
    #[error("no Rust toolchain found: see https://rustup.rs")]
    NoRust,
    #[error("cannot run {rustc}: {why}", rustc = .rustc.display())]
    Run { rustc: PathBuf, why: String },
    #[error(
        "no Rust here builds for {TARGET}; install it with\n  rustup target add {TARGET}\nor, where that cannot be had,\n  \
         apt-get install rustc-web rust-web-src lld"
    )]
    NoTarget,
    #[error("there is no linker for WebAssembly; install it with\n  apt-get install lld")]
    NoLinker,
}

/// A compiler, with the paths of its files.
#[derive(Debug)]
struct Rustc {
    path: PathBuf,
    sysroot: PathBuf,
    /// The folder with the libraries for the host.
    own_libraries: PathBuf,
}

impl Toolchain {
    /// Selects the toolchain for the crate in `folder`: the compiler in use there if it has the target, otherwise
    /// Debian's. If neither has the target, selects one with the source of the standard library.
    ///
    /// # Errors
    /// There is no such toolchain. The error says which software to install.
    pub(super) fn find(folder: &Path) -> Result<Self, ToolchainError> {
        let in_use = Rustc::ask(Path::new(&program("RUSTC", "rustc")), folder)?;
        // A compiler that cannot be run is treated as missing.
        let debian = Rustc::ask(Path::new(DEBIAN), folder).ok().flatten();
        let path = std::env::var_os("PATH").unwrap_or_default();
        choose(in_use.into_iter().chain(debian).collect(), &path)
    }

    /// Makes cargo build with this toolchain.
    pub(super) fn apply(&self, cargo: &mut Command) {
        match self {
            Self::Installed { rustc } => {
                cargo.env("RUSTC", rustc);
            }
            Self::FromSource { rustc, linker } => {
                cargo
                    .arg("-Zbuild-std=std,panic_abort")
                    .env("RUSTC", rustc)
                    .env("RUSTC_BOOTSTRAP", "1")
                    .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
            }
        }
    }
}

fn choose(compilers: Vec<Rustc>, path: &OsStr) -> Result<Toolchain, ToolchainError> {
    if compilers.is_empty() {
        return Err(ToolchainError::NoRust);
    }
    if let Some(rustc) = compilers.iter().find(|rustc| rustc.has_target()) {
        return Ok(Toolchain::Installed {
            rustc: rustc.path.clone(),
        });
    }
    let Some(rustc) = compilers.iter().find(|rustc| rustc.has_source()) else {
        return Err(ToolchainError::NoTarget);
    };
    let own = compilers.iter().map(Rustc::own_linker);
    let in_path = ["wasm-ld", "rust-lld"]
        .iter()
        .flat_map(|name| std::env::split_paths(path).map(move |folder| folder.join(name)));
    let linker = own.chain(in_path).find(|linker| linker.is_file());
    Ok(Toolchain::FromSource {
        rustc: rustc.path.clone(),
        linker: linker.ok_or(ToolchainError::NoLinker)?,
    })
}

impl Rustc {
    /// Queries a compiler, in a folder that may select its own; `None` if the compiler does not exist.
    fn ask(path: &Path, folder: &Path) -> Result<Option<Self>, ToolchainError> {
        let failed = |why: String| ToolchainError::Run {
            rustc: path.to_owned(),
            why,
        };
        let answer = Command::new(path)
            .args(["--print", "sysroot", "--print", "target-libdir"])
            .current_dir(folder)
            .output();
        let answer = match answer {
            Ok(answer) if answer.status.success() => answer,
            Ok(answer) => return Err(failed(String::from_utf8_lossy(&answer.stderr).into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error.to_string())),
        };
        let said = String::from_utf8_lossy(&answer.stdout);
        let mut lines = said.lines();
        match (lines.next(), lines.next()) {
            (Some(sysroot), Some(own_libraries)) => Ok(Some(Self {
                path: path.to_owned(),
                sysroot: sysroot.into(),
                own_libraries: own_libraries.into(),
            })),
            _ => Err(failed("it does not say where its libraries are".to_owned())),
        }
    }

    fn has_target(&self) -> bool {
        self.sysroot
            .join("lib/rustlib")
            .join(TARGET)
            .join("lib")
            .is_dir()
    }

    fn has_source(&self) -> bool {
        self.sysroot
            .join("lib/rustlib/src/rust/library/Cargo.lock")
            .is_file()
    }

    /// Returns the linker that is part of rustup's toolchains.
    fn own_linker(&self) -> PathBuf {
        self.own_libraries.with_file_name("bin").join("rust-lld")
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Creates a compiler whose sysroot contains these files.
    fn rustc(at: &Path, name: &str, files: &[&str]) -> Rustc {
        let sysroot = at.join(name);
        for file in files {
            let file = sysroot.join("lib/rustlib").join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
        Rustc {
            path: name.into(),
            own_libraries: sysroot.join("lib/rustlib/host/lib"),
            sysroot,
        }
    }

    const TARGET_STD: &str = "wasm32-unknown-unknown/lib/libstd.rlib";
    const SOURCE: &str = "src/rust/library/Cargo.lock";
    const LINKER: &str = "host/bin/rust-lld";

    #[test]
    fn an_installed_target_is_preferred_and_the_current_compiler_before_debians() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        let none = OsStr::new("");
        let with = rustc(at, "with", &[TARGET_STD, SOURCE]);
        let without = || rustc(at, "without", &[LINKER]);
        let source = || rustc(at, "source", &[SOURCE]);
        let installed = |name: &str| Toolchain::Installed { rustc: name.into() };
        assert_eq!(
            choose(vec![source(), with], none).unwrap(),
            installed("with")
        );
        let chosen = choose(vec![without(), source()], none).unwrap();
        let expected = Toolchain::FromSource {
            rustc: "source".into(),
            linker: at.join("without/lib/rustlib").join(LINKER),
        };
        assert_eq!(chosen, expected);

        let mut cargo = Command::new("cargo");
        chosen.apply(&mut cargo);
        let environment: Vec<_> = cargo.get_envs().map(|(name, _)| name).collect();
        assert!(environment.contains(&OsStr::new("RUSTC_BOOTSTRAP")));
        assert_eq!(cargo.get_args().count(), 1);
        let mut cargo = Command::new("cargo");
        installed("rustc").apply(&mut cargo);
        assert_eq!(cargo.get_args().count(), 0);
    }

    #[test]
    fn a_missing_tool_is_reported_with_the_command_that_installs_it() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        let none = OsStr::new("");
        let refused = |compilers, path| choose(compilers, path).unwrap_err().to_string();
        assert!(refused(vec![], none).contains("rustup.rs"));
        let target = refused(vec![rustc(at, "bare", &[])], none);
        assert!(target.contains("\n  rustup target add wasm32-unknown-unknown\n"));
        assert!(target.contains("\n  apt-get install rustc-web rust-web-src"));
        let source = || rustc(at, "source", &[SOURCE]);
        assert!(refused(vec![source()], none).contains("install lld"));

        fs::write(at.join("wasm-ld"), "").unwrap();
        let Toolchain::FromSource { linker, .. } = choose(vec![source()], at.as_os_str()).unwrap()
        else {
            panic!("it has the source only");
        };
        assert_eq!(linker, at.join("wasm-ld"));
    }

    #[test]
    fn the_current_compiler_is_found_and_a_missing_one_is_none() {
        let rustc = Rustc::ask(Path::new(&program("RUSTC", "rustc")), Path::new("."));
        let rustc = rustc.unwrap().unwrap();
        assert!(rustc.own_libraries.starts_with(&rustc.sysroot));
        assert!(rustc.own_libraries.is_dir());
        let nowhere = Rustc::ask(Path::new("/nowhere/rustc"), Path::new("."));
        assert!(nowhere.unwrap().is_none());
        let failing = Rustc::ask(Path::new("false"), Path::new("."));
        assert!(matches!(failing, Err(ToolchainError::Run { .. })));
    }
}
