//! Tests which binaries can be loaded, and the errors for all others.

use super::guest::Guest;
use super::*;

fn refused(bytes: &[u8]) -> LoadError {
    let engine = engine();
    let error = engine.load(bytes, LoadLimits::default()).unwrap_err();
    assert_engine_works(&engine);
    error
}

#[test]
fn a_module_and_its_component_describe_the_same() {
    let engine = engine();
    let guest = Guest::default();
    let (module, component) = (guest.module(), guest.component());
    for bytes in [&module, &component] {
        let loaded = engine.load(bytes, LoadLimits::default()).unwrap();
        assert_eq!(
            *loaded.description(),
            Description {
                inputs: vec!["in".into()],
                outputs: vec!["out".into()],
                config_schema: "{}".into(),
                state_version: 7
            }
        );
        assert_eq!(loaded.hash(), blake3::hash(bytes).to_hex().to_string());
        assert_eq!(loaded.len(), bytes.len());
        assert!(
            loaded
                .imports()
                .iter()
                .any(|name| name == "mosaik:operator/host@1.1.0"),
            "{:?}",
            loaded.imports()
        );
    }
}

#[test]
fn loaded_code_is_shared() {
    let engine = engine();
    let module = Guest::default().module();
    let first = engine.load(&module, LoadLimits::default()).unwrap();
    let second = engine.load(&module, LoadLimits::default()).unwrap();
    assert!(Arc::ptr_eq(&first.inner, &second.inner));
    drop((first, second));
    assert_engine_works(&engine);
}

#[test]
fn a_binary_over_the_limit_is_refused_unread() {
    let error = engine()
        .load(
            &[0; 11],
            LoadLimits {
                binary_bytes_max: 10,
                ..LoadLimits::default()
            },
        )
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the binary has 11 bytes, more than the 10 allowed"
    );
}

#[test]
fn other_files_are_reported_as_not_webassembly() {
    for (bytes, expected) in [
        (b"".as_slice(), "not a WebAssembly binary: it is empty"),
        (
            b"#!/bin/sh",
            "not a WebAssembly binary: it does not start with `\\0asm`",
        ),
        (
            b"\n (module)",
            "not a WebAssembly binary: this is the text format, which has to be assembled first",
        ),
        (
            b"\0asm\x02\0\0\0",
            "not a WebAssembly binary: its version is unknown",
        ),
        (
            b"\x7fELF\x02",
            "not a WebAssembly binary: this is native code; build it for a wasm32 target",
        ),
    ] {
        assert_eq!(refused(bytes).to_string(), expected);
    }
}

#[test]
fn a_module_without_a_component_type_is_reported() {
    let module = wat::parse_str(Guest::default().text()).unwrap();
    assert!(matches!(refused(&module), LoadError::NoComponentType));
}

#[test]
fn truncated_binaries_are_invalid() {
    let guest = Guest::default();
    let component = guest.component();
    for len in [8, component.len() / 2, component.len() - 1] {
        let error = refused(&component[..len]);
        assert!(
            matches!(error, LoadError::Invalid(_) | LoadError::MissingExports(_)),
            "{error:?}"
        );
    }
    let module = guest.module();
    let error = refused(&module[..module.len() / 2]);
    assert!(matches!(error, LoadError::Encode(_)), "{error:?}");
}

#[test]
fn an_import_without_a_possible_grant_is_named() {
    let component = wat::parse_str(
        r#"(component
            (import "wasi:clocks/wall-clock@0.2.0" (instance (export "now" (func (result u64)))))
            (import "wasi:random/random@0.2.0" (instance)))"#,
    )
    .unwrap();
    assert_eq!(
        refused(&component).to_string(),
        "imports `wasi:clocks/wall-clock@0.2.0` and `wasi:random/random@0.2.0`, which no grant provides"
    );
}

