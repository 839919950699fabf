//! The model: what one worker holds, and what the kernel has to count for it.

use std::{collections::BTreeMap, rc::Rc};

use serde::{Deserialize, Serialize};

use super::kind::Kind;

/// A watched inode.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Inode {
    pub(super) generation: u32,
    /// Of its file in the package.
    pub(super) index: usize,
    pub(super) number: u64,
}

/// The identity of a `struct file`; its holders share it.
#[derive(Debug)]
pub(super) struct Opened {
    /// O_PATH: no opener to the kernel's counters.
    pub(super) path_only: bool,
}

/// One way in which a file is kept alive.
#[derive(Debug)]
pub(super) struct Holder<M> {
    pub(super) kind: Kind,
    pub(super) inode: Rc<Inode>,
    pub(super) file: Rc<Opened>,
    /// Shared by those that can only be released together.
    pub(super) means: Rc<M>,
}

/// Files of an inode that are alive.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Count {
    /// Those opened without O_PATH.
    pub(super) regular: u64,
    /// Those opened with it.
    pub(super) paths: u64,
    /// Those of `regular` that a task reaches by a descriptor or a mapping.
    pub(super) visible: u64,
}

impl Count {
    /// Adds another worker's.
    pub(super) fn add(&mut self, other: Self) {
        self.regular += other.regular;
        self.paths += other.paths;
        self.visible += other.visible;
    }
}

/// All that a worker holds.
#[derive(Debug)]
pub(super) struct Holdings<M> {
    holders: Vec<Holder<M>>,
    of_kind: BTreeMap<Kind, usize>,
}

impl<M> Default for Holdings<M> {
    fn default() -> Self {
        Self {
            holders: Vec::new(),
            of_kind: BTreeMap::new(),
        }
    }
}

impl<M> Holdings<M> {
    pub(super) fn len(&self) -> usize {
        self.holders.len()
    }

    pub(super) fn count(&self, kind: Kind) -> usize {
        self.of_kind.get(&kind).copied().unwrap_or(0)
    }

    pub(super) fn get(&self, at: usize) -> &Holder<M> {
        &self.holders[at]
    }

    pub(super) fn push(&mut self, holder: Holder<M>) {
        *self.of_kind.entry(holder.kind).or_default() += 1;
        self.holders.push(holder);
    }

    /// Takes a holder out, and those that share its means.
    pub(super) fn take(&mut self, at: usize) -> Vec<Holder<M>> {
        let means = Rc::clone(&self.holders[at].means);
        let taken: Vec<Holder<M>> = match Rc::strong_count(&means) {
            // This one's and the clone.
            2 => vec![self.holders.swap_remove(at)],
            _ => self
                .holders
                .extract_if(.., |holder| Rc::ptr_eq(&holder.means, &means))
                .collect(),
        };
        for holder in &taken {
            if let Some(count) = self.of_kind.get_mut(&holder.kind) {
                *count -= 1;
            }
        }
        taken
    }

    /// The first holder that will do, from a random one on.
    pub(super) fn find(
        &self,
        random: &mut fastrand::Rng,
        will_do: impl Fn(&Holder<M>) -> bool,
    ) -> Option<usize> {
        if self.holders.is_empty() {
            return None;
        }
        let start = random.usize(..self.holders.len());
        (start..self.holders.len())
            .chain(0..start)
            .find(|&at| will_do(&self.holders[at]))
    }

