//! Random opens, duplicates and closes in several processes, against a model that counts.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const FILES: usize = 4;
const PUPPETS: usize = 2;
/// What a POSIX shell can name, without its standard streams.
const DESCRIPTORS: std::ops::Range<u32> = 3..8;

#[derive(Clone, Debug)]
enum Step {
    Open {
        puppet: usize,
        descriptor: u32,
        file: usize,
    },
    Dup {
        puppet: usize,
        from: u32,
        to: u32,
    },
    Close {
        puppet: usize,
        descriptor: u32,
    },
    /// Waits until the tracker has told all there is to tell.
    Quiet,
}

fn step() -> impl Strategy<Value = Step> {
    let puppet = 0..PUPPETS;
    prop_oneof![
        4 => (puppet.clone(), DESCRIPTORS, 0..FILES)
            .prop_map(|(puppet, descriptor, file)| Step::Open { puppet, descriptor, file }),
        2 => (puppet.clone(), DESCRIPTORS, DESCRIPTORS)
            .prop_map(|(puppet, from, to)| Step::Dup { puppet, from, to }),
        4 => (puppet, DESCRIPTORS).prop_map(|(puppet, descriptor)| Step::Close { puppet, descriptor }),
        1 => Just(Step::Quiet),
    ]
}

/// Which of the files each descriptor of each puppet has open.
#[derive(Default)]
struct Model(BTreeMap<(usize, u32), usize>);

impl Model {
    fn is_free(&self, file: usize) -> bool {
        !self.0.values().any(|&open| open == file)
    }
}

struct World {
    sandbox: Sandbox,
    tracker: FanotifyTracker,
    files: Vec<(PathBuf, u64)>,
    puppets: Vec<Puppet>,
    model: Model,
    /// Files that the lease called free when the tracker told to look, and nobody opened since.
    found_free: BTreeSet<usize>,
}

impl World {
    fn new() -> Option<Self> {
        let (sandbox, mut tracker) = Sandbox::tracked()?;
        let files: Vec<_> = (0..FILES)
            .map(|file| sandbox.file(&file.to_string()))
            .collect();
        let paths: Vec<&Path> = files.iter().map(|(path, _)| path.as_path()).collect();
        watch(&mut tracker, &paths);
        Some(Self {
            sandbox,
            tracker,
            files,
            puppets: (0..PUPPETS).map(|_| Puppet::new()).collect(),
            model: Model::default(),
            found_free: (0..FILES).collect(),
        })
    }

    async fn take(&mut self, step: &Step) {
        let open = &mut self.model.0;
        match *step {
            Step::Open {
                puppet,
                descriptor,
                file,
            } => {
                self.puppets[puppet].open(descriptor, &self.files[file].0);
                open.insert((puppet, descriptor), file);
                self.found_free.remove(&file);
            }
            Step::Dup { puppet, from, to } => {
                if let Some(&file) = open.get(&(puppet, from)) {
                    self.puppets[puppet].dup(from, to);
                    open.insert((puppet, to), file);
                }
            }
            Step::Close { puppet, descriptor } => {
                self.puppets[puppet].close(descriptor);
                open.remove(&(puppet, descriptor));
            }
            Step::Quiet => self.quiet().await,
        }
    }

    async fn quiet(&mut self) {
        let expected: BTreeSet<usize> = (0..FILES)
            .filter(|&file| self.model.is_free(file))
            .collect();
        while self.found_free != expected {
            let news = news_within(&mut self.tracker, PATIENCE).await;
            let news =
                news.unwrap_or_else(|| panic!("free are {expected:?}, told {:?}", self.found_free));
            for release in news.releases {
                self.look(release.inode);
            }
        }
    }

    fn look(&mut self, inode: u64) {
        let file = self.files.iter().position(|&(_, number)| number == inode);
        let file = file.expect("only what is watched is told");
        if self.sandbox.is_free(&self.files[file].0) {
            assert!(self.model.is_free(file), "the lease is wrong about {file}");
            self.found_free.insert(file);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn every_last_close_is_told(steps in prop::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let Some(mut world) = World::new() else { return };
            for step in steps.iter().chain([&Step::Quiet]) {
                world.take(step).await;
            }
        });
    }
}