#[test]
fn a_core_import_that_the_world_does_not_have_is_named() {
    let text = Guest::default().text().replacen("(module", r#"(module (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))"#, 1);
    let module = guest::with_type(&text, &[]);
    assert_eq!(
        refused(&module).to_string(),
        "imports `wasi_snapshot_preview1`, which no grant provides"
    );
}

#[test]
fn a_module_that_needs_grants_is_told_to_become_a_component() {
    let text = Guest::default().text().replacen(
        "(module",
        r#"(module (import "wasi:random/random@0.2.6" "get-random-u64" (func (result i64)))"#,
        1,
    );
    let error = refused(&guest::with_type(&text, &[]));
    assert_eq!(
        error.to_string(),
        "is a core module that imports `wasi:random/random@0.2.6`: only a component can be granted more than \
         `mosaik:operator/host@1.1.0`"
    );
    assert!(error.hint().unwrap().contains("wasm32-wasip2"));
}

#[test]
fn a_function_that_the_host_does_not_have_is_named() {
    let component = wat::parse_str(component_text(
        r#"(import "mosaik:operator/host@1.1.0" (instance (export "exec" (func (param "command" string)))))"#,
        "func",
    ));
    let error = refused(&component.unwrap());
    assert!(matches!(error, LoadError::World(_)), "{error:?}");
    assert!(error.to_string().contains("exec"), "{error}");
}

#[test]
fn exports_that_are_missing_are_named() {
    let component = wat::parse_str("(component)").unwrap();
    assert_eq!(
        refused(&component).to_string(),
        "does not export `describe`, `open`, `process`, `resume`, `tick`, `finish`, `snapshot` and `restore`, which an \
         operator of the world `mosaik:operator/operator@1.1.0` must"
    );
    // An export of another kind counts as missing.
    let component = wat::parse_str(component_text("", "instance")).unwrap();
    let error = refused(&component);
    assert!(
        matches!(&error, LoadError::MissingExports(names) if names == &["tick"]),
        "{error:?}"
    );
}

#[test]
fn exports_of_another_type_are_named() {
    let component = wat::parse_str(component_text("", "func")).unwrap();
    let error = refused(&component);
    assert!(matches!(error, LoadError::World(_)), "{error:?}");
    assert!(error.to_string().contains("describe"), "{error}");
}

/// Returns a component that exports all names of the world with wrong types, and `tick` as this
/// kind of item.
fn component_text(imports: &str, tick: &str) -> String {
    let exports = [
        "describe", "open", "process", "resume", "finish", "snapshot", "restore",
    ]
    .map(|name| format!("(export \"{name}\" (func $f))"))
    .concat();
    format!(
        r#"(component {imports}
            (core module $m (func (export "f")))
            (core instance $i (instantiate $m))
            (func $f (canon lift (core func $i "f")))
            (instance $tick)
            {exports}
            (export "tick" ({tick} {})))"#,
        if tick == "func" { "$f" } else { "$tick" }
    )
}

#[test]
fn a_component_whose_parts_pass_text_to_each_other_compiles() {
    let component = wat::parse_str(
        r#"(component
            (component $asked
                (core module $m
                    (memory (export "memory") 1)
                    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 16))
                    (func (export "take") (param i32 i32)))
                (core instance $i (instantiate $m))
                (func (export "take") (param "text" string)
                    (canon lift (core func $i "take") (memory $i "memory") (realloc (func $i "realloc")))))
            (component $asking
                (import "take" (func $take (param "text" string)))
                (core module $memory (memory (export "memory") 1))
                (core instance $memory (instantiate $memory))
                (core func $take (canon lower (func $take) (memory $memory "memory")))
                (core module $m
                    (import "" "take" (func $take (param i32 i32)))
                    (func (export "tick") (call $take (i32.const 0) (i32.const 4))))
                (core instance $i (instantiate $m (with "" (instance (export "take" (func $take))))))
                (func (export "tick") (canon lift (core func $i "tick"))))
            (instance $asked (instantiate $asked))
            (instance $asking (instantiate $asking (with "take" (func $asked "take"))))
            (export "tick" (func $asking "tick")))"#,
    )
    .unwrap();
    // Its only mistake is that it is not an operator.
    let error = refused(&component);
    assert!(
        matches!(&error, LoadError::MissingExports(names) if names.len() == 7),
        "{error:?}"
    );
}

#[test]
fn features_that_are_off_are_refused() {
    for (feature, fields) in [
        ("memory64", "(memory i64 1)"),
        ("threads", "(memory $shared 1 2 shared)"),
        ("exceptions", "(tag)"),
        ("gc", "(type (struct))"),
        (
            "relaxed-simd",
            "(func (drop (f32x4.relaxed_madd (v128.const i64x2 0 0) (v128.const i64x2 0 0) (v128.const i64x2 0 0))))",
        ),
    ] {
        // A component with the module inside, so that the compiler sees the module regardless of
        // the encoder.
        let component = wat::parse_str(format!("(component (core module {fields}))")).unwrap();
        let error = refused(&component);
        assert!(
            matches!(error, LoadError::Invalid(_)),
            "{feature}: {error:?}"
        );
    }
}

#[test]
fn a_description_that_makes_no_sense_is_refused() {
    let usual = Guest::default().describe;
    let (stores, answer) = usual.rsplit_once("(i32.const 160)").unwrap();
    assert_eq!(answer, "");
    // The wrong value is stored after the usual ones and overwrites them.
    for (wrong, expected) in [
        (
            "(i32.store (i32.const 132) (i32.const 0))",
            "an input port's name is not 1 to 128 bytes of printable text",
        ),
        (
            "(i64.store (i32.const 136) (i64.const 0x81_0000_0800))",
            "an output port's name is not 1 to 128 bytes of printable text",
        ),
        (
            "(i64.store (i32.const 160) (i64.const 0x2_0000_0078)) (i64.store (i32.const 120) (i64.const 0x2_0000_0010))",
            "the input port `in` twice",
        ),
        (
            "(i64.store (i32.const 168) (i64.const 0x101_0000_1000))",
            "257 output ports, more than 256",
        ),
        (
            "(i32.store (i32.const 180) (i32.const 1))",
            "a configuration schema that is not JSON",
        ),
        (
            "(i32.store (i32.const 180) (i32.const 0x7fffffff))",
            "out of bounds",
        ),
    ] {
        let describe = format!("{stores} {wrong} (i32.const 160)");
        let error = refused(
            &Guest {
                describe: &describe,
                ..Guest::default()
            }
            .module(),
        );
        assert!(error.to_string().contains(expected), "{error}");
    }
}
