//! The conductor: upgrades the package under its workers, kills the agent, and judges at quiet points.

use std::{
    collections::BTreeMap,
    os::fd::OwnedFd,
    thread::{self, ScopedJoinHandle},
    time::{Duration, Instant},
};

use anyhow::Result;
use rousr_figures::torture::{Options, Run};

use super::{
    agent::{self, Life},
    counters::Counters,
    ground,
    holdings::Count,
    judge::{Findings, Scene},
    kind::Phase,
    package::{self, Transaction},
    protocol::Order,
    report::{Record, progress},
    team::Team,
};
use crate::is_sealed;

/// How long wrong counts and stale holds may last once all is quiet: the agent has events left to
/// deal with, and io_uring of 6.1 keeps a removed file for up to a second.
const GRACE: Duration = Duration::from_secs(10);

/// Without a wanted number of deaths, the agent dies once in as many rounds.
const ROUNDS_A_DEATH: u32 = 4;

/// Runs until the time is over, the operations are done or the agent has died often enough.
pub(super) fn run(options: &Options) -> Result<Run> {
    ground::prepare(options)?;
    let opened = Transaction::begin()?;
    package::install(options.files)?;
    let team = Team::start(options.seed, options.workers, options.files)?;
    opened.end()?;
    let mut conductor = Conductor {
        options,
        team,
        // Apart from the workers' sequence.
        random: fastrand::Rng::with_seed(!options.seed),
        counters: Counters::default(),
        record: Record::default(),
        upgrade: Duration::from_secs(2),
    };
    conductor.play()?;
    conductor.finish()
}

struct Conductor<'a> {
    options: &'a Options,
    team: Team,
    random: fastrand::Rng,
    counters: Counters,
    record: Record,
    /// How long the last upgrade took.
    upgrade: Duration,
}

