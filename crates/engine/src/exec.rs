//! Commands in running containers, their streams attached.
//!
//! Both directions close on their own: shutting [`ExecInput`] down gives the command an end of
//! input while its output goes on, and the output's end does not wait for the input.

use std::pin::Pin;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::exec::{StartExecOptions, StartExecResults};
use bollard::models::ExecConfig;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;

use crate::error::Subject;
use crate::{ContainerReference, DEADLINE, Engine, EngineError};

/// How large one piece of output may be. The engine frames output in pieces of up to 32 KiB.
const OUTPUT_CAPACITY: usize = 64 * 1024;

/// How often the engine is asked whether a command whose output has ended is gone.
const EXIT_POLL: Duration = Duration::from_millis(5);

/// A command to run in a container. Whoever may read the engine's events or the process list sees
/// `argv`: nothing secret belongs in it.
#[derive(Debug, Clone)]
pub struct ExecRequest {
    /// Program and arguments; no shell is involved.
    pub argv: Vec<String>,
    /// `user`, `uid` or `uid:gid`; the container's own when not given.
    pub user: Option<String>,
    /// Whether the command gets an input. Without, it reads an end of file.
    pub stdin: bool,
}

/// The command's input. Shut it down to give an end of file.
pub type ExecInput = Pin<Box<dyn AsyncWrite + Send>>;

/// The command's output until it ends.
pub type ExecOutput = BoxStream<'static, Result<Output, EngineError>>;

/// A piece of output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// From standard output.
    Stdout(Bytes),
    /// From standard error.
    Stderr(Bytes),
}

/// A running command.
pub struct Exec {
    /// Its input.
    pub input: ExecInput,
    /// Its output.
    pub output: ExecOutput,
    /// For its exit code, after the output has ended.
    pub handle: ExecHandle,
}

impl std::fmt::Debug for Exec {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Exec").field("handle", &self.handle).finish_non_exhaustive()
    }
}

/// Stands for a started command.
#[derive(Debug, Clone)]
pub struct ExecHandle {
    engine: Engine,
    id: String,
    container: String,
}

/// What a command that has ended left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// Its exit code. 126 and 127 are also what the engine gives when it could not start it; the
    /// reason is in `stdout` then.
    pub code: i64,
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error.
    pub stderr: Vec<u8>,
}

impl Engine {
    /// Starts a command in a running container.
    ///
    /// # Errors
    /// [`EngineError::NotRunning`], [`EngineError::Paused`], [`EngineError::NoSuchUser`], and as
    /// [`Engine::inspect`].
    pub async fn exec(&self, reference: &str, request: &ExecRequest) -> Result<Exec, EngineError> {
        let reference = ContainerReference::parse(reference)?;
        let subject = match &request.user {
            Some(user) => Subject::User { container: reference.as_str(), user },
            None => Subject::Container(reference.as_str()),
        };
        let config = ExecConfig {
            attach_stdin: Some(request.stdin),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            tty: Some(false),
            cmd: Some(request.argv.clone()),
            user: request.user.clone(),
            ..ExecConfig::default()
        };
        let create = self.docker()?.create_exec(reference.as_str(), config);
        let id = self.within("create exec", subject, create).await?.id;
        let options =
            StartExecOptions { detach: false, tty: false, output_capacity: Some(OUTPUT_CAPACITY) };
        let start = self.docker()?.start_exec(&id, Some(options));
        let started = self.within("start exec", subject, start).await?;
        let StartExecResults::Attached { output, input } = started else {
            let source = "the streams were not attached".into();
            return Err(EngineError::BadAnswer { operation: "start exec", source });
        };
        let output = output
            .map(|piece| match piece {
                Ok(LogOutput::StdErr { message }) => Ok(Output::Stderr(message)),
                Ok(other) => Ok(Output::Stdout(other.into_bytes())),
                Err(source) => {
                    Err(EngineError::BadAnswer { operation: "exec", source: Box::new(source) })
                }
            })
            .boxed();
        let container = reference.as_str().to_owned();
        Ok(Exec { input, output, handle: ExecHandle { engine: self.clone(), id, container } })
    }

    /// Runs a command to its end with `input` as its standard input, within `deadline`, keeping at
    /// most `limit` bytes of its output. (The engine has no way to end a command that overruns;
    /// its streams are closed.)
    ///
    /// # Errors
    /// As [`Engine::exec`], [`EngineError::Deadline`] and [`EngineError::TooMuchOutput`].
    pub async fn run(
        &self,
        reference: &str,
        request: &ExecRequest,
        input: &[u8],
        deadline: Duration,
        limit: usize,
    ) -> Result<Ran, EngineError> {
        let all = async {
            let Exec { input: mut writer, mut output, handle } =
                self.exec(reference, request).await?;
            let feed = async {
                // A command that ends without reading its input is no failure of ours.
                let _ = writer.write_all(input).await;
                let _ = writer.shutdown().await;
                std::future::pending::<()>().await;
            };
            let collect = async {
                let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
                while let Some(piece) = output.next().await {
                    match piece? {
                        Output::Stdout(bytes) => stdout.extend_from_slice(&bytes),
                        Output::Stderr(bytes) => stderr.extend_from_slice(&bytes),
                    }
                    if stdout.len() + stderr.len() > limit {
                        let reference = reference.to_owned();
                        return Err(EngineError::TooMuchOutput { reference, limit });
                    }
                }
                Ok((stdout, stderr))
            };
            let (stdout, stderr) = tokio::select! {
                collected = collect => collected?,
                () = feed => (Vec::new(), Vec::new()),
            };
            let code = handle.exit_code().await?;
            if let (126, Some(user)) = (code, &request.user)
                && stdout.starts_with(b"unable to find user")
            {
                // Once the streams are attached, the engine can say it in no other way.
                let (reference, user) = (reference.to_owned(), user.clone());
                return Err(EngineError::NoSuchUser { reference, user });
            }
            Ok(Ran { code, stdout, stderr })
        };
        match tokio::time::timeout(deadline, all).await {
            Ok(ran) => ran,
            Err(_) => Err(EngineError::Deadline { operation: "exec", url: self.url.to_string() }),
        }
    }
}

impl ExecHandle {
    /// The exit code of a command whose output has ended.
    ///
    /// # Errors
    /// [`EngineError::NotRunning`] when the container went away under it, and
    /// [`EngineError::Deadline`] when the command runs on without its output.
    pub async fn exit_code(&self) -> Result<i64, EngineError> {
        let until = Instant::now() + DEADLINE;
        loop {
            let call = self.engine.docker()?.inspect_exec(&self.id);
            let subject = Subject::Container(&self.container);
            let state = match self.engine.within("inspect exec", subject, call).await {
                Err(EngineError::NoSuchContainer { reference }) => {
                    return Err(EngineError::NotRunning { reference });
                }
                other => other?,
            };
            if let (Some(code), false) = (state.exit_code, state.running.unwrap_or(false)) {
                return Ok(code);
            }
            if Instant::now() >= until {
                let url = self.engine.url.to_string();
                return Err(EngineError::Deadline { operation: "inspect exec", url });
            }
            tokio::time::sleep(EXIT_POLL).await;
        }
    }
}
