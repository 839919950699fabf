//! A stream as apt writes it: `pkgDPkgPM::SendPkgsInfo` and `QuoteString` of apt 3.1.12.

use std::os::unix::ffi::OsStrExt as _;

use super::{Action, Direction, Kind, MultiArch, Protocol, Stream, Version};

impl Stream {
    /// What a hook reads of it.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if self.protocol != Protocol::V1 {
            out.extend(match self.protocol {
                Protocol::V3 => b"VERSION 3\n",
                _ => b"VERSION 2\n",
            });
            for setting in &self.settings {
                quote(&mut out, &setting.key, b"=\"\n");
                out.push(b'=');
                quote(&mut out, &setting.value, b"\n");
                out.push(b'\n');
            }
            out.push(b'\n');
        }
        for action in &self.actions {
            if let Some(comparison) = comparison(action.direction) {
                let [old, new] = [&action.old, &action.new]
                    .map(|version| fields(version.as_ref(), self.protocol));
                out.extend(format!("{} {old} {comparison} {new} ", action.package).bytes());
            }
            out.extend(last_field(action));
            out.push(b'\n');
        }
        out
    }
}

fn comparison(direction: Direction) -> Option<char> {
    match direction {
        Direction::Up => Some('<'),
        Direction::Same => Some('='),
        Direction::Down => Some('>'),
        Direction::Unstated => None,
    }
}

fn last_field(action: &Action) -> &[u8] {
    match &action.kind {
        Kind::Unpack(path) => path.as_os_str().as_bytes(),
        Kind::Configure => b"**CONFIGURE**",
        Kind::Remove => b"**REMOVE**",
        Kind::Error => b"**ERROR**",
    }
}

fn fields(version: Option<&Version>, protocol: Protocol) -> String {
    let number = version.map_or("-", |known| &known.version);
    if protocol != Protocol::V3 {
        return number.to_owned();
    }
    // A status file from before multi-arch leaves the architecture empty.
    let architecture = version.map_or("-", |known| {
        known.architecture.as_deref().unwrap_or_default()
    });
    let multi_arch = match version.and_then(|known| known.multi_arch) {
        None | Some(MultiArch::None) => "none",
        Some(MultiArch::Same) => "same",
        Some(MultiArch::Foreign) => "foreign",
        Some(MultiArch::Allowed) => "allowed",
    };
    format!("{number} {architecture} {multi_arch}")
}

fn quote(out: &mut Vec<u8>, bytes: &[u8], special: &[u8]) {
    for &byte in bytes {
        if special.contains(&byte) || byte == b'%' || !byte.is_ascii_graphic() {
            out.extend(format!("%{byte:02x}").bytes());
        } else {
            out.push(byte);
        }
    }
}