    /// The files alive of each inode, by inode number.
    pub(super) fn counts(&self) -> BTreeMap<u64, Count> {
        let mut files: BTreeMap<*const Opened, (u64, bool, bool)> = BTreeMap::new();
        for holder in &self.holders {
            let file = files.entry(Rc::as_ptr(&holder.file)).or_insert((
                holder.inode.number,
                holder.file.path_only,
                false,
            ));
            file.2 |= holder.kind.is_visible();
        }
        let mut counts: BTreeMap<u64, Count> = BTreeMap::new();
        for (inode, path_only, visible) in files.into_values() {
            counts.entry(inode).or_default().add(match path_only {
                true => Count {
                    paths: 1,
                    ..Count::default()
                },
                false => Count {
                    regular: 1,
                    visible: visible.into(),
                    ..Count::default()
                },
            });
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn holder(kind: Kind, number: u64, file: &Rc<Opened>) -> Holder<()> {
        Holder {
            kind,
            inode: Rc::new(Inode {
                generation: 0,
                index: 0,
                number,
            }),
            file: Rc::clone(file),
            means: Rc::new(()),
        }
    }

    #[test]
    fn holders_of_one_file_count_once() {
        let regular = Rc::new(Opened { path_only: false });
        let path = Rc::new(Opened { path_only: true });
        let mut holdings = Holdings::default();
        holdings.push(holder(Kind::InFlight, 7, &regular));
        let expect = |holdings: &Holdings<()>, regular, paths, visible| {
            let count = Count {
                regular,
                paths,
                visible,
            };
            assert_eq!(holdings.counts(), BTreeMap::from([(7, count)]));
        };
        expect(&holdings, 1, 0, 0);
        holdings.push(holder(Kind::SharedMapping, 7, &regular));
        expect(&holdings, 1, 0, 1);
        holdings.push(holder(Kind::Path, 7, &path));
        holdings.push(holder(Kind::Dup, 7, &path));
        expect(&holdings, 1, 1, 1);
        holdings.take(0);
        expect(&holdings, 1, 1, 1);
        holdings.take(holdings.len() - 1);
        holdings.take(holdings.len() - 1);
        assert_eq!(holdings.len(), 1);
    }

    #[test]
    fn those_with_the_same_means_go_together() {
        let file = Rc::new(Opened { path_only: false });
        let mut holdings = Holdings::default();
        let pair = holder(Kind::Program, 1, &file);
        holdings.push(Holder {
            kind: Kind::Interpreter,
            inode: Rc::clone(&pair.inode),
            file: Rc::clone(&file),
            means: Rc::clone(&pair.means),
        });
        holdings.push(holder(Kind::Dup, 1, &file));
        holdings.push(pair);
        let taken = holdings.take(2);
        assert_eq!(taken.len(), 2);
        let left = [Kind::Program, Kind::Interpreter, Kind::Dup].map(|kind| holdings.count(kind));
        assert_eq!((left, holdings.len()), ([0, 0, 1], 1));
    }

    proptest! {
        /// Against sets of what is alive.
        #[test]
        fn counts_are_those_of_distinct_files(
            held in proptest::collection::vec((0_u64..4, 0_usize..6, 0..Kind::ALL.len()), 0..40),
            gone in proptest::collection::vec(any::<prop::sample::Index>(), 0..20),
        ) {
            // A file is of one inode: its number says which.
            let files: Vec<Rc<Opened>> =
                (0..24).map(|number| Rc::new(Opened { path_only: number % 3 == 0 })).collect();
            let mut holdings = Holdings::default();
            let mut model = Vec::new();
            for (inode, file, kind) in held {
                let file = usize::try_from(inode).unwrap() * 6 + file;
                holdings.push(holder(Kind::ALL[kind], inode, &files[file]));
                model.push((inode, file, Kind::ALL[kind]));
            }
            for index in gone {
                if !model.is_empty() {
                    let at = index.index(model.len());
                    holdings.take(at);
                    model.swap_remove(at);
                }
            }
            let counts = holdings.counts();
            for inode in 0..4 {
                let distinct = |keep: &dyn Fn(usize, Kind) -> bool| {
                    let kept = model.iter().filter(|&&(of, file, kind)| of == inode && keep(file, kind));
                    kept.map(|&(_, file, _)| file).collect::<BTreeSet<_>>().len() as u64
                };
                let count = counts.get(&inode).copied().unwrap_or_default();
                prop_assert_eq!(count.regular, distinct(&|file, _| file % 3 != 0));
                prop_assert_eq!(count.paths, distinct(&|file, _| file % 3 == 0));
                prop_assert_eq!(count.visible, distinct(&|file, kind| file % 3 != 0 && kind.is_visible()));
            }
            for kind in Kind::ALL {
                prop_assert_eq!(holdings.count(kind), model.iter().filter(|held| held.2 == kind).count());
            }
        }
    }
}
