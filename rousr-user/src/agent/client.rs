//! The other end of the control socket, for the hooks and the command line.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use super::{
    holders::{Format, Scope},
    protocol::{Reply, Request, SOCKET, Told},
    status::Status,
    verification::Verification,
};
use crate::{
    sys::step::step,
    transaction::{Frontend, Opener, Outcome},
};

/// How long a caller waits for an answer. A transaction's largest step, the preserving of a
/// release upgrade, takes seconds.
const PATIENCE: Duration = Duration::from_secs(120);

/// Why the agent gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens; the caller does the work itself.
    #[error("the agent is not running; start it with `systemctl start rousr`")]
    NotRunning,
    /// The socket is root's.
    #[error("only root may ask the agent; run it as root")]
    Forbidden,
    /// The connection broke or the agent does not answer.
    #[error("the agent does not answer: {0}; see `systemctl status rousr`")]
    Broken(#[from] io::Error),
    /// The answer is not one we know.
    #[error(
        "the agent answered something else than this version expects: {0}; restart it with `systemctl restart rousr`"
    )]
    Unknown(#[from] serde_json::Error),
    /// The answer is one to another request.
    #[error("the agent answered another question; restart it with `systemctl restart rousr`")]
    Other,
    /// The agent failed, and says why.
    #[error("{0}")]
    Failed(String),
}

/// Asks the agent at its socket.
#[derive(Clone, Copy, Debug)]
pub struct Client<'p> {
    socket: &'p Path,
}

impl Default for Client<'_> {
    fn default() -> Self {
        Self::at(Path::new(SOCKET))
    }
}

/// Every question fails with a [`ClientError`], which tells a missing agent apart.
impl<'p> Client<'p> {
    /// For an agent that listens at `socket`.
    pub fn at(socket: &'p Path) -> Self {
        Self { socket }
    }

    /// Has a transaction begun: makes the volume writable.
    pub fn begin(self, frontend: Option<Frontend>) -> Result<Outcome, ClientError> {
        self.step(Request::Begin { frontend }, b"")
    }

    /// Has the files kept that the hook stream announces to be replaced or removed.
    pub fn preserve(self, stream: &[u8]) -> Result<Outcome, ClientError> {
        let length = stream.len() as u64;
        self.step(Request::Preserve { length }, stream)
    }

    /// Has a transaction ended: settles the holds and seals.
    pub fn finish(self, frontend: Option<Frontend>) -> Result<Outcome, ClientError> {
        self.step(Request::Finish { frontend }, b"")
    }

    /// Has the volume made writable, and the files kept that are in use.
    pub fn open(self, opener: Opener) -> Result<Outcome, ClientError> {
        self.step(Request::Open(opener), b"")
    }

    /// Tells that this opener is done.
    pub fn close(self, opener: Opener) -> Result<Outcome, ClientError> {
        self.step(Request::Close(opener), b"")
    }

    /// The state of everything.
    pub fn status(self) -> Result<Status, ClientError> {
        match exchange(self.socket, Request::Status, b"")?.0 {
            Reply::Status(status) => Ok(*status),
            other => Err(unexpected(other)),
        }
    }

    /// What is counted beside what the kernel knows.
    pub fn verify(self) -> Result<Verification, ClientError> {
        match exchange(self.socket, Request::Verify, b"")?.0 {
            Reply::Verified(verification) => Ok(verification),
            other => Err(unexpected(other)),
        }
    }

    /// Who uses what, as text.
    pub fn holders(self, of: Scope, format: Format) -> Result<(Told, Vec<u8>), ClientError> {
        let request = Request::Holders { of, format };
        let (reply, mut connection) = exchange(self.socket, request, b"")?;
        let Reply::Holders(told) = reply else {
            return Err(unexpected(reply));
        };
        let mut text = vec![0; told.length];
        connection.read_exact(&mut text)?;
        Ok((told, text))
    }

    fn step(self, request: Request, stream: &[u8]) -> Result<Outcome, ClientError> {
        match exchange(self.socket, request, stream)?.0 {
            Reply::Done(outcome) => Ok(outcome),
            other => Err(unexpected(other)),
        }
    }
}

fn unexpected(reply: Reply) -> ClientError {
    match reply {
        Reply::Error(why) => ClientError::Failed(why),
        Reply::Done(_) | Reply::Status(_) | Reply::Verified(_) | Reply::Holders(_) => {
            ClientError::Other
        }
    }
}

fn exchange(
    socket: &Path,
    request: Request,
    stream: &[u8],
) -> Result<(Reply, BufReader<UnixStream>), ClientError> {
    let mut connection = UnixStream::connect(socket).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ClientError::NotRunning,
        io::ErrorKind::PermissionDenied => ClientError::Forbidden,
        _ => ClientError::Broken(error),
    })?;
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.set_write_timeout(Some(PATIENCE))?;
    let mut message = serde_json::to_vec(&request)?;
    message.push(b'\n');
    message.extend_from_slice(stream);
    step("ask the agent");
    connection.write_all(&message)?;
    step("hear the agent");
    let mut connection = BufReader::new(connection);
    let mut line = Vec::new();
    connection.read_until(b'\n', &mut line)?;
    step("tell what the agent said");
    if !line.ends_with(b"\n") {
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
        let absent = Client::at(&socket).status();
        assert!(matches!(absent, Err(ClientError::NotRunning)), "{absent:?}");

        drop(UnixListener::bind(&socket).expect("a socket"));
        let dead = Client::at(&socket).status();
        assert!(matches!(dead, Err(ClientError::NotRunning)), "{dead:?}");
    }

    #[test]
    fn an_agent_that_does_not_answer_the_question_is_an_error() {
        type Expected = fn(&ClientError) -> bool;
        let table: [(&[u8], Expected); 5] = [
            (b"", |error| matches!(error, ClientError::Broken(_))),
            (b"{\"error\":\"cut", |error| {
                matches!(error, ClientError::Broken(_))
            }),
            (b"hello\n", |error| matches!(error, ClientError::Unknown(_))),
            (
                b"{\"verified\":{\"inodes\":[],\"differences\":[]}}\n",
                |error| matches!(error, ClientError::Other),
            ),
            (
                b"{\"error\":\"no\"}\n",
                |error| matches!(error, ClientError::Failed(why) if why == "no"),
            ),
        ];
        for (answer, expected) in table {
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
            let error = Client::at(&socket).finish(None).expect_err("no outcome");
            assert!(expected(&error), "{error:?}");
            assert_eq!(
                agent.join().expect("the agent's thread"),
                "{\"method\":\"finish\"}\n"
            );
        }
    }
}
