//! The other end of the control socket, for the hooks and the command line.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use super::protocol::{Reply, Request};

/// How long a caller waits for an answer. A transaction's largest step, the preserving of a
/// release upgrade, takes seconds.
const PATIENCE: Duration = Duration::from_secs(120);

/// Why the agent gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens; the caller does the work itself.
    #[error("the agent is not running; start it with `systemctl start rousr`")]
    NotRunning,
    /// The connection broke or the agent does not answer.
    #[error("the agent does not answer: {0}; see `systemctl status rousr`")]
    Broken(#[from] io::Error),
    /// The answer is not one we know.
    #[error(
        "the agent answered something else than this version expects: {0}; restart it with `systemctl restart rousr`"
    )]
    Unknown(#[from] serde_json::Error),
}

/// Sends one request, followed by `stream`, and waits for the answer.
///
/// # Errors
///
/// Tells a missing agent apart from one that misbehaves.
pub fn call(socket: &Path, request: Request, stream: &[u8]) -> Result<Reply, ClientError> {
    Ok(exchange(socket, request, stream)?.0)
}

/// As [`call`], with the text that follows the answer where one does.
///
/// # Errors
///
/// As `call`.
pub fn call_for_text(socket: &Path, request: Request) -> Result<(Reply, Vec<u8>), ClientError> {
    let (reply, mut connection) = exchange(socket, request, b"")?;
    let mut text = Vec::new();
    if let Reply::Holders(told) = &reply {
        text.resize(told.length, 0);
        connection.read_exact(&mut text)?;
    }
    Ok((reply, text))
}

fn exchange(
    socket: &Path,
    request: Request,
    stream: &[u8],
) -> Result<(Reply, BufReader<UnixStream>), ClientError> {
    let mut connection = UnixStream::connect(socket).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ClientError::NotRunning,
        _ => ClientError::Broken(error),
    })?;
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.set_write_timeout(Some(PATIENCE))?;
    let mut message = serde_json::to_vec(&request)?;
    message.push(b'\n');
    message.extend_from_slice(stream);
    connection.write_all(&message)?;
    let mut connection = BufReader::new(connection);
    let mut line = Vec::new();
    connection.read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Err(ClientError::Broken(io::ErrorKind::UnexpectedEof.into()));
    }
    Ok((serde_json::from_slice(&line)?, connection))
}

#[cfg(test)]
mod tests {
    use std::{os::unix::net::UnixListener, thread};

    use super::*;

    #[test]
    fn a_missing_agent_is_told_apart() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let socket = dir.path().join("control.sock");
        let absent = call(&socket, Request::Status, b"");
        assert!(matches!(absent, Err(ClientError::NotRunning)), "{absent:?}");

        drop(UnixListener::bind(&socket).expect("a socket"));
        let dead = call(&socket, Request::Status, b"");
        assert!(matches!(dead, Err(ClientError::NotRunning)), "{dead:?}");
    }

    #[test]
    fn an_agent_that_hangs_up_or_talks_nonsense_is_an_error() {
        for answer in [&b""[..], b"hello\n"] {
            let dir = tempfile::tempdir().expect("a temporary directory");
            let socket = dir.path().join("control.sock");
            let listener = UnixListener::bind(&socket).expect("a socket");
            let agent = thread::spawn(move || {
                let (mut connection, _) = listener.accept().expect("a connection");
                let mut line = String::new();
                BufReader::new(&connection)
                    .read_line(&mut line)
                    .expect("a request");
                connection.write_all(answer).expect("an answer");
                line
            });
            let result = call(&socket, Request::Finish, b"");
            assert!(
                matches!(
                    result,
                    Err(ClientError::Broken(_) | ClientError::Unknown(_))
                ),
                "{result:?}"
            );
            assert_eq!(
                agent.join().expect("the agent's thread"),
                "{\"method\":\"finish\"}\n"
            );
        }
    }
}
