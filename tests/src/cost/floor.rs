//! Programs that do nothing, on the hooks that rousr's use.

use std::path::Path;

use anyhow::Context as _;
use aya::{Btf, Ebpf, programs::Lsm};

const HOOKS: [&str; 2] = ["file_free_security", "file_open"];

/// The attached programs; detached on drop.
pub(super) struct Floor {
    _attached: Ebpf,
}

impl Floor {
    pub(super) fn attach(object: &Path) -> anyhow::Result<Self> {
        let mut ebpf =
            Ebpf::load_file(object).with_context(|| format!("cannot load {}", object.display()))?;
        let btf = Btf::from_sys_fs().context("cannot read the kernel's type information")?;
        for hook in HOOKS {
            let program: &mut Lsm = ebpf
                .program_mut(hook)
                .with_context(|| format!("{} holds no {hook}", object.display()))?
                .try_into()?;
            program.load(hook, &btf)?;
            program.attach()?;
        }
        Ok(Self { _attached: ebpf })
    }
}
