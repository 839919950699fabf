//! rousr killed at a random step of a transaction, again and again, and what came of it.
//!
//! A kill: the demo package is installed and its daemon and script run; apt upgrades or removes it while
//! the agent or a hook is armed to die before one of its steps; apt is run once more if it failed; the
//! holders end. Between that /usr, the holds, the ledger and dpkg's files are looked at.

mod act;
mod armed;

use std::process::ExitCode;

use anyhow::{Result, ensure};
use fastrand::Rng;
use rousr_figures::kills::{Act, Kill, Line, Options, Role};

use crate::{
    look,
    task::{self, say},
};
use act::Stage;
use armed::Steps;

/// Runs the kills that the only argument, options as JSON, asks for.
pub fn main(arguments: &[String]) -> ExitCode {
    task::main(arguments, |options: Options| run(&options))
}

fn run(options: &Options) -> Result<()> {
    armed::prepare()?;
    let mut known = Steps::default();
    for number in options.first..options.first + options.kills {
        let kill = kill(number, options, &mut known)?;
        say(&Line::Kill(kill.into()))?;
    }
    let faults = look::everything();
    ensure!(faults.is_empty(), "at the end: {}", faults.join("; "));
    Ok(())
}

/// Until one died: how many steps there are shows only when they were taken.
fn kill(number: u64, options: &Options, known: &mut Steps) -> Result<Kill> {
    let mut random = Rng::with_seed(options.seed.wrapping_mul(1 << 20) + number);
    let role = options
        .role
        .unwrap_or_else(|| *pick(&mut random, &[Role::Agent, Role::Hook, Role::LoneHook]));
    let act = options
        .act
        .unwrap_or_else(|| *pick(&mut random, &[Act::Upgrade, Act::Removal]));
    // So that what puts things right is killed at times as well.
    let second = random.u8(..3) == 0;
    loop {
        let most = known.most(role, act);
        let first = options.step.unwrap_or_else(|| random.u64(1..=most));
        let next = second.then(|| random.u64(1..=most));
        let lives: Vec<u64> = [Some(first), next].into_iter().flatten().collect();
        let kill = Stage::new(number, role, act).play(&lives, known)?;
        if !kill.deaths.is_empty() || kill.is_failed() {
            return Ok(kill);
        }
        ensure!(
            options.step.is_none(),
            "{role:?} takes fewer steps than {first} in this act"
        );
        say(&Line::Progress(format!(
            "kill {number}: {role:?} takes {} steps in {act:?}, once more",
            known.most(role, act)
        )))?;
    }
}

fn pick<'a, T>(random: &mut Rng, all: &'a [T]) -> &'a T {
    &all[random.usize(..all.len())]
}
