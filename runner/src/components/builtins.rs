//! The built-in operators.

/// The built-in operators, by name.
pub const BUILTINS: &[(&str, &[u8])] = &[
    (
        "dedupe",
        include_bytes!("../../../operators/built/dedupe.wasm"),
    ),
    (
        "enrich",
        include_bytes!("../../../operators/built/enrich.wasm"),
    ),
    ("join", include_bytes!("../../../operators/built/join.wasm")),
    ("jq", include_bytes!("../../../operators/built/jq.wasm")),
    (
        "sample",
        include_bytes!("../../../operators/built/sample.wasm"),
    ),
    (
        "split",
        include_bytes!("../../../operators/built/split.wasm"),
    ),
    (
        "window",
        include_bytes!("../../../operators/built/window.wasm"),
    ),
];
