//! The stream apt feeds to a `DPkg::Pre-Install-Pkgs` hook.
//!
//! Version 1 is one .deb path a line. Versions 2 and 3 begin with `VERSION n`, then apt's
//! configuration one `Key=value` a line, an empty line, and one line for each action.
//!
//! Source: `pkgDPkgPM::RunScriptsWithPkgs` and `SendPkgsInfo` of apt 3.1.12,
//! <https://salsa.debian.org/apt-team/apt/-/blob/3.1.12/apt-pkg/deb/dpkgpm.cc>.

mod action;
#[cfg(test)]
mod round_trip;
mod setting;
#[cfg(test)]
mod tests;
mod write;

pub use action::{Action, Direction, Kind, MultiArch, Version};
pub use setting::Setting;

use std::fmt;

/// The revision of the hook protocol, chosen by `DPkg::Tools::Options::<program>::Version`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Protocol {
    /// Only the .deb files to unpack: no removals, no versions.
    V1,
    /// Adds the configuration, removals and versions.
    V2,
    /// Adds architectures and multi-arch.
    V3,
}

/// Everything apt says about the transaction that is about to begin.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Stream {
    /// The revision it was written in.
    pub protocol: Protocol,
    /// apt's whole configuration in apt's order; empty in version 1.
    pub settings: Vec<Setting>,
    /// What dpkg will be told to do, in that order.
    pub actions: Vec<Action>,
}

/// A line that is not what the protocol has at its place.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "line {number} of apt's hook stream is `{line}`, not {expected}; \
     run apt with -o Debug::RunScripts=true and report the line"
)]
pub struct BadLine {
    /// Counted from 1.
    pub number: usize,
    /// Its beginning, with what is not UTF-8 replaced.
    pub line: String,
    /// What the protocol has here.
    pub expected: Expected,
}

/// What the protocol has where a [`BadLine`] was.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Expected {
    /// The first line.
    Header,
    /// A line of apt's configuration.
    Setting,
    /// The empty line between configuration and actions.
    EndOfSettings,
    /// The path of a .deb.
    DebPath,
    /// The newline that ends each line.
    Newline,
    /// The named field of an action.
    Field(&'static str),
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header => f.write_str("`VERSION 2`, `VERSION 3` or the absolute path of a .deb"),
            Self::Setting => f.write_str("a setting `Key=value`"),
            Self::EndOfSettings => f.write_str("the empty line that ends the settings"),
            Self::DebPath => f.write_str("the absolute path of a .deb"),
            Self::Newline => f.write_str("ended by a newline: the stream was cut short"),
            Self::Field(name) => write!(f, "an action with a valid {name}"),
        }
    }
}

impl Stream {
    /// Parses a whole stream.
    ///
    /// # Errors
    /// The first line that breaks the protocol.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadLine> {
        let (stream, bad) = Self::parse_lenient(bytes);
        match bad.into_iter().next() {
            None => Ok(stream),
            Some(first) => Err(first),
        }
    }

    /// Parses what can be parsed: a hook that gives up on one bad line would leave the files
    /// of every other package unpreserved.
    pub fn parse_lenient(bytes: &[u8]) -> (Self, Vec<BadLine>) {
        let mut reader = Reader::new(bytes);
        let stream = reader.stream();
        (stream, reader.bad)
    }

    /// The values of a setting; apt compares names without regard to case.
    pub fn setting<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.settings
            .iter()
            .filter(move |setting| setting.key.eq_ignore_ascii_case(key.as_bytes()))
            .map(|setting| setting.value.as_slice())
    }
}

/// Walks the lines, keeps count of them and collects the bad ones.
struct Reader<'a> {
    rest: &'a [u8],
    number: usize,
    bad: Vec<BadLine>,
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            number: 0,
            bad: Vec::new(),
        }
    }

    fn stream(&mut self) -> Stream {
        let Some(protocol) = self.protocol() else {
            return Stream {
                protocol: Protocol::V1,
                settings: Vec::new(),
                actions: Vec::new(),
            };
        };
        let settings = match protocol {
            Protocol::V1 => Vec::new(),
            Protocol::V2 | Protocol::V3 => self.settings(),
        };
        Stream {
            protocol,
            settings,
            actions: self.actions(protocol),
        }
    }

    /// Takes the header, or leaves the first path of version 1, which has none.
    /// Nothing at all is a version 1 stream of a transaction that only removes.
    fn protocol(&mut self) -> Option<Protocol> {
        if matches!(self.rest.first(), None | Some(b'/')) {
            return Some(Protocol::V1);
        }
        match self.next_line()? {
            b"VERSION 2" => Some(Protocol::V2),
            b"VERSION 3" => Some(Protocol::V3),
            other => {
                self.report(other, Expected::Header);
                None
            }
        }
    }

    fn settings(&mut self) -> Vec<Setting> {
        let mut settings = Vec::new();
        while let Some(line) = self.next_line() {
            if line.is_empty() {
                return settings;
            }
            match Setting::parse(line) {
                Some(setting) => settings.push(setting),
                None => self.report(line, Expected::Setting),
            }
        }
        self.number += 1;
        self.report(b"", Expected::EndOfSettings);
        settings
    }

    fn actions(&mut self, protocol: Protocol) -> Vec<Action> {
        let mut actions = Vec::new();
        while let Some(line) = self.next_line() {
            match Action::parse(line, protocol) {
                Ok(action) => actions.push(action),
                Err(expected) => self.report(line, expected),
            }
        }
        actions
    }

    /// The next line without its newline. One that has none is reported and still handed out:
    /// the part that matters may have arrived.
    fn next_line(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        self.number += 1;
        let Some(end) = self.rest.iter().position(|&byte| byte == b'\n') else {
            let line = std::mem::take(&mut self.rest);
            self.report(line, Expected::Newline);
            return Some(line);
        };
        let line = &self.rest[..end];
        self.rest = &self.rest[end + 1..];
        Some(line)
    }

    /// One report a line: a line cut short is not told again for the field it lacks.
    fn report(&mut self, line: &[u8], expected: Expected) {
        if self
            .bad
            .last()
            .is_some_and(|last| last.number == self.number)
        {
            return;
        }
        const SHOWN_BYTES: usize = 200;
        let mut shown = String::from_utf8_lossy(&line[..line.len().min(SHOWN_BYTES)]).into_owned();
        if line.len() > SHOWN_BYTES {
            shown.push('…');
        }
        self.bad.push(BadLine {
            number: self.number,
            line: shown,
            expected,
        });
    }
}
