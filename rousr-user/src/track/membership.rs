//! What a process belongs to, by its control group: a systemd unit, a container.

use std::{ffi::OsStr, fs, io, os::unix::ffi::OsStrExt as _};

use super::container;

/// What a process belongs to, by its control group.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Membership {
    /// The systemd unit.
    pub unit: Option<Unit>,
    /// The container.
    pub container: Option<String>,
}

/// A systemd unit.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Unit {
    /// Such as `ssh.service`, with systemd's escapes as they are.
    pub name: String,
    /// The user whose manager runs it; `None` is the system's manager.
    pub user: Option<u32>,
}

impl Membership {
    /// By the content of /proc/PID/cgroup: the unified hierarchy's line, else that of systemd's own
    /// hierarchy of version 1.
    pub fn of_text(text: &[u8]) -> Self {
        const UNIFIED: &[u8] = b"";
        const SYSTEMD: &[u8] = b"name=systemd";
        [UNIFIED, SYSTEMD]
            .into_iter()
            .filter_map(|controllers| path_of(text, controllers))
            .map(Self::of_path)
            .find(|found| found.unit.is_some() || found.container.is_some())
            .unwrap_or_default()
    }

    /// By the path of a control group.
    pub fn of_path(path: &[u8]) -> Self {
        Self {
            unit: unit_of_path(path),
            container: container::of_path(path),
        }
    }

    /// By /proc.
    ///
    /// # Errors
    /// It has ended.
    pub fn of_process(pid: u32) -> io::Result<Self> {
        Ok(Self::of_text(&fs::read(format!("/proc/{pid}/cgroup"))?))
    }
}

/// The path in the line `hierarchy:controllers:path` of these controllers.
fn path_of<'a>(text: &'a [u8], controllers: &[u8]) -> Option<&'a [u8]> {
    text.split(|&byte| byte == b'\n').find_map(|line| {
        let mut fields = line.splitn(3, |&byte| byte == b':').skip(1);
        (fields.next()? == controllers).then(|| fields.next())?
    })
}

/// The first unit of a control group's path that is no slice; what is below belongs to it. The
/// service of a user's manager is looked into. Source: systemd's `cg_path_get_unit` and
/// `cg_path_get_user_unit` in src/basic/cgroup-util.c.
fn unit_of_path(path: &[u8]) -> Option<Unit> {
    let mut units = path
        .split(|&byte| byte == b'/')
        .filter(|name| is_no_slice(name));
    let first = units.next()?;
    if let Some(user) = user_of_manager(first)
        && let Some(second) = units.next()
        // A user's manager itself runs in init.scope: to restart it means to restart its service.
        && second != b"init.scope"
    {
        return Some(Unit {
            name: lossy(second),
            user: Some(user),
        });
    }
    Some(Unit {
        name: lossy(first),
        user: None,
    })
}

/// Whether a component of a path names a unit that has processes of its own.
fn is_no_slice(name: &[u8]) -> bool {
    const KINDS: [&[u8]; 5] = [b"service", b"scope", b"socket", b"mount", b"swap"];
    let dot = name.iter().rposition(|&byte| byte == b'.');
    dot.is_some_and(|dot| dot > 0 && KINDS.contains(&&name[dot + 1..]))
}

/// The user whose manager this unit is: `user@N.service`.
pub fn user_of_manager(name: &[u8]) -> Option<u32> {
    let user = name.strip_prefix(b"user@")?.strip_suffix(b".service")?;
    str::from_utf8(user).ok()?.parse().ok()
}

fn lossy(name: &[u8]) -> String {
    OsStr::from_bytes(name).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn finds_the_unit() {
        let cases = [
            (
                "0::/system.slice/ssh.service\n",
                Some(("ssh.service", None)),
            ),
            ("0::/init.scope\n", Some(("init.scope", None))),
            (
                "0::/user.slice/user-0.slice/session-3.scope\n",
                Some(("session-3.scope", None)),
            ),
            (
                "0::/user.slice/user-1000.slice/user@1000.service/app.slice/x.service\n",
                Some(("x.service", Some(1000))),
            ),
            (
                "0::/user.slice/user-1000.slice/user@1000.service/init.scope\n",
                Some(("user@1000.service", None)),
            ),
            (
                "0::/user.slice/user-1000.slice/user@1000.service\n",
                Some(("user@1000.service", None)),
            ),
            (
                r"0::/system.slice/system-getty.slice/getty@tty1.service",
                Some(("getty@tty1.service", None)),
            ),
            (
                "0::/system.slice/system-x\\x2dy.slice/x\\x2dy@1.service\n",
                Some(("x\\x2dy@1.service", None)),
            ),
            (
                "0::/system.slice/a.service/payload/b.service\n",
                Some(("a.service", None)),
            ),
            (
                "0::/../../system.slice/a.service\n",
                Some(("a.service", None)),
            ),
            (
                "0::/machine.slice/x.scope/init.scope\n",
                Some(("x.scope", None)),
            ),
            (
                "12:pids:/a.service\n1:name=systemd:/system.slice/b.service\n0::/\n",
                Some(("b.service", None)),
            ),
            ("12:pids:/a.service\n", None),
            ("0::/system.slice\n", None),
            ("0::/.service\n", None),
            ("0::/\n", None),
            ("", None),
        ];
        for (cgroup, expected) in cases {
            let found = Membership::of_text(cgroup.as_bytes()).unit;
            let found = found.as_ref().map(|unit| (unit.name.as_str(), unit.user));
            assert_eq!(found, expected, "{cgroup:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Membership::of_text(&bytes);
            let _ = Membership::of_text(&[b"0::", bytes.as_slice()].concat());
        }
    }
}
