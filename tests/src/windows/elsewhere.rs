//! A hammer in another mount namespace, through a mount of /usr of its own.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _, stdin, stdout},
    process::{Child, ChildStdout, Command, Stdio},
};

use anyhow::{Context as _, bail};
use rousr_figures::windows::Attempts;

use super::hammer::{self, Hammer};

/// What begins the lines that are for the parent: a test's harness writes others.
const MARK: &str = "hammer:";

/// A process that hammers there.
pub(super) struct Elsewhere {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Elsewhere {
    /// Starts `program`, which calls [`serve`], in a mount namespace of its own, while /usr is
    /// writable. It has written through its own mount when this returns.
    pub(super) fn start(program: &Command) -> anyhow::Result<Self> {
        let mut command = Command::new("unshare");
        command.arg("--mount").arg(program.get_program());
        command.args(program.get_args());
        for (name, value) in program.get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run unshare")?;
        let said = child.stdout.take().context("its output is a pipe")?;
        let mut elsewhere = Self {
            child,
            said: BufReader::new(said),
        };
        let ready = elsewhere.hear()?;
        anyhow::ensure!(ready == "ready", "it said {ready:?}");
        Ok(elsewhere)
    }

    /// The flag of its mount at /usr.
    pub(super) fn flag(&self) -> anyhow::Result<String> {
        let mounts = fs::read_to_string(format!("/proc/{}/mountinfo", self.child.id()))?;
        let line = mounts
            .lines()
            .rfind(|line| line.split(' ').nth(4) == Some("/usr"));
        let options = line
            .and_then(|line| line.split(' ').nth(5))
            .context("it has no /usr")?;
        Ok(options.split(',').next().unwrap_or_default().to_owned())
    }

    /// Has it begin.
    pub(super) fn begin(&mut self) -> anyhow::Result<()> {
        let input = self.child.stdin.as_mut().context("its input is a pipe")?;
        writeln!(input, "begin").context("it has ended")
    }

    /// Ends it.
    pub(super) fn stop(mut self) -> anyhow::Result<Attempts> {
        drop(self.child.stdin.take());
        let attempts = self.hear()?;
        self.child.wait()?;
        serde_json::from_str(&attempts).with_context(|| format!("it said {attempts:?}"))
    }

    fn hear(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        loop {
            line.clear();
            if self.said.read_line(&mut line)? == 0 {
                bail!("the hammer elsewhere has ended");
            }
            // The harness begins its line with the test's name.
            if let Some((_, said)) = line.split_once(MARK) {
                return Ok(said.trim().to_owned());
            }
        }
    }
}

/// What the other process does: hammers from the first line on its standard input to its end.
pub(super) fn serve() -> anyhow::Result<()> {
    hammer::try_once().context("/usr is not writable here")?;
    say("ready")?;
    let mut line = String::new();
    stdin().read_line(&mut line)?;
    let hammer = Hammer::start();
    while stdin().read_line(&mut line)? > 0 {}
    say(&serde_json::to_string(&hammer.stop()?)?)
}

fn say(text: &str) -> anyhow::Result<()> {
    let mut output = stdout().lock();
    writeln!(output, "{MARK} {text}")?;
    Ok(output.flush()?)
}
