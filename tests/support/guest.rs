//! Assembles operators from text: hand-written core modules that follow the canonical ABI and
//! contain their component type.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

const WIT: &str = include_str!("../../wasm-sdk/wit/operator.wit");
const WASI: &str = include_str!("wasi.wit");

/// A guest, defined by the bodies of its functions. The default passes records from each input port
/// to the output port of the same number.
///
/// Memory: port names and schema from 16, the description from 128, the single output at 256, the
/// answer at 320, data of the test from 512, the heap from 65536.
pub(crate) struct Guest<'a> {
    pub(crate) describe: &'a str,
    pub(crate) open: &'a str,
    pub(crate) process: &'a str,
    pub(crate) resume: &'a str,
    pub(crate) tick: &'a str,
    pub(crate) finish: &'a str,
    pub(crate) snapshot: &'a str,
    pub(crate) restore: &'a str,
    /// Allocates memory for the host, which uses it to pass arguments.
    pub(crate) realloc: &'a str,
    /// The initial number of memory pages, and optionally the maximum.
    pub(crate) memory: &'a str,
    /// More fields of the module.
    pub(crate) fields: &'a str,
    /// The WASI functions that it imports: interface, name, name in the module, type.
    pub(crate) imports: &'a [[&'a str; 4]],
}

/// Stores the description: ports `in` and `out`, schema `{}`, state version 7.
const DESCRIBE: &str = "
    (i64.store (i32.const 128) (i64.const 0x2_0000_0010))
    (i64.store (i32.const 136) (i64.const 0x3_0000_0020))
    (i64.store (i32.const 160) (i64.const 0x1_0000_0080))
    (i64.store (i32.const 168) (i64.const 0x1_0000_0088))
    (i64.store (i32.const 176) (i64.const 0x2_0000_0030))
    (i32.store (i32.const 184) (i32.const 7))
    (i32.const 160)";

/// Answers with the batch, on the output port with the number of the input port.
const ECHO: &str =
    "(call $answer (local.get $port) (local.get $ptr) (local.get $len) (i32.const 0))";
/// Answers with nothing.
const NOTHING: &str = "(call $nothing)";
/// Answers `ok` without a value.
const FINE: &str = "(i32.store8 (i32.const 320) (i32.const 0)) (i32.const 320)";
/// Answers with one entry: no key, and `in` as its value.
const SNAPSHOT: &str = "
    (i32.store8 (i32.const 320) (i32.const 0))
    (i32.store (i32.const 324) (i32.const 7))
    (i64.store (i32.const 328) (i64.const 0x1_0000_0100))
    (i32.store8 (i32.const 256) (i32.const 0))
    (i64.store (i32.const 268) (i64.const 0x2_0000_0010))
    (i32.const 320)";

/// Allocates on the heap, and grows the memory if necessary.
const REALLOC: &str = "(local $at i32)
    (local.set $at
        (i32.and (i32.add (global.get $heap) (i32.sub (local.get $align) (i32.const 1)))
            (i32.sub (i32.const 0) (local.get $align))))
    (global.set $heap (i32.add (local.get $at) (local.get $len)))
    (block $enough (loop $grow
        (br_if $enough (i32.le_u (global.get $heap) (i32.shl (memory.size) (i32.const 16))))
        (br_if $grow (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))
        unreachable))
    (local.get $at)";

impl Default for Guest<'_> {
    fn default() -> Self {
        Self {
            describe: DESCRIBE,
            open: FINE,
            process: ECHO,
            resume: NOTHING,
            tick: NOTHING,
            finish: NOTHING,
            snapshot: SNAPSHOT,
            restore: FINE,
            realloc: REALLOC,
            memory: "2",
            fields: "",
            imports: &[],
        }
    }
}

