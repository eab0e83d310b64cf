//! Guests that each try one function of WASI and answer with the result.

use crate::operator::tests::guest::Guest;

// Codes of `wasi:filesystem/types.error-code`.
pub(super) const NO_ENTRY: u8 = 20;
pub(super) const NOT_PERMITTED: u8 = 31;
pub(super) const READ_ONLY: u8 = 33;
// Of `wasi:sockets/network.error-code`.
pub(super) const ACCESS_DENIED: u8 = 1;
pub(super) const PERMANENT_RESOLVER_FAILURE: u8 = 20;
// Of `wasi:http/types.error-code`.
pub(super) const CONNECTION_REFUSED: u8 = 6;
pub(super) const TLS_PROTOCOL_ERROR: u8 = 12;
pub(super) const TLS_CERTIFICATE_ERROR: u8 = 13;
pub(super) const HTTP_REQUEST_DENIED: u8 = 15;

/// The single record of a batch, shorter than 256 bytes.
const DATUM: &str =
    "(i32.add (local.get $ptr) (i32.const 4)) (i32.load8_u offset=3 (local.get $ptr))";
/// Its first byte.
const BYTE: &str = "(i64.load8_u offset=4 (local.get $ptr))";

/// Collects an answer, one frame at a time.
const SAY: &str = "
    (global $end (mut i32) (i32.const 40960))
    (func $say (param $ptr i32) (param $len i32)
        (i32.store (global.get $end) (i32.shl (local.get $len) (i32.const 24)))
        (memory.copy (i32.add (global.get $end) (i32.const 4)) (local.get $ptr) (local.get $len))
        (global.set $end (i32.add (global.get $end) (i32.add (local.get $len) (i32.const 4)))))
    (func $say_number (param $number i32)
        (i32.store8 (i32.const 900) (local.get $number)) (call $say (i32.const 900) (i32.const 1)))
    (func $said (result i32) (local $len i32)
        (local.set $len (i32.sub (global.get $end) (i32.const 40960)))
        (global.set $end (i32.const 40960))
        (call $answer (i32.const 0) (i32.const 40960) (local.get $len) (i32.const 0)))";

