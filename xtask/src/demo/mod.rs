//! `cargo xtask demo`: one upgrade twice, with the plain remount hooks and with rousr.

mod line;
mod view;

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc::{self, Sender};
use std::thread;

use anyhow::{Context as _, Result};

use crate::guest::{Ending, Guest};
use crate::install::{self, Installed};
use crate::lab::demo_package;
use crate::lab::kernel::Kernel;
use crate::lines::Lines;
use crate::setup::{self, Need};
use crate::{lab, say};
use line::Line;
use view::Told;

/// Show one upgrade of a server with a read-only /usr, without and with rousr
///
/// Two guests upgrade OpenSSL and a small package while programs, systemd among them, hold the
/// old files. Exits with 0 only if every claim about what follows held.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[arg(long, value_enum, default_value_t = Kernel::Trixie)]
    kernel: Kernel,
}

/// A guest and what happens in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Plain,
    Rousr,
}

impl Act {
    const ALL: [Self; 2] = [Self::Plain, Self::Rousr];

    fn title(self) -> &'static str {
        match self {
            Self::Plain => "Act 1: hooks that remount /usr, as guides recommend",
            Self::Rousr => "Act 2: the same upgrade with rousr",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Plain => "act 1",
            Self::Rousr => "act 2",
        }
    }

    /// Its script, in the shared folder.
    fn script(self) -> &'static str {
        match self {
            Self::Plain => "plain.sh",
            Self::Rousr => "rousr.sh",
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    setup::ensure(Need::LAB)?;
    setup::ensure(Need::TOOLCHAIN)?;
    let installed = install::build(false)?;
    let share = tempfile::tempdir().context("cannot create a temporary folder")?;
    fill(share.path())?;

    let version = arguments.kernel.version()?.unwrap_or_default();
    let name = format!("demo on Debian {}, Linux {version}", lab::RELEASE);
    let step = say::Step::start(name, "booting two guests");
    let acts = play(&step, arguments.kernel, &installed, share.path());
    step.done("both acts are over");

    show(&acts).context("cannot write to stdout")?;
    let failed = acts.iter().any(|told| told.failures().next().is_some());
    Ok(match failed {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

/// Puts the scripts and the demo package into the folder the guests are given.
fn fill(share: &Path) -> Result<()> {
    for version in ["1.0", "2.0"] {
        demo_package::build(version, share)?;
    }
    let acts = lab::recipe().join("acts");
    for script in ["common.sh", Act::Plain.script(), Act::Rousr.script()] {
        let source = acts.join(script);
        fs::copy(&source, share.join(script))
            .with_context(|| format!("cannot copy {}", source.display()))?;
    }
    Ok(())
}

/// Plays the acts side by side, saying what each does.
fn play(step: &say::Step, kernel: Kernel, installed: &[Installed], share: &Path) -> Vec<Told> {
    let (sender, lines) = mpsc::channel();
    thread::scope(|scope| {
        let playing = Act::ALL.map(|act| {
            let guest = guest(act, kernel, installed, share);
            let sender = sender.clone();
            scope.spawn(move || perform(act, &guest, &sender))
        });
        drop(sender);
        let mut acts = Act::ALL.map(|act| Told {
            act,
            lines: Vec::new(),
            broken: None,
        });
        for (act, line) in lines {
            let Some(line) = line else {
                acts[act as usize].lines.clear();
                continue;
            };
            if let Line::Note(text) | Line::Event { text, .. } = &line {
                step.now(&format!("{}: {text}", act.name()));
            }
            acts[act as usize].lines.push(line);
        }
        for (told, thread) in acts.iter_mut().zip(playing) {
            told.broken = match thread.join() {
                Ok(Ok(Ending::Exited(0))) => None,
                Ok(Ok(Ending::Exited(status))) => Some(format!("its script ended with {status}")),
                Ok(Ok(Ending::TimedOut)) => Some("timed out".into()),
                Ok(Ok(Ending::Interrupted)) => Some("interrupted".into()),
                Ok(Ok(Ending::EmulatorFault(fault))) => Some(fault.to_string()),
                Ok(Err(error)) => Some(format!("{error:#}")),
                Err(_) => Some("its thread panicked".into()),
            };
        }
        acts.into()
    })
}

fn guest(act: Act, kernel: Kernel, installed: &[Installed], share: &Path) -> Guest {
    Guest {
        memory_mib: 1024,
        installed: match act {
            Act::Plain => Vec::new(),
            Act::Rousr => installed.to_vec(),
        },
        share: Some(share.into()),
        ..Guest::systemd(kernel)
    }
}

/// Sends the act's lines, and none where it begins anew.
fn perform(act: Act, guest: &Guest, sender: &Sender<(Act, Option<Line>)>) -> Result<Ending> {
    let script = format!("/run/share/{}", act.script());
    let command = ["sh", "-u", &script].map(OsString::from);
    // The receiver is there until every sender is gone.
    let send = |line| drop(sender.send((act, line)));
    let lines = || {
        send(None);
        Lines::new(|line| send(Some(Line::parse(&String::from_utf8_lossy(line)))))
    };
    let (ending, _) = guest.run_whole(&command, lines)?;
    Ok(ending)
}

/// Tells the story; in colours only on a terminal, and not where NO_COLOR is set.
fn show(acts: &[Told]) -> std::io::Result<()> {
    let mut out = anstream::stdout().lock();
    for told in acts {
        view::act(&mut out, told)?;
    }
    for told in acts {
        if told.act == Act::Rousr {
            view::timeline(&mut out, told)?;
        }
    }
    view::verdict(&mut out, acts)
}
