//! The command line: arguments in, view out.

mod agent;
mod apt;
mod blockers;
mod blocking;
mod disable;
mod doctor;
mod dpkg;
mod exec;
mod history;
mod holders;
mod hook;
mod opening;
mod output;
mod progress;
mod restart;
mod seal;
mod status;
mod unseal;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Keeps a read-only /usr read-only across upgrades.
///
/// apt's hooks call rousr around each dpkg run; the agent removes what the upgrade replaced as
/// soon as its last user is gone.
#[derive(Debug, Parser)]
#[command(
    name = "rousr",
    version,
    arg_required_else_help = true,
    after_help = "Exit status: 0 done, 1 failed or found wanting, 2 wrong arguments; exec: its command's.\nSee rousr(8)."
)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show whether /usr is sealed, what is held and by whom, and what blocks a seal
    Status(status::Arguments),
    /// Show which kernel features rousr has here, what it does with them, and what is wrong
    Doctor(doctor::Arguments),
    Blockers(blockers::Arguments),
    /// Show which processes use what is held, a file, or anything of /usr
    Holders(holders::Arguments),
    History(history::Arguments),
    Seal(seal::Arguments),
    Unseal(unseal::Arguments),
    Exec(exec::Arguments),
    Restart(restart::Arguments),
    Disable(disable::Disable),
    Enable(disable::Enable),
    Agent(agent::Arguments),
    Verify(verify::Arguments),
    /// What apt's hooks call; see /etc/apt/apt.conf.d/01rousr
    #[command(subcommand)]
    Apt(apt::Hook),
    /// What dpkg's hooks call; see /etc/dpkg/dpkg.cfg.d/rousr
    #[command(subcommand)]
    Dpkg(dpkg::Hook),
}

/// Runs one command, and says on standard error why it failed.
pub fn run(arguments: Arguments) -> ExitCode {
    let result = match arguments.command {
        Command::Status(arguments) => status::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Blockers(arguments) => blockers::run(&arguments),
        Command::Holders(arguments) => holders::run(&arguments),
        Command::History(arguments) => history::run(&arguments),
        Command::Seal(arguments) => seal::run(&arguments),
        Command::Unseal(arguments) => unseal::run(&arguments),
        Command::Exec(arguments) => exec::run(&arguments),
        Command::Restart(arguments) => restart::run(&arguments),
        Command::Disable(arguments) => disable::disable(&arguments),
        Command::Enable(arguments) => disable::enable(&arguments),
        Command::Agent(arguments) => agent::run(&arguments),
        Command::Verify(arguments) => verify::run(&arguments),
        Command::Apt(hook) => Ok(apt::run(hook)),
        Command::Dpkg(hook) => Ok(dpkg::run(hook)),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            output::note(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}
