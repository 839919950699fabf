//! What apt and the administrator tell a hook through its environment.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _};

/// A hook's environment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Environment {
    /// Where the stream is: `InfoFD` of the hook's options, 0 (standard input) by default.
    pub info_fd: u32,
    /// Whether apt itself holds dpkg's frontend lock, which stays locked until all is over.
    pub frontend_locked: bool,
    /// Why this hook shall do nothing.
    pub opt_out: Option<OptOut>,
}

/// An administrator's wish to leave /usr as it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OptOut {
    /// `ROUSR_SKIP=1`.
    RousrSkip,
    /// `NO_APT_REMOUNT=yes`, as known from other remounting hooks.
    NoAptRemount,
}

/// Why the environment or the stream it names is of no use.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `APT_HOOK_INFO_FD` is not a number.
    #[error(
        "APT_HOOK_INFO_FD is {0:?}, not the number of a file descriptor: \
         see DPkg::Tools::Options in apt's configuration"
    )]
    InfoFd(OsString),
    /// The descriptor is not open, or cannot be read.
    #[error(
        "cannot read apt's hook stream from descriptor {fd}: {source}; \
         Version and InfoFD in apt's configuration belong to the first word of the hook"
    )]
    Stream {
        /// The descriptor's number.
        fd: u32,
        /// Why it failed.
        source: io::Error,
    },
}

impl Environment {
    /// Reads the variables through `var`, which is [`std::env::var_os`] except in tests.
    ///
    /// # Errors
    /// `APT_HOOK_INFO_FD` is set, but is no number.
    pub fn read(var: impl Fn(&str) -> Option<OsString>) -> Result<Self, Error> {
        let is = |name: &str, wanted: &str| var(name).as_deref() == Some(OsStr::new(wanted));
        let opt_out = if is("ROUSR_SKIP", "1") {
            Some(OptOut::RousrSkip)
        } else if is("NO_APT_REMOUNT", "yes") {
            Some(OptOut::NoAptRemount)
        } else {
            None
        };
        Ok(Self {
            info_fd: info_fd(var("APT_HOOK_INFO_FD"))?,
            frontend_locked: var("DPKG_FRONTEND_LOCKED").is_some_and(|value| !value.is_empty()),
            opt_out,
        })
    }

    /// Reads apt's whole stream. apt waits for the hook and closes its own end first, so the
    /// end of the stream comes.
    ///
    /// # Errors
    /// The descriptor is not open for reading.
    pub fn read_stream(&self) -> Result<Vec<u8>, Error> {
        let failed = |source| Error::Stream {
            fd: self.info_fd,
            source,
        };
        // Opening a pipe through /proc is a safe way to take over a descriptor known only by
        // its number.
        let mut pipe = File::open(format!("/proc/self/fd/{}", self.info_fd)).map_err(failed)?;
        let mut stream = Vec::new();
        pipe.read_to_end(&mut stream).map_err(failed)?;
        Ok(stream)
    }
}

fn info_fd(value: Option<OsString>) -> Result<u32, Error> {
    let Some(value) = value else { return Ok(0) };
    match value.to_str().and_then(|number| number.parse().ok()) {
        Some(fd) => Ok(fd),
        None => Err(Error::InfoFd(value)),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::fd::AsRawFd as _;

    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Environment, Error> {
        let variables = variables.to_vec();
        Environment::read(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn reads_what_apt_and_the_administrator_set() {
        type Case = (
            &'static [(&'static str, &'static str)],
            u32,
            bool,
            Option<OptOut>,
        );
        let cases: [Case; 6] = [
            (&[], 0, false, None),
            (
                &[("APT_HOOK_INFO_FD", "20"), ("DPKG_FRONTEND_LOCKED", "true")],
                20,
                true,
                None,
            ),
            (&[("ROUSR_SKIP", "1")], 0, false, Some(OptOut::RousrSkip)),
            (
                &[("ROUSR_SKIP", "0"), ("NO_APT_REMOUNT", "no")],
                0,
                false,
                None,
            ),
            (
                &[("NO_APT_REMOUNT", "yes")],
                0,
                false,
                Some(OptOut::NoAptRemount),
            ),
            (&[("DPKG_FRONTEND_LOCKED", "")], 0, false, None),
        ];
        for (variables, info_fd, frontend_locked, opt_out) in cases {
            let expected = Environment {
                info_fd,
                frontend_locked,
                opt_out,
            };
            assert_eq!(read(variables).unwrap(), expected, "{variables:?}");
        }
    }

    #[test]
    fn refuses_a_descriptor_that_is_none() {
        for value in ["", "x", "-1", "3.0"] {
            let error = read(&[("APT_HOOK_INFO_FD", value)]).unwrap_err();
            assert!(
                error
                    .to_string()
                    .starts_with(&format!("APT_HOOK_INFO_FD is {value:?}"))
            );
        }
    }

    #[test]
    fn reads_a_pipe_to_its_end() {
        let (reader, mut writer) = io::pipe().unwrap();
        let info_fd = u32::try_from(reader.as_raw_fd()).unwrap();
        let environment = Environment {
            info_fd,
            frontend_locked: true,
            opt_out: None,
        };
        // More than a pipe holds, so that the reading overlaps the writing as it does under apt.
        let sent = vec![b'x'; 200_000];
        let writing = std::thread::spawn({
            let sent = sent.clone();
            move || writer.write_all(&sent).unwrap()
        });
        let received = environment.read_stream().unwrap();
        writing.join().unwrap();
        assert!(received == sent);
    }

    #[test]
    fn reads_a_pipe_whose_writer_has_gone() {
        let (reader, writer) = io::pipe().unwrap();
        drop(writer);
        let info_fd = u32::try_from(reader.as_raw_fd()).unwrap();
        let environment = Environment {
            info_fd,
            frontend_locked: true,
            opt_out: None,
        };
        assert_eq!(environment.read_stream().unwrap(), b"");
    }

    #[test]
    fn names_a_descriptor_that_is_not_open() {
        let environment = Environment {
            info_fd: 99_999,
            frontend_locked: false,
            opt_out: None,
        };
        let error = environment.read_stream().unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("cannot read apt's hook stream from descriptor 99999")
        );
    }
}
