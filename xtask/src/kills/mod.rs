//! `cargo xtask kills`: the agent or a hook killed before a random step of a transaction.

mod run;
mod view;

use std::process::ExitCode;

use anyhow::Result;
use clap::{ArgAction, ValueEnum, value_parser};
use rousr_figures::kills as figures;

use crate::lab::kernel::Kernel;
use crate::say;
use crate::setup::{self, Need};
use run::{Bench, Plan};

/// Kill the agent or a hook before a random step of an upgrade or a removal, again and again
///
/// Exits with 1 where /usr was not sealed by itself afterwards, a hold or a line of the ledger was left,
/// or a file of a package was lost. A kill follows from the seed and its number alone. Each is printed as it
/// ends; Ctrl-C shows the sum of those that have.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[arg(long, value_enum, default_value_t = Kernel::Trixie)]
    kernel: Kernel,

    #[arg(long, value_name = "N", default_value_t = 20, value_parser = value_parser!(u64).range(1..))]
    kills: u64,

    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,

    /// The number of the first kill, to go on where another run ended
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u64).range(1..))]
    first: u64,

    /// Who is killed; at random where not given
    #[arg(long, value_enum)]
    role: Option<Role>,

    /// What apt does meanwhile; at random where not given
    #[arg(long, value_enum)]
    act: Option<Act>,

    /// Before which of its steps; at random where not given
    #[arg(long, value_name = "N", requires = "role", requires = "act", value_parser = value_parser!(u64).range(1..))]
    step: Option<u64>,

    /// Print one JSON object instead of tables
    #[arg(long, action = ArgAction::SetTrue)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Role {
    /// The agent, or what runs when it has ended
    Agent,
    /// A hook that asks the agent
    Hook,
    /// A hook that does the work, as no agent runs
    LoneHook,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Act {
    Upgrade,
    Removal,
}

impl From<Role> for figures::Role {
    fn from(role: Role) -> Self {
        match role {
            Role::Agent => Self::Agent,
            Role::Hook => Self::Hook,
            Role::LoneHook => Self::LoneHook,
        }
    }
}

impl From<Act> for figures::Act {
    fn from(act: Act) -> Self {
        match act {
            Act::Upgrade => Self::Upgrade,
            Act::Removal => Self::Removal,
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    setup::ensure(Need::LAB)?;
    setup::ensure(Need::TOOLCHAIN)?;
    let plan = Plan {
        kernel: arguments.kernel,
        options: figures::Options {
            seed: arguments.seed,
            first: arguments.first,
            kills: arguments.kills,
            role: arguments.role.map(Into::into),
            act: arguments.act.map(Into::into),
            step: arguments.step,
        },
    };
    let (kills, ended) = Bench::build()?.run(&plan, |kill| {
        if !arguments.json {
            print!("{}", view::line(kill));
        }
    });
    match arguments.json {
        true => println!("{}", serde_json::to_string_pretty(&kills)?),
        false => print!("{}", view::sum(&kills)),
    }
    ended?;
    Ok(match kills.iter().any(figures::Kill::is_failed) {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

/// What `cargo xtask test` runs: as many kills as a guest stands.
///
/// # Errors
///
/// Where the guest cannot be run.
pub(crate) fn short() -> Result<Vec<figures::Kill>> {
    say::line("kills: cargo xtask kills --kills 8");
    let plan = Plan {
        kernel: Kernel::Trixie,
        options: figures::Options {
            seed: 1,
            first: 1,
            kills: run::IN_A_GUEST,
            role: None,
            act: None,
            step: None,
        },
    };
    let (kills, ended) = Bench::build()?.run(&plan, |kill| print!("{}", view::line(kill)));
    print!("{}", view::sum(&kills));
    ended.map(|()| kills)
}
