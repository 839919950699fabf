//! What else has to be right: fstab, the level, the hooks, the agent.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::choice::Choice;
use super::conflict::{Conflict, conflicts};
use crate::agent::client::{Client, ClientError};
use crate::agent::status::AgentStatus;
use crate::agent::switch::is_disabled;
use crate::config;
use crate::seal::{Level, Wanted, wanted::Source};
use crate::transaction::{HostKeeper, Opener, Places};

/// What the snippets run.
const PROGRAM: &str = "/usr/sbin/rousr";

/// The snippets of apt, of which unsealing comes first and sealing last, and of dpkg.
const SNIPPETS: [&str; 3] = [
    "/etc/apt/apt.conf.d/01rousr",
    "/etc/apt/apt.conf.d/zz-rousr",
    "/etc/dpkg/dpkg.cfg.d/rousr",
];

/// Whether something is right.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// It is.
    Well,
    /// It is not.
    Wrong,
    /// It could not be told.
    Unknown,
}

/// One thing that has to be right.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// What it is about.
    pub name: &'static str,
    /// Whether it is right.
    pub verdict: Verdict,
    /// What was found.
    pub detail: String,
    /// What to do about it.
    pub next: Option<String>,
}

/// Whether an agent runs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Agent {
    /// It answered.
    Running(AgentStatus),
    /// There is none.
    NotRunning,
    /// It could not be asked.
    Unknown(String),
}

/// The volume that holds /usr.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mounted {
    /// Where it is mounted.
    pub mount_point: PathBuf,
    /// The level it has.
    pub level: Level,
    /// The level it should have outside of transactions, and who says so.
    pub wanted: Wanted,
    /// Why the configuration cannot be used.
    pub misconfigured: Option<String>,
    /// Why it can never be made writable, where that is so.
    pub frozen: Option<String>,
    /// For whom it is writable, as far as they are still there.
    pub openers: Vec<Opener>,
}

/// What was found on this machine.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Setting {
    /// The volume that holds /usr, or why it cannot be looked at.
    pub mounted: Result<Mounted, String>,
    /// The agent.
    pub agent: Agent,
    /// Whether the administrator has said `rousr disable`.
    pub disabled: bool,
    /// Files that the hooks need, and are not there.
    pub missing_files: Vec<PathBuf>,
    /// Lines of others that remount, or why they cannot be looked for.
    pub conflicts: Result<Vec<Conflict>, String>,
}

impl Setting {
    /// Looks at the machine.
    pub fn read() -> Self {
        Self {
            mounted: Mounted::read().map_err(|error| error.to_string()),
            agent: Agent::ask(Client::default()),
            disabled: is_disabled(),
            missing_files: missing_files(),
            conflicts: conflicts().map_err(|error| error.to_string()),
        }
    }

    pub(super) fn volume(&self) -> Option<String> {
        let mounted = self.mounted.as_ref().ok()?;
        Some(mounted.mount_point.to_string_lossy().into_owned())
    }

    pub(super) fn judge(&self, choice: &Choice) -> Vec<Check> {
        let mut checks = match &self.mounted {
            Ok(mounted) => mounted.judge(),
            Err(error) => {
                vec![check("volume", Verdict::Unknown, error).then("run `rousr doctor` as root")]
            }
        };
        checks.push(self.judge_hooks());
        checks.push(self.judge_conflicts());
        checks.push(self.agent.judge(choice));
        checks
    }

    fn judge_hooks(&self) -> Check {
        if self.disabled {
            return check("hooks", Verdict::Wrong, "disabled").then("`rousr enable`");
        }
        if self.missing_files.is_empty() {
            return check("hooks", Verdict::Well, "installed");
        }
        let files: Vec<String> = self
            .missing_files
            .iter()
            .map(|file| file.display().to_string())
            .collect();
        let missing = format!("missing: {}", files.join(", "));
        check("hooks", Verdict::Wrong, missing).then(
            "install rousr anew; dpkg brings a removed snippet back only with --force-confmiss",
        )
    }
}

impl Setting {
    fn judge_conflicts(&self) -> Check {
        let name = "other hooks";
        let conflicts = match &self.conflicts {
            Ok(conflicts) => conflicts,
            Err(error) => {
                return check(name, Verdict::Unknown, error).then("run `rousr doctor` as root");
            }
        };
        if conflicts.is_empty() {
            return check(name, Verdict::Well, "none remounts anything");
        }
        let place = |conflict: &Conflict| format!("{}:{}", conflict.file.display(), conflict.line);
        let places: Vec<String> = conflicts.iter().map(place).collect();
        let detail = format!("remounting as well: {}", places.join(", "));
        check(name, Verdict::Wrong, detail)
            .then("remove the hooks at these lines: rousr does it, and knows when")
    }
}

impl Mounted {
    fn read() -> Result<Self, crate::transaction::Error> {
        let keeper = HostKeeper::open(Places::default())?;
        Ok(Self {
            level: keeper.level()?,
            wanted: keeper.wanted_by()?,
            misconfigured: keeper.config().err().map(|error| error.to_string()),
            frozen: (keeper.seal().state()?.frozen).map(|frozen| frozen.to_string()),
            openers: openers_alive(&keeper)?,
            mount_point: keeper.volume().mount_point.clone(),
        })
    }

