//! Tests `new` and `build` with shell scripts as compilers; docs/operators.md is tested with real
//! ones.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use crate::support::{Done, Node, root, runner, write};

/// Runs the runner in a folder.
fn run_in(folder: &Path, args: &[&str]) -> Done {
    let mut command = runner();
    command.args(args).current_dir(folder);
    Node::spawn(command).wait()
}

#[test]
fn a_new_pipeline_passes_the_check_and_runs_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let made = run_in(folder.path(), &["new", "pipeline", "flows/hello"]);
    assert!(made.status.success(), "{}", made.stderr);
    assert!(
        made.stdout
            .contains("\n  mosaik-runner up flows/hello.yaml\n"),
        "{}",
        made.stdout
    );
    let manifest = fs::read_to_string(folder.path().join("flows/hello.yaml")).unwrap();
    let first = manifest.lines().next().unwrap();
    assert_eq!(first, "# yaml-language-server: $schema=mosaik.schema.json");
    let schema = fs::read(folder.path().join("flows/mosaik.schema.json")).unwrap();
    let kept = fs::read(root().join("manifests/mosaik.schema.json")).unwrap();
    assert!(schema == kept, "it is not the schema of this version");
    let checked = run_in(folder.path(), &["check", "flows/hello.yaml"]);
    assert!(checked.status.success(), "{}", checked.stderr);
    assert_eq!(checked.stderr, "");
    let ran = run_in(folder.path(), &["up", "flows/hello.yaml"]);
    assert!(ran.status.success(), "{}", ran.stderr);
    assert!(ran.stderr.contains("nothing was dropped"));
    let sample = "{\"seq\":0,\"percent\":54}";
    assert!(manifest.contains(sample));
    assert_eq!(ran.stdout.lines().next(), Some(sample));
    assert_eq!(ran.stdout.lines().count(), 6, "{}", ran.stdout);
}

#[test]
fn existing_files_are_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("hello")).unwrap();
    write(folder.path(), "hello.yaml", "mine");
    write(folder.path(), "mosaik.schema.json", "mine");
    for kind in ["operator", "pipeline"] {
        let refused = run_in(folder.path(), &["new", kind, "hello"]);
        assert_eq!(refused.status.code(), Some(3));
        assert!(refused.stderr.contains("already exists"));
        assert_eq!(refused.stdout, "");
    }
    assert_eq!(
        fs::read_dir(folder.path().join("hello")).unwrap().count(),
        0
    );
    let other = run_in(folder.path(), &["new", "pipeline", "other"]);
    assert!(other.status.success());
    assert!(
        other
            .stdout
            .contains("mosaik-runner schema > mosaik.schema.json")
    );
    for mine in ["hello.yaml", "mosaik.schema.json"] {
        assert_eq!(fs::read(folder.path().join(mine)).unwrap(), b"mine");
    }
}

