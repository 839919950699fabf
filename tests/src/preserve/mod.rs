//! A transaction of many files, beside the bare calls that it cannot do without and the 2001 algorithm.
//! For a guest without an init, as root, with rousr installed and /usr read-only.

mod bare;
mod ground;
mod hooks;
mod old;

use rousr_figures::preserve::Report;

use crate::{holds, succeed};
use ground::Ground;
use hooks::Agent;

/// Measures with so many files, and the 2001 algorithm with the first `old` of them.
///
/// # Errors
///
/// Fails where the files cannot be made or the agent does not start.
pub fn run(files: usize, old: usize) -> anyhow::Result<Report> {
    succeed("mount -o remount,rw /usr");
    let ground = Ground::make(files)?;
    let (bare_links, bare_unlinks) = bare::measure(&ground)?;
    let (shell_links, shell_unlinks) = old::measure(&ground.files[..old.min(files)])?;
    // What was written is not to be rousr's to write.
    succeed("sync; mount -o remount,ro /usr");

    let agent = Agent::start()?;
    hooks::run("pre-invoke", b"")?;
    let preserve = agent.cost_of(files, || hooks::run("pre-install-pkgs", &ground.stream))?;
    // What the agent itself has open is held, too.
    let all = holds();
    let held = ground.files.iter().filter(|file| all.contains(&file.inode));
    let held = held.count() as u64;
    let settle = agent.cost_of(files, || hooks::run("post-invoke", b""))?;
    Ok(Report {
        bare_links,
        bare_unlinks,
        preserve,
        settle,
        shell_links,
        shell_unlinks,
        held,
        left: holds().len() as u64,
        agent_peak: agent.peak()?,
        hook_peak: hooks::peak(),
    })
}
