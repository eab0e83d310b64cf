//! Golden files of the errors for invalid manifests: `tests/ui/NAME.yaml` with `NAME.err` beside
//! it.
//!
//! `MOSAIK_BLESS=1 cargo test --workspace --test runner ui::` writes the `.err` files again. Review
//! the result.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::support::{Node, guest::Guest, runner};
use mosaik_runner::declare::MAX_MANIFEST_BYTES;

/// Time limit of each answer, for manifests of any size or depth: 20 s.
const TIME_LIMIT: Duration = Duration::from_secs(20);

/// Returns the output of `mosaik-runner check FILE`, run in the folder of the golden files.
fn check(file: &Path) -> String {
    let mut command = runner();
    command
        .arg("check")
        .arg(file)
        .current_dir(folder())
        .env("MOSAIK_UI_PORT", "sekrit-value");
    let done = Node::spawn(command).wait();
    let mistakes = done.stderr.contains("error: ");
    assert_eq!(
        done.status.code(),
        Some(i32::from(mistakes)),
        "{}: {}",
        file.display(),
        done.stderr
    );
    assert_eq!(done.stdout, "");
    done.stderr
}

/// Checks the operators that the manifests name: one with a port on each side, one with two, and
/// one that imports the interfaces of a language runtime. They are hand-written, so that they are
/// small and the same everywhere. With `MOSAIK_BLESS=1` they are written, otherwise compared.
fn components() {
    let two = Guest {
        describe: "
            (i64.store (i32.const 600) (i64.const 0x6_0000_0200)) (i64.store (i32.const 608) (i64.const 0x6_0000_0208))
            (i64.store (i32.const 616) (i64.const 0x3_0000_0210)) (i64.store (i32.const 624) (i64.const 0x4_0000_0218))
            (i64.store (i32.const 160) (i64.const 0x2_0000_0258))
            (i64.store (i32.const 168) (i64.const 0x2_0000_0268))
            (i64.store (i32.const 176) (i64.const 0x2_0000_0030))
            (i32.store (i32.const 184) (i32.const 1))
            (i32.const 160)",
        fields: r#"(data (i32.const 512) "trades  quotes  out     late")"#,
        ..Guest::default()
    };
    let runtime = Guest {
        imports: &[
            [
                "wasi:cli/environment@0.2.0",
                "get-environment",
                "$environment",
                "(param i32)",
            ],
            [
                "wasi:random/insecure-seed@0.2.0",
                "insecure-seed",
                "$seed",
                "(param i32)",
            ],
        ],
        ..Guest::default()
    };
    for (name, module) in [
        ("one.wasm", Guest::default().module()),
        ("two.wasm", two.module()),
        ("python.wasm", runtime.component()),
    ] {
        let path = folder().join("components").join(name);
        if blessing() {
            fs::write(&path, &module).expect("the component can be written");
        }
        assert_eq!(
            fs::read(&path).unwrap_or_default(),
            module,
            "{name}: bless it again"
        );
    }
}

fn blessing() -> bool {
    std::env::var_os("MOSAIK_BLESS").is_some()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/ui")
}

/// Compares text with a golden file, or writes the file.
fn compare(name: &str, actual: &str, failures: &mut String) {
    let golden = folder().join(name).with_extension("err");
    // A path outside the folder of the golden files depends on the location of the repository.
    let actual = actual.replace(&folder().display().to_string(), "tests/ui");
    if blessing() {
        fs::write(&golden, &actual).expect("the golden file can be written");
        return;
    }
    let expected = fs::read_to_string(&golden).unwrap_or_default();
    if actual != expected {
        // Writing to a string cannot fail.
        let _ = writeln!(
            failures,
            "--- {name}: expected\n{expected}--- {name}: found\n{actual}"
        );
    }
}

fn timed(name: &str, file: &Path, failures: &mut String) -> String {
    let start = Instant::now();
    let output = check(file);
    let elapsed = start.elapsed();
    if elapsed > TIME_LIMIT {
        let _ = writeln!(failures, "--- {name}: took {elapsed:?}");
    }
    output
}

#[test]
fn golden_files() {
    components();
    let mut failures = String::new();
    let mut names: Vec<_> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    names.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "yaml")
    });
    names.sort();
    assert!(names.len() >= 30, "only {} golden files", names.len());
    for path in &names {
        let name = path.file_name().unwrap();
        let output = timed(&path.display().to_string(), Path::new(name), &mut failures);
        compare(name.to_str().unwrap(), &output, &mut failures);
    }
    for (name, bytes) in generated() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(name);
        fs::write(&file, bytes).unwrap();
        let output = timed(name, &file, &mut failures).replace(&file.display().to_string(), name);
        compare(name, &output, &mut failures);
    }
    let missing = check(Path::new("syntx.yaml"));
    compare("no-such-file", &missing, &mut failures);
    assert!(failures.is_empty(), "{failures}");
}

