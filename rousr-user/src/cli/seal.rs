//! `rousr seal`.

use std::process::ExitCode;

use clap::Args;

use super::{
    opening::{self, NEED},
    output::{self, need_root},
};
use crate::{agent::errand::Step, seal::Level, transaction::Opener};

/// Make /usr read-only again after `rousr unseal`
///
/// Also tries again where something was in the way. What a transaction or `rousr exec` has open stays
/// so until that is over.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit status: 0 as read-only as wanted, 1 not, or nothing says that it is to be, 2 wrong arguments."
)]
pub(super) struct Arguments {
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    need_root(NEED)?;
    let outcome = opening::run(Step::Close(Opener::Administrator { until: None }))?;
    opening::show(&outcome, arguments.json)?;
    let is_wanted = outcome.wanted > Level::Open;
    Ok(output::exit(is_wanted && outcome.level >= outcome.wanted))
}
