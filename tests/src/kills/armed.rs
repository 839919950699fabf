//! Processes of rousr that die before one of their steps: the feature `steps` of rousr-user.

use std::{collections::BTreeMap, fs, io, path::Path};

use anyhow::{Context as _, Result, ensure};
use rousr_figures::kills::{Act, Role};

use crate::shell;

const FOLDER: &str = "/run/rousr-kills";

/// What [`VARIABLE`] has to be for the hooks.
pub(super) const HOOK: &str = "/run/rousr-kills/hook";
const AGENT: &str = "/run/rousr-kills/agent";

/// Read by `rousr`.
pub(super) const VARIABLE: &str = "ROUSR_STEPS";

/// How many steps each takes, as far as that was seen.
#[derive(Debug, Default)]
pub(super) struct Steps(BTreeMap<(Role, Act), u64>);

impl Steps {
    /// Where it was not seen: a guess that is nearly always too large.
    const GUESS: u64 = 40;

    pub(super) fn most(&self, role: Role, act: Act) -> u64 {
        self.0.get(&(role, act)).copied().unwrap_or(Self::GUESS)
    }

    pub(super) fn saw(&mut self, role: Role, act: Act, steps: u64) {
        self.0.insert((role, act), steps.max(1));
    }
}

/// Lets the agent know where it finds when to die.
pub(super) fn prepare() -> Result<()> {
    fs::create_dir_all(FOLDER).with_context(|| FOLDER)?;
    let drop_in = "/run/systemd/system/rousr.service.d";
    fs::create_dir_all(drop_in).with_context(|| drop_in)?;
    fs::write(
        format!("{drop_in}/kills.conf"),
        format!("[Service]\nEnvironment={VARIABLE}={AGENT}\n"),
    )?;
    let restarted = shell("systemctl daemon-reload && systemctl restart rousr");
    ensure!(restarted.status == 0, "{}", restarted.output);
    Ok(())
}

/// Arms whoever plays this role: each life of it ends before the step of that number.
pub(super) fn arm(role: Role, lives: &[u64]) -> Result<()> {
    let file = file(role);
    let text: String = lives.iter().map(|step| format!("{step}\n")).collect();
    fs::write(file, text).with_context(|| file)
}

/// Nobody dies any more. How many steps were taken, and which deaths came: the number of the step of that
/// life and what it was.
pub(super) fn disarm(role: Role) -> Result<(u64, Vec<String>)> {
    let file = file(role);
    remove(file)?;
    let log = format!("{file}.log");
    let text = match fs::read_to_string(&log) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        other => other.with_context(|| log.clone())?,
    };
    remove(&log)?;
    Ok(read(&text))
}

fn read(log: &str) -> (u64, Vec<String>) {
    let mut deaths = Vec::new();
    let mut since = 0;
    for line in log.lines() {
        since += 1;
        let what = line.split_once(' ').map_or(line, |(_, what)| what);
        if let Some(what) = what.strip_suffix(" killed") {
            deaths.push(format!("{since} {what}"));
            since = 0;
        }
    }
    (log.lines().count() as u64, deaths)
}

fn file(role: Role) -> &'static str {
    match role {
        Role::Agent => AGENT,
        Role::Hook | Role::LoneHook => HOOK,
    }
}

fn remove(file: impl AsRef<Path>) -> Result<()> {
    match fs::remove_file(file.as_ref()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| file.as_ref().display().to_string())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deaths_are_counted_life_by_life() {
        let log = "7 link\n7 unlink killed\n9 link\n9 set the mount's flag\n9 answer killed\n9 x\n";
        let deaths = vec!["2 unlink".to_owned(), "3 answer".to_owned()];
        assert_eq!(read(log), (6, deaths));
        assert_eq!(read(""), (0, vec![]));
    }
}
