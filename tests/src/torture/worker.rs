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
    means::{Hands, Means, Source},
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
    /// Their sum.
    done: u64,
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
            done: 0,
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
            let drawn = self.random.usize(..self.place.workers) < OPENERS;
            if !drawn && !self.place.swaps_to(index) {
                continue;
            }
            let path = file_path(index);
            let file = open(&path, OFlags::RDONLY)
                .with_context(|| format!("cannot open {}", path.display()))?;
            let number = fstat(&file)?.st_ino;
            self.holdings.push(Holder {
                kind: Kind::Open,
                inode: Rc::new(Inode {
                    generation,
                    index,
                    number,
                }),
                file: Rc::new(Opened { path_only: false }),
                means: Rc::new(Means::Descriptor(file)),
            });
            self.did(Kind::Open);
        }
        Ok(())
    }

    fn churn(&mut self, phase: Phase, operations: u64) -> Result<()> {
        let mix = Mix::of(phase);
        // Twice as many as a generation begins with are the middle.
        let most = 4 * self.place.files * OPENERS / self.place.workers.max(OPENERS);
        let end = self.done + operations;
        while self.done < end {
            match self.random.usize(..most) >= self.holdings.len() {
                true => self.grow(&mix)?,
                false => self.shrink(|_| true)?,
            }
        }
        Ok(())
    }

    /// Takes holders, or releases one of the kind where there are enough of it.
    fn grow(&mut self, mix: &Mix) -> Result<()> {
        let kind = mix.draw(&mut self.random);
        if self.holdings.count(kind) >= kind.limit() {
            return self.shrink(|holder| holder.kind == kind);
        }
        let kinds = match kind {
            Kind::Program | Kind::Interpreter => vec![Kind::Program, Kind::Interpreter],
            kind => vec![kind; self.random.usize(1..=kind.batch())],
        };
        let sources: Option<Vec<usize>> = kinds.iter().map(|_| self.source(kind)).collect();
        match sources {
            Some(sources) => self.take(&kinds, &sources),
            None => self.shrink(|_| true),
        }
    }

    /// Of two holders that will do, the one whose inode has fewer: else chance leaves many holders
    /// on few inodes.
    fn source(&mut self, kind: Kind) -> Option<usize> {
        let place = self.place;
        let mut draw = || {
            self.holdings
                .find(&mut self.random, |holder| can_serve(holder, kind, place))
        };
        let drawn = [draw()?, draw()?];
        let holders = |at: &usize| Rc::strong_count(&self.holdings.get(*at).inode);
        drawn.into_iter().min_by_key(holders)
    }

    fn shrink(&mut self, will_do: impl Fn(&Holder<Means>) -> bool) -> Result<()> {
        match self.holdings.find(&mut self.random, will_do) {
            Some(at) => self.release(at),
            None => bail!("nothing is held any more"),
        }
    }

    /// Takes one holder of each of these kinds, by its source.
    fn take(&mut self, kinds: &[Kind], sources: &[usize]) -> Result<()> {
        for &at in sources {
            self.check(at)?;
        }
        let holders: Vec<&Holder<Means>> =
            sources.iter().map(|&at| self.holdings.get(at)).collect();
        let leads: Vec<Source<'_>> = holders
            .iter()
            .map(|holder| Source {
                means: &holder.means,
                inode: holder.inode.number,
            })
            .collect();
        let kind = kinds[0];
        let inodes = || leads.iter().map(|lead| lead.inode).collect::<Vec<_>>();
        let taken = match self.hands.take(kind, &leads) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && kind.needs_hold() => {
                let line = format!("{} of inodes {:?}: no hold", kind.name(), inodes());
                self.premature.push(line);
                return Ok(());
            }
            taken => taken.with_context(|| format!("{} of inodes {:?}", kind.name(), inodes()))?,
        };
        let means = Rc::new(taken);
        let new: Vec<Holder<Means>> = kinds
            .iter()
            .zip(&holders)
            .map(|(&kind, source)| Holder {
                kind,
                inode: Rc::clone(&source.inode),
                file: match kind.shares_file() {
                    true => Rc::clone(&source.file),
                    false => Rc::new(Opened {
                        path_only: kind == Kind::Path,
                    }),
                },
                means: Rc::clone(&means),
            })
            .collect();
        for holder in new {
            self.did(holder.kind);
            self.holdings.push(holder);
        }
        Ok(())
    }

    /// Releases a holder, and those that can only go with it.
    fn release(&mut self, at: usize) -> Result<()> {
        self.check(at)?;
        let holders = self.holdings.take(at);
        let what = |holder: &Holder<Means>| (holder.kind, holder.inode.number);
        let gone: Vec<(Kind, u64)> = holders.iter().map(what).collect();
        let means = holders
            .into_iter()
            .map(|holder| holder.means)
            .reduce(|_, last| last);
        // The last reference.
        if let Some(means) = means.and_then(Rc::into_inner) {
            let (kind, inode) = gone[0];
            self.hands
                .release(inode, means)
                .with_context(|| format!("release of {} of inode {inode}", kind.name()))?;
        }
        for (kind, _) in gone {
            self.did(kind);
        }
        Ok(())
    }

    /// A held inode has a name: while it is held, its hold's at least.
    fn check(&mut self, at: usize) -> Result<()> {
        let holder = self.holdings.get(at);
        let Means::Descriptor(file) = &*holder.means else {
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
        self.done += 1;
        *self.operations.entry(kind).or_default() += 1;
    }
}

/// Whether a holder of this kind can be had from that one.
fn can_serve(source: &Holder<Means>, kind: Kind, place: Place) -> bool {
    match kind {
        Kind::MapFiles => matches!(*source.means, Means::Mapping(_)),
        Kind::Swap => place.swaps_to(source.inode.index),
        Kind::Program | Kind::Interpreter => {
            source.kind.is_source() && !is_swapped_to(source.inode.index)
        }
        kind if kind.needs_hold() => true,
        kind if kind.needs_content() => source.kind.is_source() && !source.file.path_only,
        _ => source.kind.is_source(),
    }
}

/// A running program cannot be swapped to, nor a swap area be run: each fourth file is for the one, the
/// others are for the other.
fn is_swapped_to(index: usize) -> bool {
    index.is_multiple_of(4)
}

impl Place {
    /// Whether this worker swaps to a file; no other does, since a file is one swap area only.
    fn swaps_to(self, index: usize) -> bool {
        is_swapped_to(index) && index / 4 % self.workers == self.number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_worker_swaps_to_a_fourth_of_the_files() {
        let workers = 12;
        for index in 0..1000 {
            let place = |number| Place {
                seed: 1,
                number,
                workers,
                files: 1000,
            };
            let swapping = (0..workers).filter(|&number| place(number).swaps_to(index));
            assert_eq!(swapping.count(), usize::from(index % 4 == 0), "{index}");
        }
    }
}