    fn judge(&self) -> Vec<Check> {
        let mut checks = vec![
            self.judge_configuration(),
            self.judge_wanted(),
            self.judge_level(),
        ];
        checks.extend(self.frozen.as_ref().map(|frozen| {
            let detail = format!("{} can never be made writable", self.mount_point.display());
            check("upgrades", Verdict::Wrong, detail).then(frozen)
        }));
        checks
    }

    fn judge_configuration(&self) -> Check {
        match &self.misconfigured {
            Some(error) => check("configuration", Verdict::Wrong, error)
                .then("correct it; meanwhile it is as if the file were empty"),
            None => check("configuration", Verdict::Well, "understood"),
        }
    }

    fn judge_wanted(&self) -> Check {
        let mount_point = self.mount_point.display();
        let name = "read-only wanted";
        let Wanted { level, by } = self.wanted;
        match by {
            Source::Configuration if level == Level::Open => {
                let detail =
                    format!("{mount_point} is to be writable, {by}: rousr only tracks and reaps");
                check(name, Verdict::Well, detail)
            }
            Source::Configuration | Source::Fstab { .. } | Source::Before => check(
                name,
                Verdict::Well,
                format!("{mount_point} is to be read-only, {by}"),
            ),
            Source::Found => {
                let detail = format!("{mount_point} is read-only, though fstab does not say so");
                check(name, Verdict::Wrong, detail).then(self.say_so())
            }
            Source::Nobody if self.mount_point == Path::new("/") => {
                let detail = "/usr is no filesystem of its own, and / is not to be read-only";
                check(name, Verdict::Wrong, detail)
                    .then("nothing here is sealed: rousr keeps a read-only filesystem so")
            }
            Source::Nobody => {
                let detail = format!("nothing says that {mount_point} is to be read-only");
                check(name, Verdict::Wrong, detail).then(self.say_so())
            }
        }
    }

    fn say_so(&self) -> String {
        format!(
            "add ro to the line of {} in /etc/fstab, or `usr = \"read-only\"` to {}",
            self.mount_point.display(),
            config::PATH
        )
    }

    fn judge_level(&self) -> Check {
        let detail = format!("{} is {}", self.mount_point.display(), self.level);
        if let Some(opener) = self.openers.first() {
            return check("level", Verdict::Well, format!("{detail}, for {opener}"));
        }
        if self.level >= self.wanted.level {
            return check("level", Verdict::Well, detail);
        }
        let detail = format!("{detail}, wanted is {}", self.wanted.level);
        check("level", Verdict::Wrong, detail).then("`rousr blockers` names what blocks")
    }
}

/// One that has died has no business to keep it writable.
fn openers_alive(keeper: &HostKeeper) -> Result<Vec<Opener>, crate::transaction::Error> {
    let abandoned = keeper.abandoned()?;
    let mut openers = keeper.openers()?;
    openers.retain(|opener| !abandoned.contains(opener));
    Ok(openers)
}

impl Agent {
    fn ask(client: Client) -> Self {
        match client.status() {
            Ok(status) => match status.agent {
                Some(agent) => Self::Running(agent),
                None => Self::Unknown("it does not tell of itself".to_owned()),
            },
            Err(ClientError::NotRunning) => Self::NotRunning,
            Err(error) => Self::Unknown(error.to_string()),
        }
    }

    fn judge(&self, choice: &Choice) -> Check {
        let name = "agent";
        let status = match self {
            Self::Running(status) => status,
            Self::NotRunning => {
                return check(name, Verdict::Wrong, "not running")
                    .then("`systemctl enable --now rousr`");
            }
            Self::Unknown(why) => {
                return check(name, Verdict::Unknown, why).then("run `rousr doctor` as root");
            }
        };
        let AgentStatus {
            pid,
            tracker,
            hooks,
            watched,
            ..
        } = status;
        let lost: u64 = status.losses.values().sum();
        let detail = format!(
            "pid {pid}, tracker {tracker} ({hooks}), {watched} inodes watched, {lost} events lost"
        );
        if choice.is_met_by(tracker, hooks) {
            return check(name, Verdict::Well, detail);
        }
        let best = choice.describe();
        let why = status.missing.as_deref().unwrap_or("no reason given");
        let detail = format!("{detail}; it could have {best}: {why}");
        check(name, Verdict::Wrong, detail).then("`systemctl restart rousr`, and see its log")
    }
}

impl Check {
    fn then(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }
}

fn check(name: &'static str, verdict: Verdict, detail: impl Into<String>) -> Check {
    Check {
        name,
        verdict,
        detail: detail.into(),
        next: None,
    }
}

fn missing_files() -> Vec<PathBuf> {
    let runs =
        |path: &Path| fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o111 != 0);
    let mut missing: Vec<PathBuf> = SNIPPETS.iter().map(PathBuf::from).collect();
    missing.retain(|snippet| !snippet.exists());
    if !runs(Path::new(PROGRAM)) {
        missing.push(PROGRAM.into());
    }
    missing
}
