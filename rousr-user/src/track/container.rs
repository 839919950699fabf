//! The container that a control group belongs to, by the names that container managers give.

/// What stands before a container's name or identifier in the name of its control group, and what
/// behind it. Sources: `runc` and `crun` (systemd cgroup driver, `prefix-ID.scope`), Podman
/// (`libpod`), `lxc.payload`, systemd-machined (`machine-NAME.scope`), `systemd-nspawn@.service`.
const NAMES: [(&[u8], &[u8]); 7] = [
    (b"docker-", b".scope"),
    (b"libpod-", b".scope"),
    (b"cri-containerd-", b".scope"),
    (b"crio-", b".scope"),
    (b"machine-", b".scope"),
    (b"systemd-nspawn@", b".service"),
    (b"lxc.payload.", b""),
];

/// Groups whose subgroups are named by containers' identifiers, where systemd has no part in it.
const PARENTS: [&[u8]; 2] = [b"docker", b"lxc"];

/// What systemd-nspawn calls the group of what it runs, in a scope of the machine's name where it does
/// not register that with machined.
const PAYLOAD: &[u8] = b"payload";

/// The innermost container in the path of a control group, by name or identifier; what is not UTF-8
/// is replaced.
pub(super) fn of_path(path: &[u8]) -> Option<String> {
    let mut container = None;
    let mut parent: &[u8] = b"";
    for name in path.split(|&byte| byte == b'/') {
        if let Some(found) = of_name(name).or_else(|| of_parent(parent, name)) {
            container = Some(found);
        }
        parent = name;
    }
    container.map(|name| String::from_utf8_lossy(&name).into_owned())
}

fn of_name(name: &[u8]) -> Option<Vec<u8>> {
    NAMES.iter().find_map(|(before, behind)| {
        let found = name.strip_prefix(*before)?.strip_suffix(*behind)?;
        // The monitor of a container stands outside of it.
        let is_monitor = found.starts_with(b"conmon-");
        (!found.is_empty() && !is_monitor).then(|| unescape(found))
    })
}

fn of_parent(parent: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    if name == PAYLOAD && of_name(parent).is_none() {
        return parent.strip_suffix(b".scope").map(unescape);
    }
    (PARENTS.contains(&parent) && !name.is_empty()).then(|| name.to_vec())
}

/// systemd writes any byte that a unit's name may not have as `\xNN`.
fn unescape(name: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((&byte, after)) = rest.split_first() {
        let escaped = after
            .strip_prefix(b"x")
            .and_then(|code| code.split_at_checked(2));
        let code =
            escaped.and_then(|(code, _)| u8::from_str_radix(str::from_utf8(code).ok()?, 16).ok());
        match (byte, code, escaped) {
            (b'\\', Some(code), Some((_, after))) => {
                plain.push(code);
                rest = after;
            }
            _ => {
                plain.push(byte);
                rest = after;
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_manager_has_its_names() {
        let cases = [
            ("/system.slice/docker-0123abcd.scope", Some("0123abcd")),
            ("/docker/0123abcd", Some("0123abcd")),
            (
                "/machine.slice/libpod-0123abcd.scope/container",
                Some("0123abcd"),
            ),
            ("/machine.slice/libpod-conmon-0123abcd.scope", None),
            (
                "/kubepods.slice/kubepods-pod1.slice/cri-containerd-0123abcd.scope",
                Some("0123abcd"),
            ),
            ("/kubepods.slice/crio-0123abcd.scope", Some("0123abcd")),
            ("/kubepods.slice/crio-conmon-0123abcd.scope", None),
            ("/lxc.payload.web/system.slice/x.service", Some("web")),
            ("/lxc.monitor.web", None),
            ("/lxc/web", Some("web")),
            ("/machine.slice/machine-web.scope", Some("web")),
            ("/machine.slice/machine-web.scope/payload", Some("web")),
            ("/machine.slice/web.scope/payload", Some("web")),
            ("/machine.slice/web.scope/supervisor", None),
            (
                r"/machine.slice/machine-qemu\x2d1\x2dweb.scope/libvirt",
                Some("qemu-1-web"),
            ),
            (
                r"/machine.slice/systemd-nspawn@a\x2db.service/payload",
                Some("a-b"),
            ),
            (
                "/lxc.payload.outer/system.slice/docker-inner.scope",
                Some("inner"),
            ),
            ("/system.slice/docker.service", None),
            ("/system.slice/docker-.scope", None),
            ("/docker/", None),
            ("/", None),
            ("", None),
        ];
        for (path, expected) in cases {
            assert_eq!(of_path(path.as_bytes()).as_deref(), expected, "{path}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(
            bytes in prop::collection::vec(any::<u8>(), 0..60),
            escape in r"[\\x0-9a-f]{0,12}",
        ) {
            let _ = of_path(&bytes);
            let _ = of_path(&[b"/docker-", &bytes[..], b".scope"].concat());
            prop_assert!(unescape(escape.as_bytes()).len() <= escape.len());
        }
    }
}
