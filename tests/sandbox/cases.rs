//! The table of all components in the corpus: when each misbehaves, and how it must end.

/// The time at which a component misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    /// During compilation, the first instantiation, or `describe`.
    Load,
    /// During instantiation or `open`.
    Open,
    Process,
    Resume,
    Tick,
    Finish,
    Snapshot,
    Restore,
}

/// One component.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) text: &'static str,
    pub(crate) at: At,
    /// A part of the error; empty if there is no error because the output is cut to size. A `|`
    /// separates two accepted texts, if the speed of the machine decides which limit is reached
    /// first.
    pub(crate) end: &'static str,
    /// Its memory limit in MiB.
    pub(crate) memory_mib: usize,
}

impl Case {
    pub(crate) const fn memory_bytes_max(&self) -> usize {
        self.memory_mib << 20
    }

    /// Returns true if the error is the expected one.
    pub(crate) fn is_end(&self, error: &str) -> bool {
        self.end.split('|').any(|end| match end {
            "" => error.is_empty(),
            end => error.contains(end),
        })
    }
}

macro_rules! cases {
    ($($name:ident $at:ident $end:literal $($memory_mib:literal)?;)*) => {
        &[$(Case {
            name: stringify!($name),
            text: include_str!(concat!("corpus/", stringify!($name), ".wat")),
            at: At::$at,
            end: $end,
            memory_mib: memory_mib!($($memory_mib)?),
        }),*]
    };
}

macro_rules! memory_mib {
    () => {
        16
    };
    ($mib:literal) => {
        $mib
    };
}

pub(crate) const CASES: &[Case] = cases! {
    trap_unreachable Process "trapped in `process`: wasm `unreachable`";
    trap_divide Process "integer divide by zero";
    trap_overflow Process "integer overflow";
    trap_convert Process "invalid conversion to integer";
    trap_load Process "out of bounds memory access";
    trap_store Process "out of bounds memory access";
    trap_copy Process "out of bounds memory access";
    trap_call_null Process "uninitialized element";
    trap_call_type Process "indirect call type mismatch";
    trap_call_beyond Process "undefined element: out of bounds table access";
    trap_describe Load "cannot be queried for its description: trapped in `describe`";
    trap_start Load "trapped in `describe`: wasm `unreachable`";
    trap_data Load "out of bounds memory access";

    loop_describe Load "`describe` used more than the 100";
    loop_start Load "`describe` used more than the 100";
    loop_start_beside Load "`describe` used more than the 100";
    loop_open Open "`open` used more than the 100";
    loop_process Process "`process` used more than the 100";
    loop_resume Resume "`resume` used more than the 100";
    loop_tick Tick "`tick` used more than the 100";
    loop_finish Finish "`finish` used more than the 100";
    loop_snapshot Snapshot "`snapshot` used more than the 100";
    loop_restore Restore "`restore` used more than the 100";
    loop_post_return Tick "`tick` used more than the 100";
    loop_recursion Process "`process` used more than the 100";
    loop_trampoline Process "`process` used more than the 100";
    loop_now Process "`process` used more than the 100";
    straight_counts Process "`process` used more than the 100";
    straight_logs Process "`process` used more than the 100";
    straight_fills Process "`process` used more than the 100";
    straight_copies Process "`process` used more than the 100" 320;
    straight_tables Process "`process` used more than the 100";

    memory_grow Process "`process` needs more memory than the 16777216 bytes that `limits.memory` allows";
    memory_grow_at_once Process "`process` needs more memory than";
    memory_touch Process "`process` needs more memory than";
    memory_initial Load "`describe` needs more memory than the 67108864 bytes that `limits.memory` allows";
    memory_initial_open Open "`open` needs more memory than the 16777216 bytes that `limits.memory` allows";
    memory_many Load "memory count too high at 17";
    memory_sum Open "`open` needs more memory than the 16777216 bytes that `limits.memory` allows";
    instances_many Load "instance count too high at 65";
    tables_many Load "more table elements requested than the 262144 allowed";
    table_grow Process "more table elements requested than the 262144 allowed";
    table_initial Load "more table elements requested than the 262144 allowed";

    stack_recursion Process "call stack exhausted";
    stack_locals Process "call stack exhausted";
    stack_mutual Process "call stack exhausted";

    answer_huge Process "more than the 67108864 bytes allowed" 192;
    answer_overlapping Process "more than the 67108864 bytes allowed";
    answer_beyond Process "out of bounds of memory";
    answer_nowhere Process "out of bounds";
    answer_misaligned Process "align";
    answer_discriminant Process "discriminant";
    answer_port Process "output port 2147483647 of 1";
    list_billion Process "out of bounds of memory";
    list_empty_outputs Process "more than the 67108864 bytes allowed" 192;
    list_empty_outputs_fit Process "|`process` used more than the 100" 192;
    list_small_outputs_fit Process "|`process` used more than the 100" 192;
    list_rejections Process "more than the 67108864 bytes allowed" 192;
    list_rejections_fit Process "it rejects record 0 twice|`process` used more than the 100" 192;
    reject_beyond Process "it rejects record 2147483647 of a batch of 3";
    reject_at_length Process "";
    frame_cut Process "the frame at byte 0 is incomplete";
    frame_lie Process "above the limit of 16777216 bytes";
    frame_header_cut Process "is incomplete";
    refuse_at_length Process "\0";
    refuse_not_text Process "utf-8";
    more_for_ever Resume "";

    realloc_logs Open "cannot leave component instance";
    post_return_logs Tick "cannot leave component instance";
    realloc_processes Process "";
    realloc_beyond Open "beyond end of memory";
    realloc_last Open "realloc return";
    realloc_misaligned Open "realloc return: result not aligned";
    realloc_overlapping Process "";
    realloc_null Process "";
    realloc_traps Open "trapped in `open`: wasm `unreachable`";
    realloc_grows Open "`open` needs more memory than";
    realloc_loops Open "`open` used more than the 100";

    log_flood Tick "";
    log_for_ever Tick "`tick` used more than the 100";
    log_huge Tick "";
    log_beyond Tick "out of bounds";
    log_not_text Tick "utf-8";
    log_level Tick "discriminant";
    count_flood Tick "";
    count_huge Tick "";
    count_beyond Tick "out of bounds";
    count_not_text Tick "utf-8";

    describe_ports Load "`describe` returned a malformed answer: more than the 67108864 bytes allowed" 192;
    describe_ports_beyond Load "out of bounds of memory";
    describe_name Load "an input port's name is not 1 to 128 bytes of printable text";
    describe_schema Load "a configuration schema of 15728640 bytes, more than 1048576";
    describe_deep Load "a configuration schema that is not JSON";
    describe_not_text Load "utf-8";

    snapshot_huge Snapshot "more than the 67108864 bytes allowed" 192;
    snapshot_entries Snapshot "more than the 67108864 bytes allowed" 192;
    restore_traps Restore "trapped in `restore`";

    export_missing Load "the core module cannot be converted to a component";
    export_type Load "the core module cannot be converted to a component";
    import_module Load "imports `wasi_snapshot_preview1`, which no grant provides";
    import_function Load "the core module cannot be converted to a component";
    import_component Load "imports `wasi:sockets/tcp-create-socket@0.2.0`, which no grant provides";
    world_command Load "does not export `describe`";
    world_types Load "does not implement the world";
    threads Load "not a valid component";
    memory64 Load "not a valid component";
    compile_doubling Load "too complex to compile: more than 100000 parts";
    compile_function Load "too complex to compile: a function of";
};
