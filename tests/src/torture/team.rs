//! The workers as the conductor sees them.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};

use super::{
    protocol::{Answer, Order, Report},
    worker::Place,
};

/// All workers.
pub(super) struct Team(Vec<Member>);

struct Member {
    process: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Team {
    /// Starts them, and waits until they are ready.
    pub(super) fn start(seed: u64, workers: usize, files: usize) -> Result<Self> {
        let members = (0..workers)
            .map(|number| {
                Member::start(Place {
                    seed,
                    number,
                    workers,
                    files,
                })
            })
            .collect::<Result<_>>()?;
        let mut team = Self(members);
        team.answers()?;
        Ok(team)
    }

    /// Gives all the same order, and waits until the last has done it.
    pub(super) fn order(&mut self, order: &Order) -> Result<()> {
        self.say(order)?;
        self.answers().map(drop)
    }

    /// Asks all what they did and hold.
    pub(super) fn reports(&mut self) -> Result<Vec<Report>> {
        self.say(&Order::Report)?;
        self.answers()?
            .into_iter()
            .map(|answer| match answer {
                Answer::Report(report) => Ok(report),
                other => bail!("a worker answered {other:?} instead of a report"),
            })
            .collect()
    }

    fn say(&mut self, order: &Order) -> Result<()> {
        let mut line = serde_json::to_vec(order)?;
        line.push(b'\n');
        for member in &mut self.0 {
            member.orders.write_all(&line).context("a worker is gone")?;
        }
        Ok(())
    }

    fn answers(&mut self) -> Result<Vec<Answer>> {
        let answers = self.0.iter_mut().map(Member::answer);
        answers.collect()
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        for member in &mut self.0 {
            // It may have ended by itself.
            let _ = member.process.kill();
            let _ = member.process.wait();
        }
    }
}

impl Member {
    fn start(place: Place) -> Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(["worker", &serde_json::to_string(&place)?])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start a worker")?;
        let orders = process.stdin.take().context("a worker has no input")?;
        let answers = process.stdout.take().context("a worker has no output")?;
        Ok(Self {
            process,
            orders,
            answers: BufReader::new(answers),
        })
    }

    fn answer(&mut self) -> Result<Answer> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        ensure!(
            !line.is_empty(),
            "a worker is gone: {:?}",
            self.process.wait()
        );
        match serde_json::from_str(&line)? {
            Answer::Failed(error) => bail!(error),
            answer => Ok(answer),
        }
    }
}
