//! Who uses what, as `rousr holders` shows it.

use std::{
    collections::{BTreeMap, HashSet},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::protocol::Told;

use crate::{
    hold::{Ledger, ledger::Entries},
    track::{
        process::executable,
        survey::{Source, Survey, Surveyor, User},
        usage::{How, Usage},
    },
    transaction::{Error, HostKeeper},
};

/// Which inodes are asked for.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Those that are held.
    Held,
    /// All of the volume.
    All,
    /// One.
    Inode(u64),
}

/// The processes that use the inodes asked for. In JSON, names are in camelCase; what is not UTF-8
/// is replaced.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Holders {
    /// Where the volume is mounted.
    pub mount_point: String,
    /// How they were found.
    pub source: Source,
    /// What could not be told.
    pub warnings: Vec<String>,
    /// The inodes that are used, in the order of their numbers.
    pub files: Vec<File>,
    /// In the order of their numbers.
    pub processes: Vec<ProcessUses>,
}

/// An inode that is used.
#[derive(Debug, Deserialize, Serialize)]
pub struct File {
    /// Inode number.
    pub inode: u64,
    /// The path that the ledger knows, else one that the kernel shows; absent where neither does.
    pub path: Option<String>,
}

impl Holders {
    /// As JSON, and what is to be known of it.
    ///
    /// # Errors
    ///
    /// None but the serializer's.
    pub fn into_text(self) -> serde_json::Result<(Told, Vec<u8>)> {
        let text = serde_json::to_vec(&self)?;
        let told = Told {
            source: self.source,
            processes: self.processes.len(),
            length: text.len(),
        };
        Ok((told, text))
    }
}

/// A process, and what it uses.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessUses {
    /// Its number.
    pub pid: u32,
    /// When it started, in clock ticks since boot, as in /proc/PID/stat.
    pub start_time: u64,
    /// The command's name.
    pub comm: String,
    /// The program's path; absent where it cannot be seen.
    pub executable: Option<String>,
    /// The systemd unit.
    pub unit: Option<String>,
    /// The user whose manager runs the unit; absent for the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit_user: Option<u32>,
    /// The container, by the name or the identifier in its control group's.
    pub container: Option<String>,
    /// By inode number and kind.
    pub uses: Vec<Use>,
}

/// One inode that a process uses, and one kind of use.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Use {
    /// Inode number.
    pub inode: u64,
    /// The kind.
    pub kind: Kind,
    /// Numbers of the descriptors, where the kind is one of descriptors.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub descriptors: Vec<u32>,
    /// Number of mappings, where the kind is that.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub mappings: u32,
    /// Whether any of them can write.
    #[serde(default, skip_serializing_if = "is_false")]
    pub writable: bool,
}

/// A kind of use.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Open descriptors.
    Descriptor,
    /// Descriptors opened with `O_PATH`.
    PathDescriptor,
    /// Mappings.
    Mapping,
    /// The running program.
    Executable,
    /// The working directory of a thread.
    WorkingDirectory,
    /// The root directory of a thread.
    Root,
}

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

impl From<&Usage> for Use {
    fn from(usage: &Usage) -> Self {
        let mut first = Self {
            inode: usage.inode,
            kind: usage.how.into(),
            descriptors: Vec::new(),
            mappings: 0,
            writable: false,
        };
        first.add(usage);
        first
    }
}

impl Use {
    fn add(&mut self, usage: &Usage) {
        self.writable |= usage.writable;
        match usage.how {
            How::Descriptor(number) | How::PathDescriptor(number) => self.descriptors.push(number),
            How::Mapping => self.mappings += usage.times,
            How::Executable | How::WorkingDirectory | How::Root => {}
        }
    }
}

impl From<How> for Kind {
    fn from(how: How) -> Self {
        match how {
            How::Descriptor(_) => Self::Descriptor,
            How::PathDescriptor(_) => Self::PathDescriptor,
            How::Mapping => Self::Mapping,
            How::Executable => Self::Executable,
            How::WorkingDirectory => Self::WorkingDirectory,
            How::Root => Self::Root,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_false(flag: &bool) -> bool {
    !*flag
}
