//! The WASI 0.2 interfaces of an operator with grants: linked by interface, filled from its grants,
//! and empty otherwise.

mod clocks;
mod http;
mod print;

use tokio::runtime::Handle;
use wasmtime::component::{Linker, ResourceTable};
use wasmtime_wasi::cli::{WasiCli, WasiCliView as _};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView as _};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView as _};
use wasmtime_wasi::p2::bindings::{LinkOptions, cli, clocks as times, filesystem, random, sockets};
use wasmtime_wasi::random::{WasiRandom, WasiRandomView as _};
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsView as _};
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};
use wasmtime_wasi_io::IoView;

use self::clocks::Clock;
use self::http::Hooks;
use self::print::Print;
use super::grants::{Directory, Grants, Interfaces};
use super::host::HostState;
use super::log::{Log, Printed};

/// Maximum number of host resources that an instance may hold at once: 4096 open files, streams,
/// timers and requests.
const RESOURCES_MAX: usize = 4096;
/// Maximum number of random bytes per request: 1 MiB.
const RANDOM_BYTES_MAX: u64 = 1024 * 1024;

/// The WASI state of an instance.
pub(super) struct Wasi {
    ctx: WasiCtx,
    table: ResourceTable,
    http: WasiHttpCtx,
    hooks: Hooks,
    /// The runtime on which calls wait for the host.
    pub(super) runtime: Handle,
}

impl Wasi {
    /// Opens the granted resources; printed output goes to the log. The error is one sentence in
    /// lower case.
    pub(super) fn new(grants: &Grants, log: &Log, runtime: Handle) -> Result<Self, String> {
        let mut builder = WasiCtx::builder();
        builder
            .envs(&grants.env)
            .stdout(Print::new(log.clone(), Printed::Out))
            .stderr(Print::new(log.clone(), Printed::Err))
            .wall_clock(Clock::new())
            .monotonic_clock(Clock::new())
            .max_random_size(RANDOM_BYTES_MAX)
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false);
        for Directory { path, name, write } in &grants.dirs {
            let perms = if *write {
                FsPerms::ReadWrite
            } else {
                FsPerms::ReadOnly
            };
            builder.preopened_dir(path, name, perms).map_err(|error| {
                let path = path.display();
                format!("its folder {path} cannot be opened: {error:#}")
            })?;
        }
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES_MAX);
        Ok(Self {
            ctx: builder.build(),
            table,
            http: WasiHttpCtx::new(),
            hooks: Hooks::new(grants.http.clone()),
            runtime,
        })
    }
}

impl HostState {
    fn wasi(&mut self) -> &mut Wasi {
        self.wasi
            .as_mut()
            .expect("a component that is linked with WASI is instantiated with it")
    }
}

impl WasiView for HostState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let Wasi { ctx, table, .. } = self.wasi();
        WasiCtxView { ctx, table }
    }
}

impl IoView for HostState {
    fn table(&mut self) -> &mut ResourceTable {
        &mut self.wasi().table
    }
}

impl WasiHttpView for HostState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        let Wasi {
            table, http, hooks, ..
        } = self.wasi();
        WasiHttpCtxView {
            hooks,
            table,
            ctx: http,
        }
    }
}

/// Links the functions of these interfaces, and no others.
pub(super) fn link(linker: &mut Linker<HostState>, interfaces: Interfaces) -> wasmtime::Result<()> {
    type T = HostState;
    let l = linker;
    if interfaces.wasi {
        wasmtime_wasi_io::add_to_linker_async(l)?;
        times::wall_clock::add_to_linker::<T, WasiClocks>(l, T::clocks)?;
        times::monotonic_clock::add_to_linker::<T, WasiClocks>(l, T::clocks)?;
        cli::environment::add_to_linker::<T, WasiCli>(l, T::cli)?;
        cli::exit::add_to_linker::<T, WasiCli>(l, T::cli)?;
        cli::stdin::add_to_linker::<T, WasiCli>(l, T::cli)?;
        cli::stdout::add_to_linker::<T, WasiCli>(l, T::cli)?;
        cli::stderr::add_to_linker::<T, WasiCli>(l, T::cli)?;
        cli::terminal_input::add_to_linker::<T, WasiCli>(l, T::cli)?;
        cli::terminal_output::add_to_linker::<T, WasiCli>(l, T::cli)?;
        cli::terminal_stdin::add_to_linker::<T, WasiCli>(l, T::cli)?;
        cli::terminal_stdout::add_to_linker::<T, WasiCli>(l, T::cli)?;
        cli::terminal_stderr::add_to_linker::<T, WasiCli>(l, T::cli)?;
        filesystem::types::add_to_linker::<T, WasiFilesystem>(l, T::filesystem)?;
        filesystem::preopens::add_to_linker::<T, WasiFilesystem>(l, T::filesystem)?;
        // The libraries of many languages import these even if they are unused. Every socket is
        // refused before it is created.
        sockets::network::add_to_linker::<T, WasiSockets>(
            l,
            &LinkOptions::default().into(),
            T::sockets,
        )?;
        sockets::instance_network::add_to_linker::<T, WasiSockets>(l, T::sockets)?;
        sockets::ip_name_lookup::add_to_linker::<T, WasiSockets>(l, T::sockets)?;
        sockets::tcp::add_to_linker::<T, WasiSockets>(l, T::sockets)?;
        sockets::tcp_create_socket::add_to_linker::<T, WasiSockets>(l, T::sockets)?;
        sockets::udp::add_to_linker::<T, WasiSockets>(l, T::sockets)?;
        sockets::udp_create_socket::add_to_linker::<T, WasiSockets>(l, T::sockets)?;
    }
    if interfaces.random {
        random::random::add_to_linker::<T, WasiRandom>(l, T::random)?;
        random::insecure::add_to_linker::<T, WasiRandom>(l, T::random)?;
        random::insecure_seed::add_to_linker::<T, WasiRandom>(l, T::random)?;
    }
    if interfaces.http {
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(l)?;
    }
    Ok(())
}
