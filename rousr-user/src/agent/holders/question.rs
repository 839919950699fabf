//! How the answer is found.

use std::{
    collections::{BTreeMap, HashSet},
    path::{Path, PathBuf},
};

use super::{File, Holders, Kind, ProcessUses, Scope, Use};
use crate::{
    hold::{Ledger, ledger::Entries},
    track::{
        process::executable,
        survey::{Survey, Surveyor, User},
        usage::{How, Usage},
    },
    transaction::{Error, HostKeeper},
};

/// What it takes to answer, in any thread.
#[derive(Debug)]
pub struct Question {
    surveyor: Surveyor,
    scope: Scope,
    mount_point: PathBuf,
    held: HashSet<u64>,
    ledger: Ledger,
}

impl Question {
    /// Takes from `keeper` what the answer needs.
    ///
    /// # Errors
    ///
    /// Fails where the hold directory is not ours.
    pub fn new(keeper: &HostKeeper, surveyor: Surveyor, scope: Scope) -> Result<Self, Error> {
        let holds = keeper.holds()?.holds;
        Ok(Self {
            surveyor,
            scope,
            mount_point: keeper.volume().mount_point.clone(),
            held: holds.into_iter().map(|hold| hold.inode).collect(),
            ledger: keeper.ledger().clone(),
        })
    }

    /// Looks at all processes.
    ///
    /// # Errors
    ///
    /// Fails where they cannot be told at all.
    pub fn answer(self) -> std::io::Result<Holders> {
        let source = self.surveyor.source();
        let mut survey = self.surveyor.survey()?;
        match self.scope {
            Scope::All => {}
            Scope::Held => retain(&mut survey, |inode| self.held.contains(&inode)),
            Scope::Inode(asked) => retain(&mut survey, |inode| inode == asked),
        }
        let (entries, damage) = self.ledger.load();
        let mut warnings: Vec<String> = damage.iter().map(ToString::to_string).collect();
        if survey.incomplete > 0 {
            let count = survey.incomplete;
            warnings.push(format!("not all that {count} processes use could be told"));
        }
        let paths = Paths::new(&survey, &entries);
        let users = survey.users.into_iter();
        Ok(Holders {
            mount_point: self.mount_point.to_string_lossy().into_owned(),
            source,
            warnings,
            processes: users.map(|user| ProcessUses::new(user, &paths)).collect(),
            files: paths.files(),
        })
    }
}

/// A path of each inode that is used, as far as one is known.
struct Paths(BTreeMap<u64, Option<PathBuf>>);

impl Paths {
    fn new(survey: &Survey, entries: &Entries) -> Self {
        let used: HashSet<u64> = survey
            .users
            .iter()
            .flat_map(|user| user.usages.iter().map(|usage| usage.inode))
            .collect();
        let of_hold = |inode: u64| Some(&entries.get(&inode)?.names.first()?.path);
        let (held, others): (HashSet<u64>, HashSet<u64>) = used
            .into_iter()
            .partition(|&inode| of_hold(inode).is_some());
        let mut shown = survey.paths(&others);
        let held = held
            .into_iter()
            .map(|inode| (inode, of_hold(inode).cloned()));
        let others = others
            .into_iter()
            .map(|inode| (inode, shown.remove(&inode)));
        Self(held.chain(others).collect())
    }

    fn of(&self, inode: u64) -> Option<&Path> {
        self.0.get(&inode)?.as_deref()
    }

    fn files(self) -> Vec<File> {
        let files = self.0.into_iter();
        files
            .map(|(inode, path)| File {
                inode,
                path: path.map(|path| path.to_string_lossy().into_owned()),
            })
            .collect()
    }
}

fn retain(survey: &mut Survey, asked: impl Fn(u64) -> bool) {
    for user in &mut survey.users {
        user.usages.retain(|usage| asked(usage.inode));
    }
    survey.users.retain(|user| !user.usages.is_empty());
}

impl ProcessUses {
    fn new(user: User, paths: &Paths) -> Self {
        let User { process, usages } = user;
        let mut uses: Vec<Use> = Vec::with_capacity(usages.len());
        for usage in &usages {
            let kind = Kind::from(usage.how);
            match uses.last_mut() {
                Some(last) if (last.inode, last.kind) == (usage.inode, kind) => last.add(usage),
                _ => uses.push(Use::from(usage)),
            }
        }
        let program = program(process.pid, &usages, paths);
        let (unit, unit_user) = match process.unit {
            Some(unit) => (Some(unit.name), unit.user),
            None => (None, None),
        };
        Self {
            pid: process.pid,
            start_time: process.started,
            comm: process.comm,
            executable: program.map(|path| path.to_string_lossy().into_owned()),
            unit,
            unit_user,
            container: process.container,
            uses,
        }
    }
}

/// The program a process runs. Where its inode has one name, that is it for all who run it.
fn program(pid: u32, usages: &[Usage], paths: &Paths) -> Option<PathBuf> {
    let used = usages.iter().find(|usage| usage.how == How::Executable);
    let known = used
        .filter(|used| used.links == 1)
        .and_then(|used| paths.of(used.inode));
    known.map(Path::to_owned).or_else(|| executable(pid))
}
