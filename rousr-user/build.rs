//! Compiles the BPF programs and checks that the object holds what user space will ask for.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail, ensure};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _};
use rousr_ebpf::names;

const TARGET: &str = "bpfel-unknown-none";

fn main() -> anyhow::Result<()> {
    let out =
        PathBuf::from(env::var_os("OUT_DIR").context("OUT_DIR is not set; build with cargo")?);
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rousr-ebpf/Cargo.toml");
    println!("cargo::rerun-if-changed=../rousr-ebpf");
    println!("cargo::rerun-if-changed=../Cargo.lock");

    let object = compile(&manifest, &out.join("ebpf"))?;
    check(&object)?;
    let installed = out.join("rousr.bpf.o");
    fs::copy(&object, &installed).with_context(|| {
        format!(
            "cannot copy {} to {}",
            object.display(),
            installed.display()
        )
    })?;
    Ok(())
}

/// Builds rousr-ebpf with `core` from source, as its target has no precompiled one. That takes
/// unstable flags of an otherwise stable toolchain.
fn compile(manifest: &Path, target_dir: &Path) -> anyhow::Result<PathBuf> {
    let cargo = env::var_os("CARGO").context("CARGO is not set; build with cargo")?;
    let mut command = Command::new(cargo);
    command
        .args(["build", "--release", "--locked", "--features", "kernel"])
        .args(["--target", TARGET, "-Z", "build-std=core"])
        .arg("--manifest-path")
        .arg(manifest)
        .arg("--target-dir")
        .arg(target_dir)
        .env("RUSTC_BOOTSTRAP", "1")
        // v3 has the fetching atomics; the BTF describes maps and programs to the kernel.
        .env(
            "CARGO_ENCODED_RUSTFLAGS",
            "-Ctarget-cpu=v3\u{1f}-Cdebuginfo=2\u{1f}-Clink-arg=--btf",
        )
        // What clippy and cargo's own profiles set is meant for the host's crates.
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env_remove("RUSTC_WRAPPER")
        .env_remove("RUSTC");
    let status = command
        .status()
        .context("cannot run cargo for rousr-ebpf")?;
    if !status.success() {
        bail!(
            "the BPF programs did not build ({status}); where bpf-linker or rust-src is missing, \
             run `cargo xtask setup`"
        );
    }
    Ok(target_dir.join(TARGET).join("release/rousr"))
}

/// Holds the object against the names user space looks up, so that a renamed program or map
/// fails the build and not the agent's start.
fn check(path: &Path) -> anyhow::Result<()> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let object = object::File::parse(&*bytes)
        .with_context(|| format!("{} is no ELF object", path.display()))?;
    let symbols: Vec<&str> = object
        .symbols()
        .filter_map(|symbol| symbol.name().ok())
        .collect();
    for name in names::PROGRAMS.iter().chain(&names::MAPS) {
        ensure!(
            symbols.contains(name),
            "{} lacks the symbol {name}",
            path.display()
        );
    }
    for section in [
        "lsm/file_open",
        "lsm/file_free_security",
        "fentry/security_file_open",
        "fentry/security_file_free",
        "iter/task",
        "iter/task_file",
        "iter/task_vma",
        ".BTF",
    ] {
        ensure!(
            object.section_by_name(section).is_some(),
            "{} lacks the section {section}",
            path.display()
        );
    }
    let license = object
        .section_by_name("license")
        .with_context(|| format!("{} states no licence", path.display()))?
        .data()?;
    ensure!(
        license.strip_suffix(b"\0") == Some(names::LICENSE.as_bytes()),
        "{} states another licence than {:?}",
        path.display(),
        names::LICENSE
    );
    Ok(())
}