impl Conductor<'_> {
    fn play(&mut self) -> Result<()> {
        let began = Instant::now();
        for round in 0.. {
            self.round(round)?;
            progress(format!(
                "{:.0} s, round {round}: {}",
                began.elapsed().as_secs_f64(),
                self.record.summary()
            ));
            // Of each pair of rounds the second has the filesystem blocked.
            if self.record.run.is_failed() || (round > 0 && self.is_done(began)) {
                break;
            }
        }
        self.record.run.seconds = began.elapsed().as_secs_f64();
        Ok(())
    }

    fn is_done(&self, began: Instant) -> bool {
        let reached = |wanted: Option<u64>, is| wanted.is_some_and(|wanted| is >= wanted);
        began.elapsed().as_secs() >= self.options.seconds
            || reached(self.options.operations, self.record.run.total())
            || reached(self.options.kills, self.record.run.kills)
    }

    /// One upgrade: the files of the generation are opened, replaced, held for a while without a name,
    /// and those of the generation before are let go.
    fn round(&mut self, round: u32) -> Result<()> {
        let blocked = round % 2 == 1;
        self.team.order(&Order::Begin { generation: round })?;
        let dies = self.options.kills.is_some();
        let blocker = self.upgrade(round + 1, blocked, dies)?;
        if dies {
            self.judge(blocked)?;
        }
        let phase = match blocked {
            true => Phase::Blocked,
            false => Phase::Sealed,
        };
        let dies = !dies && round % ROUNDS_A_DEATH == ROUNDS_A_DEATH - 2;
        self.churn(phase, dies)?;
        self.team.order(&Order::Release { generation: round })?;
        self.judge(blocked)?;
        drop(blocker);
        Ok(())
    }

    /// Upgrades while the workers go on, and kills the agent before, in or just after it.
    fn upgrade(&mut self, generation: u32, block: bool, dies: bool) -> Result<Option<OwnedFd>> {
        let order = Order::Churn {
            phase: Phase::Upgrade,
            operations: self.options.operations_a_round / 4,
        };
        let death = self.death(dies, 1.25)?;
        let files = self.options.files;
        let began = Instant::now();
        let (blocker, took) = thread::scope(|scope| {
            let upgrade = scope.spawn(|| {
                let blocker = Transaction::begin()?.upgrade(generation, files, block)?;
                anyhow::Ok((blocker, began.elapsed()))
            });
            let death = scope.spawn(|| death.come());
            let churned = self.team.order(&order);
            let upgraded = join(upgrade)?;
            join(death)?;
            churned.map(|()| upgraded)
        })?;
        self.upgrade = took;
        Ok(blocker)
    }

    fn churn(&mut self, phase: Phase, dies: bool) -> Result<()> {
        let order = Order::Churn {
            phase,
            operations: self.options.operations_a_round * 3 / 4,
        };
        let death = self.death(dies, 1.0)?;
        thread::scope(|scope| {
            let death = scope.spawn(|| death.come());
            let churned = self.team.order(&order);
            join(death)?;
            churned
        })
    }

    /// The agent's death within as many times of an upgrade's duration, if it is to die.
    fn death(&mut self, dies: bool, upgrades: f64) -> Result<Death> {
        // Drawn in any case: the moments of others do not depend on it.
        let moment = self.upgrade.mul_f64(upgrades * self.random.f64());
        self.record.run.kills += u64::from(dies);
        let life = match dies {
            true => Some(Life::after(None)?),
            false => None,
        };
        Ok(Death { life, moment })
    }

    /// Compares, the workers being quiet; what is wrong may mend itself for a while.
    fn judge(&mut self, blocked: bool) -> Result<()> {
        let scene = self.scene()?;
        let quiet = Instant::now();
        let is_over = |findings: &Findings| findings.is_clean() || quiet.elapsed() > GRACE;
        let mut findings = poll(is_over, || {
            Ok(scene.judge(&crate::holds(), &agent::counts()?))
        })?;
        let took = quiet.elapsed();
        let sealed = poll(
            |sealed| *sealed || quiet.elapsed() > GRACE,
            || Ok(blocked || is_sealed()),
        )?;
        // Only now: it would put right what it finds wrong.
        let model = poll(is_over, || Ok(scene.check_model(&agent::kernel_counts()?)))?;
        findings.drift += model.drift;
        findings.told.extend(model.told);
        self.record.run.unsealed += u64::from(!sealed);
        self.record.settled(took, &scene.model, &findings);
        self.counters.look(&agent::metrics()?);
        Ok(())
    }

    fn scene(&mut self) -> Result<Scene> {
        let mut model: BTreeMap<u64, Count> = BTreeMap::new();
        let reports = self.team.reports()?;
        for report in &reports {
            for (&inode, &count) in &report.counts {
                model.entry(inode).or_default().add(count);
            }
        }
        self.record.workers(&reports);
        let public = package::inodes(self.options.files)?;
        Ok(Scene { model, public })
    }

    /// Lets go of all, and asks the agent what it saw.
    fn finish(mut self) -> Result<Run> {
        if !self.record.run.is_failed() {
            self.team.order(&Order::Release {
                generation: u32::MAX,
            })?;
            // Nothing else tells the agent that the last round's blocker is gone.
            Transaction::begin()?.end()?;
            self.judge(false)?;
        }
        self.record.agent(&self.counters, &agent::log()?);
        Ok(self.record.run)
    }
}

/// Asks again until the answer will do.
fn poll<T>(will_do: impl Fn(&T) -> bool, ask: impl Fn() -> Result<T>) -> Result<T> {
    loop {
        let answer = ask()?;
        if will_do(&answer) {
            return Ok(answer);
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// The end of a life of the agent, or none.
struct Death {
    life: Option<Life>,
    moment: Duration,
}

impl Death {
    /// Waits for the moment, and for the life after it.
    fn come(&self) -> Result<()> {
        let Some(life) = self.life else {
            return Ok(());
        };
        thread::sleep(self.moment);
        life.kill()?;
        Life::after(Some(life)).map(drop)
    }
}

fn join<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
