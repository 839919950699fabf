//! What the hooks and the command line say to the agent, and what it answers.
//!
//! One request a connection: a line of JSON, followed by as many raw bytes as it announces, and
//! one line of JSON back. Described for other programs in docs/control.md.

use serde::{Deserialize, Serialize};

use super::{
    holders::{Format, Scope},
    status::Status,
    verification::Verification,
};
use crate::{
    track::survey::Source,
    transaction::{Frontend, Opener, Outcome},
};

/// Where the agent listens.
pub const SOCKET: &str = "/run/rousr/control.sock";

/// The longest first line.
pub const MAX_LINE: u64 = 4096;

/// The longest hook stream taken: apt's configuration and a line for each package, which is
/// some hundred kilobytes for a release upgrade.
pub const MAX_STREAM: u64 = 64 << 20;

/// A request's first line.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "method", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// A transaction begins: make the volume writable.
    Begin {
        /// By whom; without it, by hand.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        frontend: Option<Frontend>,
    },
    /// Keep the files that the following hook stream is about to replace or remove.
    Preserve {
        /// The stream's length in bytes.
        length: u64,
    },
    /// The transaction is over: settle the holds and seal.
    Finish {
        /// For whom; without it, for all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        frontend: Option<Frontend>,
    },
    /// Make the volume writable for this opener, and keep the files that are in use.
    Open(Opener),
    /// What this opener wanted is done: with the last one settle the holds and seal.
    Close(Opener),
    /// Tell the state of everything.
    Status,
    /// Compare what is counted with what the kernel knows.
    Verify,
    /// Tell who uses what.
    Holders {
        /// Which inodes.
        of: Scope,
        /// How.
        #[serde(default, rename = "as")]
        format: Format,
    },
}

/// The answer.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Reply {
    /// A step of a transaction is done.
    Done(Outcome),
    /// The state of everything.
    Status(Box<Status>),
    /// What is counted and what the kernel knows.
    Verified(Verification),
    /// Who uses what: a text, such as [`Holders`](super::holders::Holders) in JSON, follows the line.
    /// It can be megabytes, which `rousr holders` passes on unread.
    Holders(Told),
    /// The request failed; the text says why and what to do.
    Error(String),
}

/// What is to be known of a [`Reply::Holders`] without reading it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Told {
    /// How they were found.
    pub source: Source,
    /// Number of processes.
    pub processes: usize,
    /// What could not be told.
    pub warnings: Vec<String>,
    /// The text's length in bytes.
    pub length: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_read_as_documented() {
        let table = [
            (r#"{"method":"begin"}"#, Request::Begin { frontend: None }),
            (
                r#"{"method":"begin","frontend":{"pid":7,"started":8}}"#,
                Request::Begin {
                    frontend: Some(Frontend {
                        pid: 7,
                        started: 8,
                        locks_later: false,
                    }),
                },
            ),
            (
                r#"{"method":"begin","frontend":{"pid":7,"started":8,"locksLater":true}}"#,
                Request::Begin {
                    frontend: Some(Frontend {
                        pid: 7,
                        started: 8,
                        locks_later: true,
                    }),
                },
            ),
            (
                r#"{"method":"preserve","length":17}"#,
                Request::Preserve { length: 17 },
            ),
            (r#"{"method":"finish"}"#, Request::Finish { frontend: None }),
            (
                r#"{"method":"open","for":"administrator","until":7}"#,
                Request::Open(Opener::Administrator { until: Some(7) }),
            ),
            (
                r#"{"method":"close","for":"command","pid":7,"started":8}"#,
                Request::Close(Opener::Command { pid: 7, started: 8 }),
            ),
            (r#"{"method":"status"}"#, Request::Status),
            (r#"{"method":"verify"}"#, Request::Verify),
            (
                r#"{"method":"holders","of":"held","as":"json"}"#,
                Request::Holders {
                    of: Scope::Held,
                    format: Format::Json,
                },
            ),
            (
                r#"{"method":"holders","of":{"inode":7},"as":"table"}"#,
                Request::Holders {
                    of: Scope::Inode(7),
                    format: Format::Table,
                },
            ),
        ];
        for (line, request) in table {
            assert_eq!(serde_json::from_str::<Request>(line).expect(line), request);
            assert_eq!(serde_json::to_string(&request).expect(line), line);
        }
        let holders = r#"{"method":"holders","of":"all"}"#;
        assert_eq!(
            serde_json::from_str::<Request>(holders).expect(holders),
            Request::Holders {
                of: Scope::All,
                format: Format::Json
            }
        );
    }

    #[test]
    fn anything_else_is_refused() {
        for line in [
            "",
            "{}",
            r#"{"method":"format"}"#,
            r#"{"method":"preserve"}"#,
            r#"{"method":"holders"}"#,
            r#"{"method":"holders","of":"none"}"#,
            "\u{0}",
        ] {
            assert!(serde_json::from_str::<Request>(line).is_err(), "{line:?}");
        }
    }
}