/// A guest that uses a few functions of WASI.
pub(super) struct Probe {
    pub(super) imports: Vec<[&'static str; 4]>,
    pub(super) process: String,
    pub(super) tick: String,
    pub(super) fields: String,
}

impl Probe {
    fn new(imports: &[[&'static str; 4]], process: impl Into<String>) -> Self {
        Self {
            imports: imports.to_vec(),
            process: process.into(),
            tick: "(call $nothing)".into(),
            fields: SAY.into(),
        }
    }

    /// Adds text at address 512.
    fn data(mut self, text: &str) -> Self {
        for part in ["(data (i32.const 512) \"", text, "\")"] {
            self.fields.push_str(part);
        }
        self
    }

    pub(super) fn guest(&self) -> Guest<'_> {
        Guest {
            process: &self.process,
            tick: &self.tick,
            fields: &self.fields,
            imports: &self.imports,
            ..Guest::default()
        }
    }
}

const ENVIRONMENT: [&str; 4] = [
    "wasi:cli/environment@0.2.0",
    "get-environment",
    "$environment",
    "(param i32)",
];
const STDOUT: [&str; 4] = [
    "wasi:cli/stdout@0.2.0",
    "get-stdout",
    "$stdout",
    "(result i32)",
];
const STDERR: [&str; 4] = [
    "wasi:cli/stderr@0.2.0",
    "get-stderr",
    "$stderr",
    "(result i32)",
];
const PRINT: [&str; 4] = [
    "wasi:io/streams@0.2.0",
    "[method]output-stream.blocking-write-and-flush",
    "$print",
    "(param i32 i32 i32 i32)",
];
const BLOCK: [&str; 4] = [
    "wasi:io/poll@0.2.0",
    "[method]pollable.block",
    "$block",
    "(param i32)",
];
const TIMER: [&str; 4] = [
    "wasi:clocks/monotonic-clock@0.2.0",
    "subscribe-duration",
    "$timer",
    "(param i64) (result i32)",
];
const RANDOM: [&str; 4] = [
    "wasi:random/random@0.2.0",
    "get-random-bytes",
    "$random",
    "(param i64 i32)",
];
const SEED: [&str; 4] = [
    "wasi:random/insecure-seed@0.2.0",
    "insecure-seed",
    "$seed",
    "(param i32)",
];

/// Answers with each variable's name and value.
pub(super) fn environment() -> Probe {
    Probe::new(
        &[ENVIRONMENT],
        "(local $at i32) (local $left i32)
        (call $environment (i32.const 2048))
        (local.set $at (i32.load (i32.const 2048)))
        (local.set $left (i32.load (i32.const 2052)))
        (block $done (loop $next
            (br_if $done (i32.eqz (local.get $left)))
            (call $say (i32.load (local.get $at)) (i32.load offset=4 (local.get $at)))
            (call $say (i32.load offset=8 (local.get $at)) (i32.load offset=12 (local.get $at)))
            (local.set $at (i32.add (local.get $at) (i32.const 16)))
            (local.set $left (i32.sub (local.get $left) (i32.const 1)))
            (br $next)))
        (call $said)",
    )
}

/// In `tick`: prints the first variable's value, logs it, and refuses with it.
pub(super) fn tells_the_environment() -> Probe {
    let mut probe = Probe::new(&[ENVIRONMENT, STDERR, PRINT], "(call $nothing)");
    probe.tick = "(local $at i32) (local $value i32) (local $len i32)
        (call $environment (i32.const 2048))
        (local.set $at (i32.load (i32.const 2048)))
        (local.set $value (i32.load offset=8 (local.get $at)))
        (local.set $len (i32.load offset=12 (local.get $at)))
        (call $print (call $stderr) (local.get $value) (local.get $len) (i32.const 2064))
        (call $print (call $stderr) (i32.const 512) (i32.const 1) (i32.const 2064))
        (call $log (i32.const 4) (local.get $value) (local.get $len))
        (call $refuse (local.get $value) (local.get $len))"
        .into();
    probe.data("\\n")
}

/// Answers with as many random bytes as the first byte of the record states.
pub(super) fn random() -> Probe {
    Probe::new(
        &[RANDOM],
        format!(
            "(call $random {BYTE} (i32.const 2048))
            (call $say (i32.load (i32.const 2048)) (i32.load (i32.const 2052))) (call $said)"
        ),
    )
}

/// Requests 4 GiB of random bytes.
pub(super) fn random_without_end() -> Probe {
    Probe::new(
        &[RANDOM],
        "(call $random (i64.const 0x1_0000_0000) (i32.const 2048)) (call $nothing)",
    )
}

/// Requests the seed that language runtimes request.
pub(super) fn seed() -> Probe {
    Probe::new(&[SEED], "(call $seed (i32.const 2048)) (call $nothing)")
}

/// Sleeps 0.1 s as many times as the first byte of the record states, and another 20 ms.
pub(super) fn sleeps() -> Probe {
    Probe::new(
        &[TIMER, BLOCK],
        format!(
            "(call $block (call $timer (i64.add (i64.const 20_000_000) (i64.mul {BYTE} (i64.const 100_000_000)))))
            (call $nothing)"
        ),
    )
}

/// Creates timers and keeps all of them.
pub(super) fn holds_timers() -> Probe {
    Probe::new(
        &[TIMER],
        "(loop $more (drop (call $timer (i64.const 1_000_000_000))) (br $more)) unreachable",
    )
}

pub(super) fn prints_then_traps() -> Probe {
    Probe::new(
        &[STDOUT, STDERR, PRINT],
        "(call $print (call $stdout) (i32.const 512) (i32.const 11) (i32.const 2048))
        (call $print (call $stderr) (i32.const 523) (i32.const 10) (i32.const 2048)) unreachable",
    )
    .data("to the log\\nbad price\\n")
}

pub(super) fn exits() -> Probe {
    Probe::new(
        &[["wasi:cli/exit@0.2.0", "exit", "$exit", "(param i32)"]],
        "(call $exit (i32.const 1)) unreachable",
    )
}

const TYPES: &str = "wasi:filesystem/types@0.2.0";
const DIRECTORIES: [&str; 4] = [
    "wasi:filesystem/preopens@0.2.0",
    "get-directories",
    "$directories",
    "(param i32)",
];
const OPEN: [&str; 4] = [
    TYPES,
    "[method]descriptor.open-at",
    "$open_at",
    "(param i32 i32 i32 i32 i32 i32 i32)",
];

/// Operates on the first folder, `$folder`; answers `no folder` if there is none.
fn in_folder(more: &[[&'static str; 4]], then: &str, data: &str) -> Probe {
    let process = format!(
        "(local $folder i32)
        (call $directories (i32.const 2048))
        (if (i32.eqz (i32.load (i32.const 2052)))
            (then (call $say (i32.const 512) (i32.const 9)) (return (call $said))))
        (local.set $folder (i32.load (i32.load (i32.const 2048))))
        {then}
        (call $said)"
    );
    let imports: Vec<_> = [DIRECTORIES].iter().chain(more).copied().collect();
    Probe::new(&imports, process).data(&format!("no folder fine hello {data}"))
}

/// Answers with the contents of the file that the record names, or with the error's code.
pub(super) fn reads() -> Probe {
    let read = [
        TYPES,
        "[method]descriptor.read",
        "$read",
        "(param i32 i64 i64 i32)",
    ];
    in_folder(
        &[OPEN, read],
        &format!(
            "(call $open_at (local.get $folder) (i32.const 1) {DATUM} (i32.const 0) (i32.const 1) (i32.const 2064))
            (if (i32.load8_u (i32.const 2064))
                (then (call $say_number (i32.load8_u (i32.const 2068))) (return (call $said))))
            (call $read (i32.load (i32.const 2068)) (i64.const 1000) (i64.const 0) (i32.const 2080))
            (if (i32.load8_u (i32.const 2080))
                (then (call $say_number (i32.load8_u (i32.const 2084))))
                (else (call $say (i32.load (i32.const 2084)) (i32.load (i32.const 2088)))))"
        ),
        "",
    )
}

/// Writes `hello` to the file that the record names, and answers `fine` or the error's code.
pub(super) fn writes() -> Probe {
    let write = [
        TYPES,
        "[method]descriptor.write",
        "$write",
        "(param i32 i32 i32 i64 i32)",
    ];
    in_folder(
        &[OPEN, write],
        &format!(
            "(call $open_at (local.get $folder) (i32.const 1) {DATUM} (i32.const 1) (i32.const 2) (i32.const 2064))
            (if (i32.load8_u (i32.const 2064))
                (then (call $say_number (i32.load8_u (i32.const 2068))) (return (call $said))))
            (call $write (i32.load (i32.const 2068)) (i32.const 527) (i32.const 5) (i64.const 0) (i32.const 2080))
            (if (i32.load8_u (i32.const 2080))
                (then (call $say_number (i32.load8_u (i32.const 2088))))
                (else (call $say (i32.const 522) (i32.const 4))))"
        ),
        "",
    )
}

/// Calls a function that returns nothing or an error code, and answers `fine` or that code.
fn does(function: [&'static str; 4], arguments: &str, data: &str) -> Probe {
    in_folder(
        &[function],
        &format!(
            "(call {} (local.get $folder) {arguments} (i32.const 2064))
            (if (i32.load8_u (i32.const 2064))
                (then (call $say_number (i32.load8_u (i32.const 2065))))
                (else (call $say (i32.const 522) (i32.const 4))))",
            function[2]
        ),
        data,
    )
}

/// Creates the folder that the record names.
pub(super) fn makes_folders() -> Probe {
    let make = [
        TYPES,
        "[method]descriptor.create-directory-at",
        "$make",
        "(param i32 i32 i32 i32)",
    ];
    does(make, DATUM, "")
}

/// Deletes the file that the record names.
pub(super) fn deletes() -> Probe {
    let delete = [
        TYPES,
        "[method]descriptor.unlink-file-at",
        "$delete",
        "(param i32 i32 i32 i32)",
    ];
    does(delete, DATUM, "")
}

/// Creates a link to `to` under the name that the record states.
pub(super) fn links(to: &str) -> Probe {
    let link = [
        TYPES,
        "[method]descriptor.symlink-at",
        "$link",
        "(param i32 i32 i32 i32 i32 i32)",
    ];
    let target = format!("(i32.const 533) (i32.const {}) {DATUM}", to.len());
    does(link, &target, to)
}

/// Makes a network request, and answers `fine` or the error's code.
fn asks_network(imports: &[[&'static str; 4]], ask: &str) -> Probe {
    let process = format!(
        "{ask}
        (if (i32.load8_u (i32.const 2048))
            (then (call $say_number (i32.load8_u (i32.const 2052))))
            (else (call $say (i32.const 512) (i32.const 4))))
        (call $said)"
    );
    Probe::new(imports, process).data("fine")
}

pub(super) fn tcp() -> Probe {
    let create = [
        "wasi:sockets/tcp-create-socket@0.2.0",
        "create-tcp-socket",
        "$tcp",
        "(param i32 i32)",
    ];
    asks_network(&[create], "(call $tcp (i32.const 0) (i32.const 2048))")
}

pub(super) fn udp() -> Probe {
    let create = [
        "wasi:sockets/udp-create-socket@0.2.0",
        "create-udp-socket",
        "$udp",
        "(param i32 i32)",
    ];
    asks_network(&[create], "(call $udp (i32.const 0) (i32.const 2048))")
}

/// Looks up the name that the record states.
pub(super) fn looks_up() -> Probe {
    let network = [
        "wasi:sockets/instance-network@0.2.0",
        "instance-network",
        "$network",
        "(result i32)",
    ];
    let resolve = [
        "wasi:sockets/ip-name-lookup@0.2.0",
        "resolve-addresses",
        "$resolve",
        "(param i32 i32 i32 i32)",
    ];
    asks_network(
        &[network, resolve],
        &format!("(call $resolve (call $network) {DATUM} (i32.const 2048))"),
    )
}

/// Requests this path from the host and port that the record names, and answers with the status as
/// two bytes, or with the error's code.
pub(super) fn http(path: &str) -> Probe {
    request(0, path)
}

/// As [`http`], with TLS.
pub(super) fn https(path: &str) -> Probe {
    request(1, path)
}

fn request(scheme: u32, path: &str) -> Probe {
    const TYPES: &str = "wasi:http/types@0.2.0";
    let imports = [
        BLOCK,
        [TYPES, "[constructor]fields", "$fields", "(result i32)"],
        [
            TYPES,
            "[constructor]outgoing-request",
            "$request",
            "(param i32) (result i32)",
        ],
        [
            TYPES,
            "[method]outgoing-request.set-scheme",
            "$set_scheme",
            "(param i32 i32 i32 i32 i32) (result i32)",
        ],
        [
            TYPES,
            "[method]outgoing-request.set-authority",
            "$set_authority",
            "(param i32 i32 i32 i32) (result i32)",
        ],
        [
            TYPES,
            "[method]outgoing-request.set-path-with-query",
            "$set_path",
            "(param i32 i32 i32 i32) (result i32)",
        ],
        [
            "wasi:http/outgoing-handler@0.2.0",
            "handle",
            "$handle",
            "(param i32 i32 i32 i32)",
        ],
        [
            TYPES,
            "[method]future-incoming-response.subscribe",
            "$subscribe",
            "(param i32) (result i32)",
        ],
        [
            TYPES,
            "[method]future-incoming-response.get",
            "$get",
            "(param i32 i32)",
        ],
        [
            TYPES,
            "[method]incoming-response.status",
            "$status",
            "(param i32) (result i32)",
        ],
    ];
    let process = format!(
        "(local $request i32) (local $answer i32) (local $status i32)
        (local.set $request (call $request (call $fields)))
        (drop (call $set_scheme (local.get $request) (i32.const 1) (i32.const {scheme}) (i32.const 0) (i32.const 0)))
        (drop (call $set_authority (local.get $request) (i32.const 1) {DATUM}))
        (drop (call $set_path (local.get $request) (i32.const 1) (i32.const 512) (i32.const {})))
        (call $handle (local.get $request) (i32.const 0) (i32.const 0) (i32.const 2048))
        (if (i32.load8_u (i32.const 2048))
            (then (call $say_number (i32.load8_u (i32.const 2056))) (return (call $said))))
        (local.set $answer (i32.load (i32.const 2056)))
        (call $block (call $subscribe (local.get $answer)))
        (call $get (local.get $answer) (i32.const 2112))
        (if (i32.load8_u (i32.const 2128))
            (then (call $say_number (i32.load8_u (i32.const 2136))))
            (else
                (local.set $status (call $status (i32.load (i32.const 2136))))
                (i32.store8 (i32.const 901) (local.get $status))
                (i32.store8 (i32.const 900) (i32.shr_u (local.get $status) (i32.const 8)))
                (call $say (i32.const 900) (i32.const 2))))
        (call $said)",
        path.len()
    );
    Probe::new(&imports, process).data(path)
}
