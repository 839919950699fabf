//! A worker: a process that takes and releases holders at random.
//!
//! What it does next follows from its seed, its number and the orders alone, never from time or from what
//! other processes do.

use std::{
    collections::BTreeMap,
    io::{self, BufRead as _, Write as _},
    os::fd::AsFd as _,
    rc::Rc,
};

use anyhow::{Context as _, Result, bail};
use rustix::{
    fs::{OFlags, fstat},
    process::{Resource, Rlimit, Signal, getrlimit, set_parent_process_death_signal, setrlimit},
};
use serde::{Deserialize, Serialize};

use super::{
    file_path,
    holdings::{Holder, Holdings, Inode, Opened},
    kind::{Kind, Mix, Phase},
    means::{Hands, Means},
    open,
    protocol::{Answer, Order, Report},
};

/// Of this many workers an average file is opened by three.
const OPENERS: usize = 3;

/// Which worker this is.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(super) struct Place {
    pub(super) seed: u64,
    /// From 0.
    pub(super) number: usize,
    /// Of how many.
    pub(super) workers: usize,
    /// Files of the package.
    pub(super) files: usize,
}

/// Serves the conductor at standard input until that ends.
pub(super) fn serve(place: Place) -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    )?;
    let mut worker = Worker::new(place)?;
    let mut output = io::stdout().lock();
    let mut say = |answer: &Answer| -> Result<()> {
        let mut line = serde_json::to_vec(answer)?;
        line.push(b'\n');
        Ok(output.write_all(&line)?)
    };
    say(&Answer::Done)?;
    for line in io::stdin().lock().lines() {
        let order = serde_json::from_str(&line?)?;
        let answer = worker
            .obey(&order)
            .unwrap_or_else(|error| Answer::Failed(format!("worker {}: {error:#}", place.number)));
        say(&answer)?;
    }
    Ok(())
}

struct Worker {
    random: fastrand::Rng,
    hands: Hands,
    holdings: Holdings<Means>,
    operations: BTreeMap<Kind, u64>,
    premature: Vec<String>,
    place: Place,
}

impl Worker {
    fn new(place: Place) -> Result<Self> {
        // Neighbouring seeds shall have nothing in common.
        let mut seeds = fastrand::Rng::with_seed(place.seed);
        for _ in 0..place.number {
            seeds.u64(..);
        }
        Ok(Self {
            random: fastrand::Rng::with_seed(seeds.u64(..)),
            hands: Hands::new(place.number)?,
            holdings: Holdings::default(),
            operations: BTreeMap::new(),
            premature: Vec::new(),
            place,
        })
    }

    fn obey(&mut self, order: &Order) -> Result<Answer> {
        match *order {
            Order::Begin { generation } => self.begin(generation)?,
            Order::Churn { phase, operations } => self.churn(phase, operations)?,
            Order::Release { generation } => {
                while let Some(at) = self.holdings.find(&mut self.random, |holder| {
                    holder.kind == Kind::Swap || holder.inode.generation < generation
                }) {
                    self.release(at)?;
                }
            }
            Order::Report => {
                return Ok(Answer::Report(Report {
                    operations: self.operations.clone(),
                    counts: self.holdings.counts(),
                    premature: self.premature.clone(),
                }));
            }
        }
        Ok(Answer::Done)
    }

    fn begin(&mut self, generation: u32) -> Result<()> {
        for index in 0..self.place.files {
            if self.random.usize(..self.place.workers) >= OPENERS {
                continue;
            }
            let path = file_path(index);
            let file = open(&path, OFlags::RDONLY)
                .with_context(|| format!("cannot open {}", path.display()))?;
            let number = fstat(&file)?.st_ino;
            self.holdings.push(Holder {
                kind: Kind::Open,
                inode: Rc::new(Inode { generation, number }),
                file: Rc::new(Opened { path_only: false }),
                means: Means::Descriptor(file),
            });
            self.did(Kind::Open);
        }
        Ok(())
    }

