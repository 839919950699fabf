//! One line of what dpkg will be told to do.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use super::{Expected, Protocol};

/// One step for one package.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Action {
    /// The package's name without its architecture. Version 1 does not tell it: there it is
    /// the beginning of the .deb's file name, right for all that apt downloads itself.
    pub package: String,
    /// What is installed now; `None` for a new package, and always in version 1.
    pub old: Option<Version>,
    /// What will be installed; `None` for a removal, and always in version 1.
    pub new: Option<Version>,
    /// How the two versions compare.
    pub direction: Direction,
    /// What is done.
    pub kind: Kind,
}

/// A version of a package.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Version {
    /// As dpkg shows it, such as `1:2.3-4`.
    pub version: String,
    /// Such as `amd64` or `all`; only version 3 tells it.
    pub architecture: Option<String>,
    /// Whether instances of several architectures can be installed; only version 3 tells it.
    pub multi_arch: Option<MultiArch>,
}

impl Version {
    /// The architecture and multi-arch, which together tell one instance of a package from
    /// another; `None` before version 3.
    pub fn instance(&self) -> Option<(&str, MultiArch)> {
        self.architecture.as_deref().zip(self.multi_arch)
    }
}

/// The `Multi-Arch` field of a package.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(missing_docs, reason = "the names are dpkg's, see deb-control(5)")]
pub enum MultiArch {
    None,
    Same,
    Foreign,
    Allowed,
}

/// How the installed version compares to the one to be installed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Direction {
    /// `<`: an upgrade, or a new package.
    Up,
    /// `=`: the same version again.
    Same,
    /// `>`: a downgrade, or a removal.
    Down,
    /// Version 1 does not say.
    Unstated,
}

/// What is done to a package.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Kind {
    /// The .deb at this path is unpacked: what is replaced is replaced here.
    Unpack(PathBuf),
    /// An unpacked package is configured.
    Configure,
    /// The package is removed or purged.
    Remove,
    /// apt has no file to unpack; it will fail later by itself.
    Error,
}

impl Action {
    /// Parses one action line.
    pub(super) fn parse(line: &[u8], protocol: Protocol) -> Result<Self, Expected> {
        match protocol {
            Protocol::V1 => from_deb_path(line),
            Protocol::V2 | Protocol::V3 => from_fields(line, protocol),
        }
    }
}

fn from_deb_path(line: &[u8]) -> Result<Action, Expected> {
    let path = absolute(line).ok_or(Expected::DebPath)?;
    let name = path
        .file_name()
        .map(OsStr::as_bytes)
        .ok_or(Expected::DebPath)?;
    let name = name.strip_suffix(b".deb").unwrap_or(name);
    let package = name
        .split(|&byte| byte == b'_')
        .next()
        .and_then(package_name);
    Ok(Action {
        package: package.ok_or(Expected::DebPath)?,
        old: None,
        new: None,
        direction: Direction::Unstated,
        kind: Kind::Unpack(path),
    })
}

fn from_fields(line: &[u8], protocol: Protocol) -> Result<Action, Expected> {
    let mut fields = Fields(line);
    let package = package_name(fields.next()).ok_or(Expected::Field("package name"))?;
    let old = version(&mut fields, protocol, "installed version")?;
    let direction = match fields.next() {
        b"<" => Direction::Up,
        b"=" => Direction::Same,
        b">" => Direction::Down,
        _ => return Err(Expected::Field("comparison `<`, `=` or `>`")),
    };
    let new = version(&mut fields, protocol, "new version")?;
    let kind = match fields.rest() {
        b"**CONFIGURE**" => Kind::Configure,
        b"**REMOVE**" => Kind::Remove,
        b"**ERROR**" => Kind::Error,
        path => Kind::Unpack(absolute(path).ok_or(Expected::Field("operation or .deb path"))?),
    };
    Ok(Action {
        package,
        old,
        new,
        direction,
        kind,
    })
}

/// Takes a version: `- - none` in version 3, `-` in version 2 stands for an absent one.
fn version(
    fields: &mut Fields<'_>,
    protocol: Protocol,
    what: &'static str,
) -> Result<Option<Version>, Expected> {
    let version = graphic(fields.next()).ok_or(Expected::Field(what))?;
    let (architecture, multi_arch) = match protocol {
        Protocol::V1 | Protocol::V2 => (None, None),
        Protocol::V3 => {
            let architecture = architecture(fields.next())?;
            (architecture, Some(multi_arch(fields.next())?))
        }
    };
    if version == "-" {
        return Ok(None);
    }
    Ok(Some(Version {
        version,
        architecture,
        multi_arch,
    }))
}

/// An absent version has `-`; a status file from before multi-arch can leave it empty.
fn architecture(field: &[u8]) -> Result<Option<String>, Expected> {
    if matches!(field, b"" | b"-") {
        return Ok(None);
    }
    let valid = field
        .iter()
        .all(|&byte| byte.is_ascii_alphanumeric() || byte == b'-');
    graphic(field)
        .filter(|_| valid)
        .map(Some)
        .ok_or(Expected::Field("architecture"))
}

fn multi_arch(field: &[u8]) -> Result<MultiArch, Expected> {
    match field {
        b"none" => Ok(MultiArch::None),
        b"same" => Ok(MultiArch::Same),
        b"foreign" => Ok(MultiArch::Foreign),
        b"allowed" => Ok(MultiArch::Allowed),
        _ => Err(Expected::Field("multi-arch")),
    }
}

/// As dpkg's `pkg_name_is_illegal` has it. The name becomes part of a file's name: no slash
/// and no leading dot may pass.
fn package_name(field: &[u8]) -> Option<String> {
    let legal = |&byte: &u8| byte.is_ascii_alphanumeric() || b"-+._".contains(&byte);
    if !field.first()?.is_ascii_alphanumeric() || !field.iter().all(legal) {
        return None;
    }
    graphic(field)
}

fn graphic(field: &[u8]) -> Option<String> {
    if field.is_empty() || !field.iter().all(u8::is_ascii_graphic) {
        return None;
    }
    String::from_utf8(field.to_vec()).ok()
}

fn absolute(path: &[u8]) -> Option<PathBuf> {
    path.starts_with(b"/")
        .then(|| PathBuf::from(OsStr::from_bytes(path)))
}

/// The fields of a line, separated by exactly one space each.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// The next field; an empty one where the line has no more.
    fn next(&mut self) -> &'a [u8] {
        let end = self.0.iter().position(|&byte| byte == b' ');
        let field = &self.0[..end.unwrap_or(self.0.len())];
        self.0 = end.map_or(&[], |end| &self.0[end + 1..]);
        field
    }

    /// All that is left: a path can hold spaces.
    fn rest(self) -> &'a [u8] {
        self.0
    }
}
