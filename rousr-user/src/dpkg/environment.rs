//! What apt, dpkg and the administrator tell a hook through its environment.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _};

/// A hook's environment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Environment {
    /// Where the stream is: `InfoFD` of the hook's options, standard input by default.
    pub info_fd: Option<OsString>,
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

/// What dpkg tells its own hooks of itself (`run_invoke_hooks` in its src/main/main.c), and what it was told.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Invocation {
    /// dpkg's name for its action.
    pub action: String,
    /// Whether it installs to another system than this one.
    pub is_elsewhere: bool,
    /// Whether a frontend has taken dpkg's lock for it.
    pub is_locked: bool,
}

impl Invocation {
    /// Reads the variables through `var`, which is [`std::env::var_os`] except in tests.
    pub fn read(var: impl Fn(&str) -> Option<OsString>) -> Self {
        let action = var("DPKG_HOOK_ACTION").unwrap_or_default();
        let root = var("DPKG_ROOT").unwrap_or_default();
        Self {
            action: action.to_string_lossy().into_owned(),
            is_elsewhere: !root.is_empty() && root != "/",
            is_locked: var("DPKG_FRONTEND_LOCKED").is_some(),
        }
    }
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
    pub fn read(var: impl Fn(&str) -> Option<OsString>) -> Self {
        let is = |name: &str, wanted: &str| var(name).as_deref() == Some(OsStr::new(wanted));
        let opt_out = if is("ROUSR_SKIP", "1") {
            Some(OptOut::RousrSkip)
        } else if is("NO_APT_REMOUNT", "yes") {
            Some(OptOut::NoAptRemount)
        } else {
            None
        };
        Self {
            info_fd: var("APT_HOOK_INFO_FD"),
            opt_out,
        }
    }

    /// Reads apt's whole stream. apt waits for the hook and closes its own end first, so the
    /// end of the stream comes.
    ///
    /// # Errors
    /// `APT_HOOK_INFO_FD` is no number, or the descriptor is not open for reading.
    pub fn read_stream(&self) -> Result<Vec<u8>, Error> {
        let fd = info_fd(self.info_fd.as_deref())?;
        let failed = |source| Error::Stream { fd, source };
        // Opening a pipe through /proc is a safe way to take over a descriptor known only by
        // its number.
        let mut pipe = File::open(format!("/proc/self/fd/{fd}")).map_err(failed)?;
        let mut stream = Vec::new();
        pipe.read_to_end(&mut stream).map_err(failed)?;
        Ok(stream)
    }
}

fn info_fd(value: Option<&OsStr>) -> Result<u32, Error> {
    let Some(value) = value else { return Ok(0) };
    match value.to_str().and_then(|number| number.parse().ok()) {
        Some(fd) => Ok(fd),
        None => Err(Error::InfoFd(value.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::fd::AsRawFd as _;

    use super::*;

    fn of<'a>(variables: &'a [(&str, &str)]) -> impl Fn(&str) -> Option<OsString> + 'a {
        |name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| OsString::from(value))
        }
    }

    fn read(variables: &[(&str, &str)]) -> Environment {
        Environment::read(of(variables))
    }

    fn of_descriptor(number: i32) -> Environment {
        read(&[("APT_HOOK_INFO_FD", &number.to_string())])
    }

    #[test]
    fn reads_what_apt_and_the_administrator_set() {
        type Case = (&'static [(&'static str, &'static str)], u32, Option<OptOut>);
        let cases: [Case; 5] = [
            (&[], 0, None),
            (&[("APT_HOOK_INFO_FD", "20")], 20, None),
            (&[("ROUSR_SKIP", "1")], 0, Some(OptOut::RousrSkip)),
            (&[("ROUSR_SKIP", "0"), ("NO_APT_REMOUNT", "no")], 0, None),
            (&[("NO_APT_REMOUNT", "yes")], 0, Some(OptOut::NoAptRemount)),
        ];
        for (variables, number, opt_out) in cases {
            let environment = read(variables);
            assert_eq!(environment.opt_out, opt_out, "{variables:?}");
            let found = info_fd(environment.info_fd.as_deref()).unwrap();
            assert_eq!(found, number, "{variables:?}");
        }
    }

    #[test]
    fn reads_what_dpkg_says_of_itself() {
        let install = |is_elsewhere, is_locked| Invocation {
            action: "install".to_owned(),
            is_elsewhere,
            is_locked,
        };
        let action = ("DPKG_HOOK_ACTION", "install");
        for (variables, expected) in [
            (&[][..], Invocation::default()),
            (&[action], install(false, false)),
            (&[action, ("DPKG_ROOT", "")], install(false, false)),
            (&[action, ("DPKG_ROOT", "/")], install(false, false)),
            (&[action, ("DPKG_ROOT", "/mnt")], install(true, false)),
            (
                &[action, ("DPKG_FRONTEND_LOCKED", "true")],
                install(false, true),
            ),
        ] {
            assert_eq!(Invocation::read(of(variables)), expected, "{variables:?}");
        }
    }

    /// Only the hook that reads the stream minds.
    #[test]
    fn refuses_a_descriptor_that_is_none() {
        for value in ["", "x", "-1", "3.0"] {
            let environment = read(&[("APT_HOOK_INFO_FD", value), ("ROUSR_SKIP", "1")]);
            assert_eq!(environment.opt_out, Some(OptOut::RousrSkip));
            let error = environment.read_stream().unwrap_err();
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
        let environment = of_descriptor(reader.as_raw_fd());
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
        let environment = of_descriptor(reader.as_raw_fd());
        assert_eq!(environment.read_stream().unwrap(), b"");
    }

    #[test]
    fn names_a_descriptor_that_is_not_open() {
        let environment = of_descriptor(99_999);
        let error = environment.read_stream().unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("cannot read apt's hook stream from descriptor 99999")
        );
    }
}
