//! The same walk with programs that do nothing: what no way by these iterators can be below.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use anyhow::{Context as _, ensure};
use aya::{Btf, Ebpf, programs::Iter};

const ITERATORS: [(&str, &str); 2] = [("walk_files", "task_file"), ("walk_mappings", "task_vma")];

/// The loaded programs.
pub(crate) struct Walk {
    ebpf: Ebpf,
}

impl Walk {
    pub(crate) fn load(object: &Path) -> anyhow::Result<Self> {
        let mut ebpf =
            Ebpf::load_file(object).with_context(|| format!("cannot load {}", object.display()))?;
        let btf = Btf::from_sys_fs().context("cannot read the kernel's type information")?;
        for (name, kind) in ITERATORS {
            iterator(&mut ebpf, name)?.load(kind, &btf)?;
        }
        Ok(Self { ebpf })
    }

    /// Visits every descriptor and every mapping.
    pub(crate) fn run(&mut self) -> anyhow::Result<()> {
        for (name, _) in ITERATORS {
            let program = iterator(&mut self.ebpf, name)?;
            let link = program.attach()?;
            drain(program.take_link(link)?.into_file()?)?;
        }
        Ok(())
    }
}

fn iterator<'a>(ebpf: &'a mut Ebpf, name: &str) -> anyhow::Result<&'a mut Iter> {
    let program = ebpf.program_mut(name);
    Ok(program
        .with_context(|| format!("the object holds no {name}"))?
        .try_into()?)
}

fn drain(mut iterator: File) -> anyhow::Result<()> {
    let mut output = Vec::new();
    loop {
        match iterator.read_to_end(&mut output) {
            Ok(_) => break,
            // The kernel wants to be asked again after a million visits.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
    }
    ensure!(output.is_empty(), "an empty iterator wrote something");
    Ok(())
}
