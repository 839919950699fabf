//! Debian's programs: installed by apt where that is allowed.

use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::process;

/// A program the tasks run, and Debian's package of it.
struct Program {
    name: &'static str,
    package: &'static str,
}

const PROGRAMS: [Program; 10] = [
    Program {
        name: "qemu-system-x86_64",
        package: "qemu-system-x86",
    },
    Program {
        name: "mmdebstrap",
        package: "mmdebstrap",
    },
    Program {
        name: "mke2fs",
        package: "e2fsprogs",
    },
    Program {
        name: "dpkg-scanpackages",
        package: "dpkg-dev",
    },
    Program {
        name: "cpio",
        package: "cpio",
    },
    Program {
        name: "xz",
        package: "xz-utils",
    },
    Program {
        name: "objcopy",
        package: "binutils",
    },
    Program {
        name: "setpriv",
        package: "util-linux",
    },
    // In an unprivileged user's namespace mmdebstrap maps more than one user.
    Program {
        name: "newuidmap",
        package: "uidmap",
    },
    // libFuzzer is C++.
    Program {
        name: "c++",
        package: "g++",
    },
];

/// The names of all of them.
pub(super) fn names() -> String {
    PROGRAMS.map(|program| program.name).join(", ")
}

/// The packages of those that are not on this machine.
pub(super) fn missing() -> Vec<&'static str> {
    let missing = PROGRAMS
        .iter()
        .filter(|program| process::find(program.name).is_none());
    missing.map(|program| program.package).collect()
}

/// Installs what is missing.
pub(super) fn provide() -> Result<()> {
    let packages = missing();
    if process::find("apt-get").is_none() {
        bail!(
            "the lab takes Debian's packages from apt, which this machine does not have; on a \
             Debian machine it needs the packages {}",
            packages.join(" ")
        );
    }
    let install = ["install", "--yes", "--no-install-recommends"];
    if !rustix::process::geteuid().is_root() {
        bail!(
            "packages are missing; run this, then try again:\n  sudo apt-get {} {}",
            install.join(" "),
            packages.join(" ")
        );
    }
    let apt = || {
        let mut command = Command::new("apt-get");
        command
            .env("DEBIAN_FRONTEND", "noninteractive")
            .arg("--quiet");
        command
    };
    // A machine image often comes without lists, or with ones whose files are gone by now.
    process::read(apt().arg("update")).context("check the machine's network and apt sources")?;
    process::read(apt().args(install).args(&packages))
        .with_context(|| format!("apt cannot install {}", packages.join(" ")))?;
    Ok(())
}