/// Returns manifests that are too large to keep.
fn generated() -> Vec<(&'static str, Vec<u8>)> {
    let deep = |open: &str, close: &str| {
        let mut text = "mosaik: v1\nnode: ".to_owned();
        text.push_str(&open.repeat(100_000));
        text.push_str(&close.repeat(100_000));
        text.into_bytes()
    };
    let mut block = "mosaik: v1\nnode:\n".to_owned();
    for depth in 1..1000 {
        let _ = writeln!(block, "{}a:", " ".repeat(depth));
    }
    let mut huge = b"mosaik: v1\n".to_vec();
    huge.resize(50_000_000, b'#');
    let mut wide = "mosaik: v1\nstreams:\n".to_owned();
    for number in 0.. {
        if wide.len() + 64 > MAX_MANIFEST_BYTES {
            break;
        }
        let _ = writeln!(wide, "  s{number}: {{scop: node}}");
    }
    let mut ports = "mosaik: v1\nstreams:\n".to_owned();
    for number in 0..1000 {
        let _ = writeln!(ports, "  stream{number}: {{}}");
    }
    ports.push_str("operators:\n  o:\n    wasm: builtin:jq\n    to: stream1\n    from:\n");
    for number in 0..40_000 {
        let _ = writeln!(ports, "      p{number}: stresm{number}");
    }
    vec![
        ("generated-deep-lists.yaml", deep("[", "]")),
        ("generated-deep-mappings.yaml", deep("{a: ", "}")),
        ("generated-deep-blocks.yaml", block.into_bytes()),
        ("generated-50-megabytes.yaml", huge),
        ("generated-wide.yaml", wide.into_bytes()),
        ("generated-wide-ports.yaml", ports.into_bytes()),
    ]
}

#[test]
fn no_secret_is_ever_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mosaik.yaml");
    fs::write(folder.path().join("key"), "sekrit-value\n").unwrap();
    for from in ["${env:MOSAIK_UI_PORT}", "${file:key}"] {
        for text in [
            "mosaik: SECRET",
            "mosaik: v1\nnode: {secret_key: 'SECRET', listen: ['SECRET'], bootstrap: ['SECRET'], name: 'SECRET/'}",
            "mosaik: v1\nstreams: {a: {scope: 'SECRET', buffer_size: 'SECRET', buffer_bytes: 'SECRET', backoff: {max: 'SECRET'}}}",
            "mosaik: v1\nproducers: {a: {from: {generate: {rate: SECRET}}, to: 'SECRET'}, b: {from: SECRET, to: a}}",
            "mosaik: v1\nproducers: {a: {from: {file: {path: SECRET}}, to: SECRET}}",
            "mosaik: v1\noperators: {a: {wasm: SECRET, from: SECRET, to: {out: SECRET}}}",
            "mosaik: v1\nconsumers: {a: {from: {stream: a, criteria: SECRET}, to: {stdout: {}}}}",
            "mosaik: v1\nconsumers: {a: {from: {stream: a, criteria: {b: {gte: [SECRET]}}}, to: SECRET}}",
            "mosaik: v1\noperators: {a: {wasm: 'SECRET', digest: 'SECRET', on_error: 'SECRET', tick: 'SECRET'}}",
            "mosaik: v1\nnode: {tickets: [{jwt: 'SECRET'}]}\nstreams: {a: {scope: network, require: {producers: {tickets: [{jwt: {hs256: 'SECRET', es384: 'SECRET', issuer: 'SECRET'}}]}}}}",
            "mosaik: v1\noperators: {a: {wasm: x, allow: {env: ['SECRET'], http: ['SECRET/'], dirs: [{path: 'SECRET', mode: 'SECRET'}], random: 'SECRET'}}}",
            "mosaik: v1\noperators: {a: {wasm: 'builtin:SECRET', state: 'SECRET', limits: {memory: 'SECRET'}}}",
        ] {
            fs::write(&file, text.replace("SECRET", from)).unwrap();
            let output = check(&file);
            assert!(output.starts_with("error"), "{text}: {output}");
            assert!(!output.contains("sekrit"), "{text}: {output}");
        }
    }
}
