//! WASI 0.2 for guests whose toolchain wants one: deterministic, and another spelling of effects.
//!
//! Clocks show the time of the last journal record; blocking on a timer is `clock.sleep`; random is seeded from the run;
//! stdout and stderr are log notes; environment and arguments are empty; there are no directories and no sockets. What
//! is pure (streams, poll, errors) is wasmtime-wasi's.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use sandbook_core::effect::{Effect, engine};
use wasmtime::component::{HasData, Linker, Resource};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream, WasiCli, WasiCliView as _};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView as _};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView as _};
use wasmtime_wasi::p2::bindings::{self as p2, clocks::monotonic_clock};
use wasmtime_wasi::p2::{DynPollable, OutputStream, Pollable, StreamError, StreamResult, subscribe};
use wasmtime_wasi::random::{Deterministic, WasiRandom};
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsView as _};
use wasmtime_wasi::{HostWallClock, WasiCtx};

use super::Perform;
use super::context::{Asks, Context};

/// Interfaces offered beside the effects, and why each may be: the list the audit test walks.
pub(super) const OFFERED: &[(&str, &str)] = &[
    ("wasi:cli/environment", "always empty"),
    ("wasi:cli/exit", "ends the guest only"),
    ("wasi:cli/stdin", "always at its end"),
    ("wasi:cli/stdout", "lines become log notes"),
    ("wasi:cli/stderr", "lines become log notes"),
    ("wasi:cli/terminal-input", "never one"),
    ("wasi:cli/terminal-output", "never one"),
    ("wasi:cli/terminal-stdin", "never one"),
    ("wasi:cli/terminal-stdout", "never one"),
    ("wasi:cli/terminal-stderr", "never one"),
    ("wasi:clocks/monotonic-clock", "time of the last journal record; its timers are clock.sleep"),
    ("wasi:clocks/wall-clock", "time of the last journal record"),
    ("wasi:filesystem/preopens", "always empty"),
    ("wasi:filesystem/types", "unreachable without a directory"),
    ("wasi:io/error", "pure"),
    ("wasi:io/poll", "pure, over timers that are clock.sleep"),
    ("wasi:io/streams", "pure, over stdio"),
    ("wasi:random/insecure", "seeded from the run"),
    ("wasi:random/insecure-seed", "seeded from the run"),
    ("wasi:random/random", "seeded from the run"),
    // Python's own library imports sockets whether a script uses them or not; none can be made, and no name looked up.
    ("wasi:sockets/instance-network", "names a network nothing can be reached through"),
    ("wasi:sockets/ip-name-lookup", "always refused"),
    ("wasi:sockets/network", "unreachable without a socket"),
    ("wasi:sockets/tcp", "unreachable without a socket"),
    ("wasi:sockets/tcp-create-socket", "always refused"),
    ("wasi:sockets/udp", "unreachable without a socket"),
    ("wasi:sockets/udp-create-socket", "always refused"),
];

/// Longest line of output kept whole; more of it is another note.
const LINE_BYTES_MAX: usize = 8 << 10;
/// Output waiting to become notes, in bytes; more is dropped, as notes beyond the run's limit would be.
const PENDING_BYTES_MAX: usize = 1 << 20;

/// What a guest printed and is not yet a note.
#[derive(Clone, Default)]
pub(super) struct Output(Arc<Mutex<Vec<u8>>>);

impl Output {
    fn write(&self, bytes: &[u8]) {
        let mut pending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = PENDING_BYTES_MAX.saturating_sub(pending.len());
        pending.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// Whole lines printed so far.
    pub(super) fn take_lines(&self) -> Vec<String> {
        let mut pending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(end) = pending.iter().rposition(|byte| *byte == b'\n') else { return Vec::new() };
        let whole: Vec<u8> = pending.drain(..=end).collect();
        lines(&whole)
    }

    /// Everything printed so far.
    pub(super) fn take_all(&self) -> Vec<String> {
        lines(&std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

fn lines(bytes: &[u8]) -> Vec<String> {
    bytes
        .split(|byte| *byte == b'\n')
        .flat_map(|line| line.chunks(LINE_BYTES_MAX))
        .filter(|line| !line.is_empty())
        .map(|line| String::from_utf8_lossy(line).into_owned())
        .collect()
}

/// A printed line as a note.
pub(super) fn note(line: String) -> Effect {
    engine::Log { level: engine::Level::Info, message: line }.into()
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}

impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        Output::write(self, &bytes);
        Ok(())
    }
    fn flush(&mut self) -> Result<(), StreamError> {
        Ok(())
    }
    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(LINE_BYTES_MAX)
    }
}

struct JournalClock(Arc<dyn Perform>);

impl HostWallClock for JournalClock {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }
    fn now(&self) -> Duration {
        Duration::from_millis(self.0.journal_time_ms())
    }
}

/// A guest's WASI: empty but for clocks, random and output.
pub(super) fn context(door: &Arc<dyn Perform>, output: &Output, seed: u64) -> WasiCtx {
    let mut builder = WasiCtx::builder();
    builder
        .wall_clock(JournalClock(door.clone()))
        .secure_random(SplitMix(seed).stream())
        .insecure_random(SplitMix(!seed).stream())
        .insecure_random_seed(u128::from(seed))
        .stdout(output.clone())
        .stderr(output.clone())
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false);
    builder.build()
}