impl Guest<'_> {
    /// Stores the description: ports `in` and `out`, schema `{}`, state version 7.
    pub(crate) const DESCRIBE: &'static str = DESCRIBE;
    /// Answers with nothing.
    pub(crate) const NOTHING: &'static str = NOTHING;
    /// Answers `ok` without a value.
    pub(crate) const FINE: &'static str = FINE;
    /// Allocates on the heap, and grows the memory if necessary.
    pub(crate) const REALLOC: &'static str = REALLOC;

    /// Returns the core module with its component type.
    pub(crate) fn module(&self) -> Vec<u8> {
        with_type(&self.text(), self.imports)
    }

    /// Returns the component built from it.
    pub(crate) fn component(&self) -> Vec<u8> {
        ComponentEncoder::default()
            .module(&self.module())
            .expect("the module carries its type")
            .validate(true)
            .encode()
            .expect("the module is of its type")
    }

    /// Returns the text of the core module.
    pub(crate) fn text(&self) -> String {
        let Self {
            describe,
            open,
            process,
            resume,
            tick,
            finish,
            snapshot,
            restore,
            realloc,
            memory,
            fields,
            imports,
        } = self;
        let imports: Vec<_> = imports
            .iter()
            .map(|[interface, name, known, ty]| {
                format!(r#"(import "{interface}" "{name}" (func {known} {ty}))"#)
            })
            .collect();
        let imports = imports.concat();
        format!(
            r#"(module
            (import "mosaik:operator/host@1.1.0" "log" (func $log (param i32 i32 i32)))
            (import "mosaik:operator/host@1.1.0" "now" (func $now (result i64)))
            (import "mosaik:operator/host@1.1.0" "count" (func $count (param i32 i32 i64)))
            {imports}
            (memory (export "memory") {memory})
            (global $heap (mut i32) (i32.const 65536))
            (data (i32.const 16) "in") (data (i32.const 32) "out") (data (i32.const 48) "{{}}")
            (func $realloc (export "cabi_realloc") (param $old i32) (param $old_len i32) (param $align i32) (param $len i32)
                (result i32) {realloc})
            (func (export "cabi_post_process") (param i32) (global.set $heap (i32.const 65536)))
            (func $answer (param $port i32) (param $ptr i32) (param $len i32) (param $more i32) (result i32)
                (i32.store (i32.const 256) (local.get $port))
                (i32.store (i32.const 260) (local.get $ptr))
                (i32.store (i32.const 264) (local.get $len))
                (i32.store8 (i32.const 320) (i32.const 0))
                (i64.store (i32.const 324) (i64.const 0x1_0000_0100))
                (i64.store (i32.const 332) (i64.const 0))
                (i32.store8 (i32.const 340) (local.get $more))
                (i32.const 320))
            (func $nothing (result i32)
                (drop (call $answer (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
                (i64.store (i32.const 324) (i64.const 0))
                (i32.const 320))
            (func $refuse (param $ptr i32) (param $len i32) (result i32)
                (i32.store8 (i32.const 320) (i32.const 1))
                (i32.store (i32.const 324) (local.get $ptr))
                (i32.store (i32.const 328) (local.get $len))
                (i32.const 320))
            (func $describe (export "describe") (result i32) {describe})
            (func $open (export "open") (param $config i32) (param $config_len i32) (param $inputs i32)
                (param $inputs_len i32) (param $outputs i32) (param $outputs_len i32) (result i32) {open})
            (func $process (export "process") (param $port i32) (param $ptr i32) (param $len i32) (result i32) {process})
            (func $resume (export "resume") (result i32) {resume})
            (func $tick (export "tick") (result i32) {tick})
            (func $finish (export "finish") (param $port i32) (result i32) {finish})
            (func $snapshot (export "snapshot") (result i32) {snapshot})
            (func $restore (export "restore") (param $version i32) (param $ptr i32) (param $len i32) (result i32) {restore})
            {fields})"#
        )
    }
}

/// Assembles a core module and adds the component type of the operator world with these imports.
pub(crate) fn with_type(text: &str, imports: &[[&str; 4]]) -> Vec<u8> {
    let mut module = wat::parse_str(text).expect("the text is WebAssembly");
    let mut resolve = Resolve::default();
    let mut package = resolve
        .push_str("operator.wit", WIT)
        .expect("the interface is WIT");
    let mut name = "operator";
    if !imports.is_empty() {
        let mut interfaces: Vec<_> = imports.iter().map(|[interface, ..]| *interface).collect();
        interfaces.sort_unstable();
        interfaces.dedup();
        let imports: Vec<_> = interfaces
            .iter()
            .map(|interface| format!("import {interface};"))
            .collect();
        let imports = imports.concat();
        let wider = format!(
            "package test:guest; world guest {{ include mosaik:operator/operator@1.1.0; {imports} }}"
        );
        resolve.push_str("wasi.wit", WASI).expect("WASI is WIT");
        package = resolve
            .push_str("guest.wit", &wider)
            .expect("the world is WIT");
        name = "guest";
    }
    let world = resolve
        .select_world(&[package], Some(name))
        .expect("it has the world");
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
        .expect("a module can carry a type");
    module
}
