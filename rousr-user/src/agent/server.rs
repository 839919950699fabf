//! The control socket: each connection becomes one call to the event loop.

use std::{
    fs::Permissions, io, os::unix::fs::PermissionsExt as _, os::unix::net::UnixListener as Socket,
    path::Path, time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::protocol::{MAX_LINE, MAX_STREAM, Reply, Request};
use crate::sys::step::step;

/// How long a caller may take to say what it wants, and to take each part of the answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A request on its way to the event loop.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) request: Request,
    /// The hook stream of [`Request::Preserve`], else empty.
    pub(super) stream: Bytes,
    pub(super) reply: oneshot::Sender<Answer>,
}

/// What goes back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) reply: Reply,
    /// What follows the line that is the reply: the object of [`Reply::Holders`], else nothing.
    pub(super) text: Vec<u8>,
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self {
            reply,
            text: Vec::new(),
        }
    }
}

/// Makes a socket that only its owner can connect to, in place of one that a dead agent left.
///
/// # Errors
///
/// Fails where the directory is not writable or the path is no socket.
pub(super) fn bind(path: &Path) -> anyhow::Result<Socket> {
    use std::os::unix::fs::FileTypeExt as _;
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => std::fs::remove_file(path)
            .with_context(|| format!("cannot remove the old socket {}", path.display()))?,
        Ok(_) => bail!("{} exists and is no socket; move it away", path.display()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            return Err(error).with_context(|| format!("cannot look at {}", path.display()));
        }
    }
    let listener = Socket::bind(path).with_context(|| {
        format!(
            "cannot listen on {}; is its directory there?",
            path.display()
        )
    })?;
    std::fs::set_permissions(path, Permissions::from_mode(0o600))
        .with_context(|| format!("cannot restrict {}", path.display()))?;
    Ok(listener)
}

/// Accepts connections until the event loop is gone.
pub(super) async fn serve(listener: UnixListener, calls: mpsc::Sender<Call>) {
    while !calls.is_closed() {
        match listener.accept().await {
            Ok((stream, _)) => {
                let calls = calls.clone();
                tokio::spawn(async move {
                    if let Err(error) = answer(stream, calls).await {
                        tracing::warn!("control connection: {error:#}");
                    }
                });
            }
            // Out of descriptors, as a rule: those who wait are served when one is free.
            Err(error) => {
                tracing::warn!(%error, "cannot accept a control connection");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

async fn answer(mut stream: UnixStream, calls: mpsc::Sender<Call>) -> anyhow::Result<()> {
    let peer = stream.peer_cred().context("cannot tell who asks")?;
    let own = rustix::process::geteuid().as_raw();
    ensure!(
        peer.uid() == own || peer.uid() == 0,
        "refused for user {}",
        peer.uid()
    );
    let request = timeout(PATIENCE, read(&mut stream)).await;
    let Answer { reply, text } = match request.context("it did not come in time").flatten() {
        Ok((request, body)) => call(request, body, &calls).await?,
        Err(error) => Reply::Error(format!("bad request: {error:#}")).into(),
    };
    step("answer");
    let mut line = serde_json::to_vec(&reply).context("cannot write the reply")?;
    line.push(b'\n');
    for part in [line, text] {
        let written = timeout(PATIENCE, stream.write_all(&part)).await;
        written
            .context("the caller does not take its answer")?
            .context("the caller went away")?;
    }
    Ok(())
}

async fn read(stream: &mut UnixStream) -> anyhow::Result<(Request, Bytes)> {
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    (&mut reader)
        .take(MAX_LINE)
        .read_until(b'\n', &mut line)
        .await?;
    ensure!(
        line.ends_with(b"\n"),
        "the first line is cut short or longer than {MAX_LINE} bytes"
    );
    let request = serde_json::from_slice(&line)?;
    let Request::Preserve { length } = request else {
        return Ok((request, Bytes::new()));
    };
    ensure!(
        length <= MAX_STREAM,
        "a stream of {length} bytes is over the limit of {MAX_STREAM}"
    );
    let mut body = BytesMut::zeroed(usize::try_from(length)?);
    reader
        .read_exact(&mut body)
        .await
        .context("the hook stream is cut short")?;
    Ok((request, body.freeze()))
}

async fn call(
    request: Request,
    stream: Bytes,
    calls: &mpsc::Sender<Call>,
) -> anyhow::Result<Answer> {
    let (reply, answer) = oneshot::channel();
    calls
        .send(Call {
            request,
            stream,
            reply,
        })
        .await
        .map_err(|_| anyhow::anyhow!("the agent is shutting down"))?;
    answer.await.context("the agent is shutting down")
}