    fn churn(&mut self, phase: Phase, operations: u64) -> Result<()> {
        let mix = Mix::of(phase);
        // A quarter of what a generation begins with, and twice that.
        let floor = self.place.files * OPENERS / self.place.workers.max(OPENERS) / 4;
        let ceiling = 8 * floor.max(1);
        for _ in 0..operations {
            let count = self.holdings.len();
            let grow = count < floor || (count < ceiling && self.random.bool());
            match grow {
                true => self.grow(&mix)?,
                false => self.shrink(|_| true)?,
            }
        }
        Ok(())
    }

    /// Takes a holder, or releases one of the kind where there are enough of it.
    fn grow(&mut self, mix: &Mix) -> Result<()> {
        let kind = mix.draw(&mut self.random);
        if self.holdings.count(kind) >= kind.limit() {
            return self.shrink(|holder| holder.kind == kind);
        }
        let source = self
            .holdings
            .find(&mut self.random, |holder| can_serve(holder, kind));
        match source {
            Some(at) => self.take(kind, at),
            None => self.shrink(|_| true),
        }
    }

    fn shrink(&mut self, will_do: impl Fn(&Holder<Means>) -> bool) -> Result<()> {
        match self.holdings.find(&mut self.random, will_do) {
            Some(at) => self.release(at),
            None => bail!("nothing is held any more"),
        }
    }

    fn take(&mut self, kind: Kind, at: usize) -> Result<()> {
        self.check(at)?;
        let source = self.holdings.get(at);
        let inode = Rc::clone(&source.inode);
        let taken = self.hands.take(kind, &source.means, inode.number);
        let means = match taken {
            Ok(means) => means,
            Err(error) if error.kind() == io::ErrorKind::NotFound && kind.needs_hold() => {
                self.premature.push(format!(
                    "inode {} of generation {} has holders and no hold for {}",
                    inode.number,
                    inode.generation,
                    kind.name()
                ));
                return Ok(());
            }
            Err(error) => {
                return Err(error).with_context(|| {
                    format!("cannot take {} of inode {}", kind.name(), inode.number)
                });
            }
        };
        let file = match kind.shares_file() {
            true => Rc::clone(&source.file),
            false => Rc::new(Opened {
                path_only: kind == Kind::Path,
            }),
        };
        self.holdings.push(Holder {
            kind,
            inode,
            file,
            means,
        });
        self.did(kind);
        Ok(())
    }

    fn release(&mut self, at: usize) -> Result<()> {
        self.check(at)?;
        let Holder {
            kind,
            inode,
            file: _,
            means,
        } = self.holdings.take(at);
        self.hands
            .release(inode.number, means)
            .with_context(|| format!("cannot release {} of inode {}", kind.name(), inode.number))?;
        self.did(kind);
        Ok(())
    }

    /// A held inode has a name: while it is held, its hold's at least.
    fn check(&mut self, at: usize) -> Result<()> {
        let holder = self.holdings.get(at);
        let Means::Descriptor(file) = &holder.means else {
            return Ok(());
        };
        if fstat(file.as_fd())?.st_nlink == 0 {
            self.premature.push(format!(
                "inode {} of generation {} has no name, held by {}",
                holder.inode.number,
                holder.inode.generation,
                holder.kind.name()
            ));
        }
        Ok(())
    }

    fn did(&mut self, kind: Kind) {
        *self.operations.entry(kind).or_default() += 1;
    }
}

/// Whether a holder of this kind can be had from that one.
fn can_serve(source: &Holder<Means>, kind: Kind) -> bool {
    match kind {
        Kind::MapFiles => matches!(source.means, Means::Mapping(_)),
        kind if kind.needs_hold() => true,
        kind if kind.needs_content() => source.kind.is_source() && !source.file.path_only,
        _ => source.kind.is_source(),
    }
}
