//! The one binary: reads the command line, builds a runtime of the right size, and exits with the command's code.

use std::process::ExitCode;

use sandbook::cli::{Cli, Command};

/// Measured beside the system's: the first effect comes earlier and more runs a second end. Without huge pages, which make an
/// idle daemon a third larger.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::from_process();
    if matches!(cli.command, Command::CompileComponent) {
        // Its memory is limited: no threads, no runtime.
        return sandbook::guest::compile_worker();
    }
    let mut runtime = if cli.wants_threads() {
        tokio::runtime::Builder::new_multi_thread()
    } else {
        tokio::runtime::Builder::new_current_thread()
    };
    match runtime.enable_all().build() {
        Ok(runtime) => {
            let code = runtime.block_on(Box::pin(cli.execute()));
            // A blocking read somewhere (stdin, a name lookup) must not keep the process.
            runtime.shutdown_background();
            code
        }
        Err(error) => {
            eprintln!("error: cannot start a runtime: {error}");
            ExitCode::FAILURE
        }
    }
}
