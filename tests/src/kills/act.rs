//! One kill, from the package's installation to the look at what is left.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use rousr_figures::kills::{Act, Kill, Role};

use super::armed::{self, HOOK, Steps, VARIABLE};
use crate::{Finished, holds, is_sealed, look, shell, task::must};

/// How long /usr may take to be sealed, and holds to go: an agent that was killed twice has to start, twelve
/// seconds of an emulated processor that is shared.
const PATIENCE: Duration = Duration::from_secs(90);

const HOLDERS: &str = "rousr-demo rousr-demo-script";

/// Where a kill is played.
#[derive(Debug)]
pub(super) struct Stage(Kill);

impl Stage {
    pub(super) fn new(number: u64, role: Role, act: Act) -> Self {
        Self(Kill {
            number,
            role,
            act,
            deaths: Vec::new(),
            sealed_ms: 0,
            again: false,
            unsealed: 0,
            leaked: 0,
            lost: 0,
            faults: Vec::new(),
        })
    }

    /// Plays it with deaths before the steps of these numbers.
    ///
    /// # Errors
    ///
    /// The stage cannot be set.
    pub(super) fn play(mut self, lives: &[u64], known: &mut Steps) -> Result<Kill> {
        let Kill { role, act, .. } = self.0;
        set()?;
        if role == Role::LoneHook {
            must("systemctl stop rousr")?;
        }
        armed::arm(role, lives)?;
        let finished = apt(act, role != Role::Agent);
        let agent_starts = role == Role::LoneHook;
        self.end(act, &finished, agent_starts)?;
        // Deaths of an agent come until here: it starts again, and is to seal.
        let (steps, deaths) = armed::disarm(role)?;
        if deaths.is_empty() {
            known.saw(role, act, steps);
        }
        self.0.deaths = deaths;
        self.let_go();
        Ok(self.0)
    }

    /// What an administrator does about a failed apt, and the seal, which needs none.
    fn end(&mut self, act: Act, first: &Finished, agent_starts: bool) -> Result<()> {
        if agent_starts {
            // Nobody but a hook is there until then.
            must("systemctl start rousr")?;
        }
        self.wait_for_seal();
        if first.status != 0 {
            self.0.again = true;
            let told = first.output.clone();
            let again = match shell("rousr exec dpkg --configure -a") {
                Finished { status: 0, .. } => apt(act, false),
                failed => failed,
            };
            if again.status != 0 {
                self.fault(format!("apt fails again: {told}\n{}", again.output));
            }
            self.wait_for_seal();
        }
        let leaks = look::leaks(true);
        self.0.leaked += leaks.len() as u64;
        self.0.faults.extend(leaks);
        Ok(())
    }

    fn wait_for_seal(&mut self) {
        let began = Instant::now();
        // A hook that dies before all is held leaves orphans: apt goes on without it.
        let may_be_blocked = self.0.role != Role::Agent;
        let is_as_wanted = || is_sealed() || (may_be_blocked && look::is_blocked());
        let is_sealed_in_time = within(is_as_wanted);
        let taken = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.sealed_ms = self.0.sealed_ms.max(taken);
        if !is_sealed_in_time {
            self.0.unsealed += 1;
            let state = shell("rousr status; journalctl -u rousr -n 20 --no-pager -o cat").output;
            self.fault(format!("not sealed: {state}"));
        }
        if !within(agent_runs) {
            let state = shell("systemctl status rousr --no-pager").output;
            self.fault(format!("the agent does not come back: {state}"));
        }
    }

    /// The holders end: nothing is left.
    fn let_go(&mut self) {
        shell(&format!("systemctl stop {HOLDERS}"));
        within(|| is_sealed() && look::leaks(false).is_empty());
        let leaks = look::leaks(false);
        self.0.leaked += leaks.len() as u64;
        self.0.faults.extend(leaks);
        if !is_sealed() {
            self.0.unsealed += 1;
            let state = shell("rousr blockers").output;
            self.fault(format!("not sealed without holders: {state}"));
        }
        let packages = match self.0.act {
            Act::Upgrade => "rousr-demo",
            Act::Removal => "dpkg",
        };
        let mut lost = look::lost(packages);
        if self.0.act == Act::Removal && fs::exists("/usr/share/rousr-demo").unwrap_or(true) {
            lost.push("files of the removed package are left".into());
        }
        self.0.lost += lost.len() as u64;
        self.0.faults.extend(lost);
    }

    fn fault(&mut self, what: String) {
        self.0.faults.push(what);
    }
}

/// The agent runs, the old package is installed, and its programs run.
fn set() -> Result<()> {
    must("systemctl start rousr")?;
    ensure!(within(agent_runs), "the agent does not start");
    must("apt-get -y -q --allow-downgrades install /run/share/rousr-demo_1.0_*.deb")?;
    must(&format!("systemctl restart {HOLDERS}"))?;
    let table = "/usr/share/rousr-demo/table.dat";
    let mapped = format!("grep -q {table} /proc/$(systemctl show -P MainPID rousr-demo)/maps");
    ensure!(
        within(|| shell(&mapped).status == 0),
        "the daemon does not map {table}"
    );
    ensure!(
        within(|| holds().is_empty() && is_sealed()),
        "the stage is not clean: {}",
        shell("rousr status").output
    );
    Ok(())
}

fn apt(act: Act, armed: bool) -> Finished {
    let environment = match armed {
        true => format!("{VARIABLE}={HOOK}"),
        false => String::new(),
    };
    let what = match act {
        Act::Upgrade => "install /run/share/rousr-demo_2.0_*.deb",
        Act::Removal => "remove rousr-demo",
    };
    shell(&format!("{environment} apt-get -y -q {what}"))
}

fn agent_runs() -> bool {
    shell("systemctl is-active --quiet rousr").status == 0
}

fn within(holds: impl Fn() -> bool) -> bool {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        if Instant::now() >= end {
            return false;
        }
        thread::sleep(Duration::from_millis(50));
    }
    true
}