/// SplitMix64 (Steele, Lea, Flood 2014): all that determinism needs, and nothing a guest could call secret.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A stream that repeats after [`STREAM_BYTES`].
    fn stream(mut self) -> Deterministic {
        Deterministic::new((0..STREAM_BYTES / 8).flat_map(|_| self.next().to_le_bytes()).collect())
    }
}

/// Enough for hash seeds and unique names, little enough to make for every run.
const STREAM_BYTES: usize = 1 << 10;

struct Timers<'a>(&'a mut Context);
struct HasTimers;

impl HasData for HasTimers {
    type Data<'a> = Timers<'a>;
}

impl Timers<'_> {
    fn now_ns(&self) -> u64 {
        self.0.door.journal_time_ms().saturating_mul(1_000_000)
    }

    fn subscribe(&mut self, duration_ns: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let timer = Timer { asks: self.0.asks.clone(), duration_ms: duration_ns.div_ceil(1_000_000), done: false };
        let timer = self.0.table.push(timer)?;
        subscribe(&mut self.0.table, timer)
    }
}

impl monotonic_clock::Host for Timers<'_> {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(self.now_ns())
    }
    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(1_000_000)
    }
    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.subscribe(when.saturating_sub(self.now_ns()))
    }
    fn subscribe_duration(&mut self, duration: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.subscribe(duration)
    }
}

/// A timer is ready once `clock.sleep` has answered: recorded, durable, replayed.
struct Timer {
    asks: Asks,
    duration_ms: u64,
    done: bool,
}

#[wasmtime_wasi::async_trait]
impl Pollable for Timer {
    async fn ready(&mut self) {
        if self.done || self.duration_ms == 0 {
            return;
        }
        let sleep = engine::Sleep { duration_ms: self.duration_ms.min(engine::SLEEP_MS_MAX) };
        // A refused sleep (the run is out of effects) does not hang the guest: its next call is told.
        let _ = self.asks.ask(sleep.into()).await;
        self.done = true;
    }
}

/// Offers exactly the interfaces of [`OFFERED`].
pub(super) fn link(l: &mut Linker<Context>) -> Result<()> {
    p2::io::error::add_to_linker::<Context, HasIo>(l, |t| &mut t.table)?;
    p2::io::poll::add_to_linker::<Context, HasIo>(l, |t| &mut t.table)?;
    p2::io::streams::add_to_linker::<Context, HasIo>(l, |t| &mut t.table)?;
    monotonic_clock::add_to_linker::<Context, HasTimers>(l, |context| Timers(context))?;
    p2::clocks::wall_clock::add_to_linker::<Context, WasiClocks>(l, Context::clocks)?;
    p2::random::random::add_to_linker::<Context, WasiRandom>(l, |t| t.wasi.random())?;
    p2::random::insecure::add_to_linker::<Context, WasiRandom>(l, |t| t.wasi.random())?;
    p2::random::insecure_seed::add_to_linker::<Context, WasiRandom>(l, |t| t.wasi.random())?;
    p2::cli::environment::add_to_linker::<Context, WasiCli>(l, Context::cli)?;
    p2::cli::exit::add_to_linker::<Context, WasiCli>(l, Context::cli)?;
    p2::cli::stdin::add_to_linker::<Context, WasiCli>(l, Context::cli)?;
    p2::cli::stdout::add_to_linker::<Context, WasiCli>(l, Context::cli)?;
    p2::cli::stderr::add_to_linker::<Context, WasiCli>(l, Context::cli)?;
    p2::cli::terminal_input::add_to_linker::<Context, WasiCli>(l, Context::cli)?;
    p2::cli::terminal_output::add_to_linker::<Context, WasiCli>(l, Context::cli)?;
    p2::cli::terminal_stdin::add_to_linker::<Context, WasiCli>(l, Context::cli)?;
    p2::cli::terminal_stdout::add_to_linker::<Context, WasiCli>(l, Context::cli)?;
    p2::cli::terminal_stderr::add_to_linker::<Context, WasiCli>(l, Context::cli)?;
    p2::filesystem::preopens::add_to_linker::<Context, WasiFilesystem>(l, Context::filesystem)?;
    p2::filesystem::types::add_to_linker::<Context, WasiFilesystem>(l, Context::filesystem)?;
    p2::sockets::instance_network::add_to_linker::<Context, WasiSockets>(l, Context::sockets)?;
    p2::sockets::ip_name_lookup::add_to_linker::<Context, WasiSockets>(l, Context::sockets)?;
    p2::sockets::network::add_to_linker::<Context, WasiSockets>(
        l,
        &p2::sockets::network::LinkOptions::default(),
        Context::sockets,
    )?;
    p2::sockets::tcp::add_to_linker::<Context, WasiSockets>(l, Context::sockets)?;
    p2::sockets::tcp_create_socket::add_to_linker::<Context, WasiSockets>(l, Context::sockets)?;
    p2::sockets::udp::add_to_linker::<Context, WasiSockets>(l, Context::sockets)?;
    p2::sockets::udp_create_socket::add_to_linker::<Context, WasiSockets>(l, Context::sockets)?;
    Ok(())
}

struct HasIo;

impl HasData for HasIo {
    type Data<'a> = &'a mut wasmtime_wasi::ResourceTable;
}