#[test]
fn an_invalid_name_is_a_usage_error_and_creates_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for (kind, name, said) in [
        ("operator", "Hello World", "try `hello-world`"),
        ("operator", "match", "a word of the Rust language"),
        ("operator", "x/..", "it contains no name"),
        ("pipeline", "hello.yaml", "try `hello`"),
        ("pipeline", "", "1 to 64 lowercase letters"),
    ] {
        let refused = run_in(folder.path(), &["new", kind, name]);
        assert_eq!(refused.status.code(), Some(2), "{name}");
        assert!(refused.stderr.contains(said), "{name}: {}", refused.stderr);
    }
    let refused = run_in(folder.path(), &["new", "operator", "a", "--sdk", "."]);
    assert_eq!(refused.status.code(), Some(3));
    assert!(refused.stderr.contains("not the folder of mosaik-wasm-sdk"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn the_manifest_of_a_new_operator_names_its_component() {
    let folder = tempfile::tempdir().unwrap();
    for stateful in [false, true] {
        let name = if stateful {
            "price-high"
        } else {
            "price-alert"
        };
        let mut args = vec!["new", "operator", name];
        if stateful {
            args.push("--stateful");
        }
        let made = run_in(folder.path(), &args);
        assert!(made.status.success(), "{}", made.stderr);
        let at = folder.path().join(name);
        let wasm = format!(
            "wasm: target/wasm32-unknown-unknown/release/{}.wasm\n",
            name.replace('-', "_")
        );
        let manifest = at.join("manifest.yaml");
        let text = fs::read_to_string(&manifest).unwrap();
        assert!(text.contains(&wasm), "{text}");
        // Its only error is that nothing has been built yet.
        let unbuilt = run_in(&at, &["check", "manifest.yaml"]);
        assert_eq!(unbuilt.status.code(), Some(1));
        assert_eq!(unbuilt.stderr.matches("error: ").count(), 1);
        assert!(unbuilt.stderr.contains("the component cannot be read"));
        fs::write(&manifest, with_jq(&text)).unwrap();
        let checked = run_in(&at, &["check", "manifest.yaml"]);
        assert!(checked.status.success(), "{}", checked.stderr);
        let cargo = fs::read_to_string(at.join("Cargo.toml")).unwrap();
        let sdk = fs::canonicalize(root().join("wasm-sdk")).unwrap();
        assert!(cargo.contains(&format!("{{ path = \"{}\" }}", sdk.display())));
        assert!(cargo.contains(&format!("name = \"{name}\"\n")));
        let code = fs::read_to_string(at.join("src/lib.rs")).unwrap();
        assert_eq!(code.contains("#[operator(state"), stateful);
    }
}

/// Returns the manifest with `jq` in place of the operator.
fn with_jq(manifest: &str) -> String {
    let lines = manifest.lines().map(|line| match line.trim_start() {
        wasm if wasm.starts_with("wasm:") => "    wasm: builtin:jq",
        config if config.starts_with("config:") => "    config: {filter: .}",
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// A crate, a compiler and a cargo, all of them minimal fakes.
struct Machine {
    folder: tempfile::TempDir,
}

impl Machine {
    /// Its compiler has these files below `lib/rustlib`; its cargo runs the script `cargo`.
    fn new(libraries: &[&str], cargo: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let machine = Self { folder };
        for library in libraries {
            let file = machine.at("sysroot/lib/rustlib").join(library);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
        let sysroot = machine.at("sysroot").display().to_string();
        machine.script(
            "rustc",
            &format!("echo {sysroot}; echo {sysroot}/lib/rustlib/host/lib"),
        );
        machine.script("cargo", cargo);
        fs::create_dir(machine.at("op")).unwrap();
        write(&machine.at("op"), "Cargo.toml", "");
        machine
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn script(&self, name: &str, commands: &str) {
        let path = write(self.folder.path(), name, format!("#!/bin/sh\n{commands}\n"));
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn build(&self, args: &[&str]) -> Done {
        let mut command = runner();
        command
            .current_dir(self.folder.path())
            .args(["build", "op"])
            .args(args)
            .env("RUSTC", self.at("rustc"))
            .env("CARGO", self.at("cargo"));
        Node::spawn(command).wait()
    }
}

/// A cargo that builds: it records its arguments and reports the location of three bytes.
const BUILDS: &str = r#"
echo "$*" > ../called; echo "$RUSTC ${RUSTC_BOOTSTRAP-} ${CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER-}" > ../with
mkdir -p ../shared/wasm32-unknown-unknown/release
printf abc > ../shared/wasm32-unknown-unknown/release/op.wasm
printf '{"reason":"compiler-artifact","manifest_path":"%s/Cargo.toml","target":{"kind":["cdylib","rlib"]},"filenames":["%s/../shared/wasm32-unknown-unknown/release/op.wasm"]}\n' "$PWD" "$PWD"
"#;

const TARGET_STD: &str = "wasm32-unknown-unknown/lib/libstd.rlib";

#[test]
fn a_build_prints_and_places_the_component() {
    let machine = Machine::new(&[TARGET_STD], BUILDS);
    let done = machine.build(&["--", "--locked"]);
    assert!(done.status.success(), "{}", done.stderr);
    let wasm = "op/target/wasm32-unknown-unknown/release/op.wasm";
    assert_eq!(
        done.stdout,
        format!(
            "wasm: {wasm}\nsize: 3 bytes\n\
             digest: blake3:6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85\n"
        )
    );
    assert_eq!(fs::read(machine.at(wasm)).unwrap(), b"abc");
    assert_eq!(
        fs::read_to_string(machine.at("called")).unwrap().trim(),
        "build --release --target wasm32-unknown-unknown --message-format=json-render-diagnostics --locked"
    );
    let rustc = machine.at("rustc");
    assert_eq!(
        fs::read_to_string(machine.at("with")).unwrap().trim(),
        rustc.to_str().unwrap()
    );
}

#[test]
fn without_the_target_the_standard_library_is_built_too() {
    let machine = Machine::new(
        &["src/rust/library/Cargo.lock", "host/bin/rust-lld"],
        BUILDS,
    );
    let done = machine.build(&[]);
    assert!(done.status.success(), "{}", done.stderr);
    let called = fs::read_to_string(machine.at("called")).unwrap();
    let with = fs::read_to_string(machine.at("with")).unwrap();
    // Debian's compiler comes first if it happens to have the target.
    if called.contains("-Zbuild-std=std,panic_abort") {
        assert_eq!(
            with.trim(),
            format!(
                "{} 1 {}",
                machine.at("rustc").display(),
                machine
                    .at("sysroot/lib/rustlib/host/bin/rust-lld")
                    .display()
            )
        );
    } else {
        assert!(with.starts_with("/usr/bin/rustc"), "{with}");
    }
}

#[test]
fn a_build_that_fails_says_why_and_leaves_nothing() {
    let failing = Machine::new(&[TARGET_STD], "echo 'error: expected `;`' >&2; exit 101");
    let done = failing.build(&[]);
    assert_eq!(done.status.code(), Some(3));
    assert!(done.stderr.contains("error: expected `;`\n"));
    assert!(done.stderr.contains("error: cargo failed to build it"));

    let no_cdylib = Machine::new(&[TARGET_STD], "echo '{\"reason\":\"build-finished\"}'");
    let done = no_cdylib.build(&[]);
    assert_eq!(done.status.code(), Some(3));
    assert!(
        done.stderr.contains("crate-type = [\"cdylib\", \"rlib\"]"),
        "{}",
        done.stderr
    );

    fs::remove_file(no_cdylib.at("op/Cargo.toml")).unwrap();
    let done = no_cdylib.build(&[]);
    assert_eq!(done.status.code(), Some(3));
    assert!(done.stderr.contains("there is no Cargo.toml in op"));

    for machine in [failing, no_cdylib] {
        assert!(!machine.at("op/target").exists());
        machine.script(
            "rustc",
            "echo 'toolchain `9.9` is not installed' >&2; exit 1",
        );
        write(&machine.at("op"), "Cargo.toml", "");
        let done = machine.build(&[]);
        assert_eq!(done.status.code(), Some(3));
        assert!(done.stderr.contains("toolchain `9.9` is not installed"));
    }
}

#[test]
fn subcommands_of_new_have_examples() {
    let folder = tempfile::tempdir().unwrap();
    for kind in ["operator", "pipeline"] {
        let help = run_in(folder.path(), &["new", kind, "--help"]).stdout;
        let example = format!("Example:\n  mosaik-runner new {kind} hello\n");
        assert!(help.contains(&example), "{help}");
        assert!(OsStr::new(&help).len() < 4096);
    }
}
