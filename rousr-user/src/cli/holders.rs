//! `rousr holders`.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, ensure};
use clap::Args;

use super::output::{self, as_root};
use crate::{
    agent::{
        client::{Client, ClientError},
        holders::{Format, Question, Scope},
        protocol::Told,
    },
    seal::Volume,
    track::survey::{Source, Surveyor},
    transaction::{HostKeeper, Places},
};

#[derive(Debug, Args)]
#[command(
    after_help = "Exit status: 0 somebody uses it, 1 nobody does or the command failed, \
    2 wrong arguments."
)]
pub(super) struct Arguments {
    /// A file or directory of the filesystem that holds /usr, or a hold's number
    #[arg(value_name = "PATH")]
    path: Option<PathBuf>,

    /// Tell of everything that is in use there, not only of what is held
    #[arg(long, conflicts_with = "path")]
    all: bool,

    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let keeper = HostKeeper::open(Places::default())?;
    let scope = match &arguments.path {
        None if arguments.all => Scope::All,
        None => Scope::Held,
        Some(path) => Scope::Inode(inode(path, &keeper)?),
    };
    let format = match arguments.json {
        true => Format::Json,
        false => Format::Table,
    };
    let (told, mut text) = ask(&keeper, scope, format)?;
    match format {
        Format::Json => text.push(b'\n'),
        Format::Table => output::warn_of(&told.warnings),
    }
    output::print_raw(&text)?;
    Ok(output::exit(told.processes > 0))
}

/// The inode that is meant by `path`, which can be a hold's number.
fn inode(path: &Path, keeper: &HostKeeper) -> anyhow::Result<u64> {
    if let Some(number) = path.to_str().and_then(|text| text.parse().ok()) {
        let held = keeper.holds().map_err(as_root)?.holds;
        ensure!(
            held.iter().any(|hold| hold.inode == number),
            "there is no hold {number}; for a file of this name write ./{number}"
        );
        return Ok(number);
    }
    let found = fs::metadata(path).with_context(|| format!("cannot look at {}", path.display()))?;
    let Volume { mount_point, .. } = keeper.volume();
    let root = fs::metadata(mount_point)
        .with_context(|| format!("cannot look at {}", mount_point.display()))?;
    ensure!(
        found.dev() == root.dev(),
        "{} is not on the filesystem at {}, the only one that `rousr holders` looks at: `rousr status` tells \
         of what is held on others below /usr, fuser(1) of any file",
        path.display(),
        mount_point.display()
    );
    Ok(found.ino())
}

/// The answer as text, by the agent where one runs.
fn ask(keeper: &HostKeeper, scope: Scope, format: Format) -> anyhow::Result<(Told, Vec<u8>)> {
    match Client::default().holders(scope, format) {
        Ok((told, text)) => {
            if told.source == Source::Proc {
                tell_by_proc("the agent has no BPF programs (`rousr status` says why)");
            }
            Ok((told, text))
        }
        Err(error @ ClientError::NotRunning) => {
            tell_by_proc(&error.to_string());
            look_ourselves(keeper, scope, format)
        }
        Err(error) => Err(error.into()),
    }
}

fn look_ourselves(
    keeper: &HostKeeper,
    scope: Scope,
    format: Format,
) -> anyhow::Result<(Told, Vec<u8>)> {
    let surveyor = Surveyor::new(&keeper.volume().mount_point, None)?;
    let question = Question::new(keeper, surveyor, scope).map_err(as_root)?;
    Ok(question.answer()?.into_text(format)?)
}

fn tell_by_proc(why: &str) {
    output::note(&format!(
        "{why}; looking into /proc instead, which takes longer"
    ));
}
