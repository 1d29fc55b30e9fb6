//! Programs inside containers, by an exec id that is journaled before it starts.
//!
//! Docker refuses to start one id twice, so a crash between the two calls can never run a program twice. Deliberately
//! not here: ending a program that takes too long; Docker's API cannot, and killing the container is another effect.

use bollard::container::LogOutput;
use bollard::exec::{StartExecOptions, StartExecResults};
use bollard::models::ExecConfig;
use futures::StreamExt;
use sandbook_core::effect::docker::{EXEC_MS_DEFAULT, EXEC_STREAM_BYTES_MAX, Exec, ExecResult};
use sandbook_core::error::Error;

use super::Host;
use super::fault::Trouble;
use crate::driver::Steps;

/// What became of an exec id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecState {
    /// Created, never started: starting it is safe.
    NotStarted,
    /// Still runs.
    Running,
    /// Ended with that code. Its output is gone.
    Ended(i32),
    /// The engine knows no such id: it forgets them with the container and after a while.
    Unknown,
}

impl Host {
    pub(in crate::driver) async fn exec(&self, id: &str, op: &Exec, steps: &dyn Steps) -> Result<ExecResult, Error> {
        let config = ExecConfig {
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(op.argv.clone()),
            user: op.options.user.clone(),
            working_dir: op.options.workdir.clone(),
            ..ExecConfig::default()
        };
        // Creating runs nothing, so its failure is a plain one.
        let created =
            self.docker.create_exec(id, config).await.map_err(|fault| Trouble::from(fault).into_read_error())?;
        steps.step(serde_json::json!({ "exec": created.id, "container": id })).await?;
        let timeout_ms = op.options.timeout_ms.unwrap_or(EXEC_MS_DEFAULT);
        let run = Box::pin(self.run_exec(&created.id));
        match tokio::time::timeout(std::time::Duration::from_millis(timeout_ms), run).await {
            Ok(result) => result,
            Err(_) => Err(Error::timeout(format!(
                "`{}` did not end within {timeout_ms} ms and may still run inside the container (exec {})",
                op.argv[0], created.id
            ))),
        }
    }

    async fn run_exec(&self, exec: &str) -> Result<ExecResult, Error> {
        let lost = |fault| Trouble::from_fault(fault).into_change_error();
        let options = StartExecOptions { detach: false, tty: false, output_capacity: None };
        let started = self.docker.start_exec(exec, Some(options)).await.map_err(lost)?;
        let StartExecResults::Attached { mut output, input } = started else {
            return Err(Error::timeout("docker started the program without attaching; it may still run"));
        };
        drop(input);
        let (mut stdout, mut stderr) = (Capture::default(), Capture::default());
        while let Some(chunk) = output.next().await {
            match chunk.map_err(lost)? {
                LogOutput::StdErr { message } => stderr.push(&message),
                LogOutput::StdOut { message } | LogOutput::Console { message } | LogOutput::StdIn { message } => {
                    stdout.push(&message);
                }
            }
        }
        let ended = self.docker.inspect_exec(exec).await.map_err(lost)?;
        let Some(code) = ended.exit_code.filter(|_| ended.running != Some(true)) else {
            return Err(Error::timeout(format!(
                "the connection to exec {exec} ended before the program did; it may still run"
            )));
        };
        Ok(ExecResult {
            exit_code: i32::try_from(code).unwrap_or(-1),
            truncated: stdout.cut || stderr.cut,
            stdout: stdout.text(),
            stderr: stderr.text(),
        })
    }

    pub(in crate::driver) async fn exec_state(&self, exec: &str) -> Result<ExecState, Error> {
        match self.read(self.docker.inspect_exec(exec)).await {
            Ok(found) if found.running == Some(true) => Ok(ExecState::Running),
            Ok(found) => Ok(match found.exit_code {
                Some(code) => ExecState::Ended(i32::try_from(code).unwrap_or(-1)),
                None => ExecState::NotStarted,
            }),
            Err(Trouble::Told(error)) if error.kind == sandbook_core::error::ErrorKind::NotFound => {
                Ok(ExecState::Unknown)
            }
            Err(trouble) => Err(trouble.into_read_error()),
        }
    }
}

/// The beginning of a stream; the rest is read and dropped, so that the program is not held up by us.
#[derive(Default)]
struct Capture {
    bytes: Vec<u8>,
    cut: bool,
}

impl Capture {
    fn push(&mut self, chunk: &[u8]) {
        let room = EXEC_STREAM_BYTES_MAX - self.bytes.len();
        self.cut |= chunk.len() > room;
        self.bytes.extend_from_slice(&chunk[..chunk.len().min(room)]);
    }

    fn text(self) -> String {
        let mut text = String::from_utf8_lossy(&self.bytes).into_owned();
        // A replacement character takes three bytes where one was.
        sandbook_core::error::truncate_at_char(&mut text, EXEC_STREAM_BYTES_MAX);
        text
    }
}
