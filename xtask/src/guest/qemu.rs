//! The emulated machine.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result};

use super::{Guest, disk};

/// Kernel arguments that make an emulated boot quick and a failed one end.
/// norandmaps alone makes fork and exec six times faster.
const KERNEL_ARGUMENTS: &str = "console=ttyS0 quiet panic=-1 norandmaps nokaslr mitigations=off \
    nopti tsc=reliable no_timer_check random.trust_cpu=on cryptomgr.notests audit=0 apparmor=0 \
    nowatchdog systemd.show_status=false";

/// The files of one machine.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) initramfs: PathBuf,
    pub(super) payload: PathBuf,
    pub(super) out: PathBuf,
    pub(super) console: PathBuf,
    errors: PathBuf,
}

impl Machine {
    pub(super) fn in_folder(folder: &Path) -> Self {
        Self {
            initramfs: folder.join("initramfs"),
            payload: folder.join("payload.tar"),
            out: folder.join("out.img"),
            console: folder.join("console.log"),
            errors: folder.join("qemu.log"),
        }
    }

    /// Powers it on.
    pub(super) fn start(&self, guest: &Guest) -> Result<Running> {
        // setpriv: the guest dies with the task, however that dies.
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "qemu-system-x86_64"])
            .args([
                "-M",
                "q35",
                "-nodefaults",
                "-no-user-config",
                "-display",
                "none",
            ])
            .args(["-no-reboot", "-m", &guest.memory_mib.to_string()])
            .args(accelerator(guest))
            .arg("-kernel")
            .arg(guest.kernel.image()?)
            .arg("-initrd")
            .arg(&self.initramfs)
            .args(["-append", &kernel_arguments(guest)])
            .args([
                "-chardev",
                &format!("file,id=console,path={}", self.console.display()),
            ])
            .args(["-serial", "chardev:console"])
            .args([
                "-chardev",
                "stdio,id=output,signal=off",
                "-serial",
                "chardev:output",
            ])
            .args(guest.disks.arguments()?)
            .args(disk::drive("payload", &self.payload, "readonly=on"))
            .args(disk::drive("out", &self.out, "cache=unsafe"));
        if let Some(layout) = guest.layout.disk()? {
            command.args(disk::drive("layout", &layout, "snapshot=on"));
        }
        if let Some(blank) = &guest.blank {
            command.args(disk::drive("blank", blank, "cache=unsafe"));
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&self.errors)?)
            .spawn()
            .context("cannot run setpriv")?;
        Ok(Running { child })
    }

    /// What qemu itself said.
    pub(super) fn errors(&self) -> String {
        fs::read_to_string(&self.errors).unwrap_or_default()
    }
}

/// A machine that is on; off on drop.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
}

impl Running {
    /// The guest's second serial port.
    pub(super) fn stdout(&mut self) -> Result<ChildStdout> {
        self.child
            .stdout
            .take()
            .context("qemu's stdout is taken once")
    }

    /// Pulls the plug.
    pub(super) fn stop(mut self) -> Result<()> {
        self.child.kill().context("cannot end qemu")?;
        self.child.wait().context("cannot wait for qemu")?;
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may be gone already; nothing is left to do about another error.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn accelerator(guest: &Guest) -> Vec<String> {
    let owned = |arguments: &[&str]| arguments.iter().map(|&one| one.to_owned()).collect();
    if guest.icount {
        return owned(
            &[
                &[
                    "-accel",
                    "tcg,thread=single,tb-size=512",
                    "-icount",
                    "shift=0,sleep=off",
                ][..],
                &["-cpu", "qemu64,+rdrand", "-smp", "1", "-rtc", "clock=vm"],
            ]
            .concat(),
        );
    }
    let cpus = guest.cpus.to_string();
    match has_kvm() {
        true => owned(&["-accel", "kvm", "-cpu", "host", "-smp", &cpus]),
        false => {
            let tcg = "tcg,thread=multi,tb-size=512";
            owned(&["-accel", tcg, "-cpu", "qemu64,+rdrand", "-smp", &cpus])
        }
    }
}

/// The device node alone says nothing: some machines have it and no CPU to go with it.
fn has_kvm() -> bool {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let virtualizes = cpu
        .lines()
        .filter(|line| line.starts_with("flags"))
        .flat_map(str::split_whitespace)
        .any(|flag| matches!(flag, "vmx" | "svm"));
    virtualizes
        && OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/kvm")
            .is_ok()
}

fn kernel_arguments(guest: &Guest) -> String {
    format!(
        "{KERNEL_ARGUMENTS} rousr.init={}{} {}",
        guest.init.name(),
        if guest.blank.is_some() {
            " rousr.blank"
        } else {
            ""
        },
        guest.append
    )
}
