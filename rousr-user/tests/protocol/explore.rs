//! The protocol as a model that stateright explores, and what must hold in it.

use std::env;

use stateright::{Checker, CheckerBuilder, HasDiscoveries, Model, Path, Property};

use crate::{
    chance::Chance,
    rules::Protocol,
    state::{Agent, CPUS, Cpu, Fault, File, INODES, News, SLOTS, Stage, State, Work},
    step::Step,
};

pub(crate) const IN_USE: &str = "no hold goes while its inode is in use";
pub(crate) const MISSED: &str = "no unused hold stays while nobody is to wake the agent";
pub(crate) const EXACT: &str = "counts are exact when all is quiet";
pub(crate) const AGREES: &str = "counts agree with the kernel's when all is quiet";
pub(crate) const BELOW: &str = "no count goes below zero";
pub(crate) const STALE: &str = "no dead file is entered when all is quiet";
pub(crate) const CLEAN: &str = "nothing is attached at the end";
pub(crate) const REACHED: &str = "all holds can go";

/// Set in the environment, it lets [`Protocol::holds_on_walks`] visit every state.
const EVERY_STATE: &str = "ROUSR_EVERY_STATE";
/// States on the random walks of one exploration.
const WALKED: usize = 50_000;
/// Where the walks begin to differ from those of another number: a run is like the last one.
const SEED: u64 = 1;

impl Model for Protocol {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            named: [true; INODES],
            files: [File::default(); SLOTS],
            readers: [0; INODES],
            watched: [None; INODES],
            entries: [None; SLOTS],
            records: 0,
            news: [News::Nothing; INODES],
            losses: 0,
            misses: 0,
            births: 0,
            deaths: 0,
            counts: false,
            cpus: [Cpu::default(); CPUS],
            agent: Agent {
                at: Work::Replace,
                generation: 0,
                stage: Stage::All,
                anew: [false; INODES],
                littered: false,
                unsure: [false; INODES],
                references: 0,
                todo: [false; INODES],
                armed: [false; INODES],
                losses_seen: 0,
                misses_seen: 0,
            },
            reaped: [false; INODES],
            left: self.bounds.left,
            fault: None,
        }]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        if state.fault.is_none() {
            self.task_steps(state, steps);
            self.agent_steps(state, steps);
        }
    }

    fn next_state(&self, state: &State, step: Step) -> Option<State> {
        let mut next = *state;
        match step {
            Step::Task(cpu, deed) => self.task_step(&mut next, cpu, deed),
            Step::Program(cpu, _, luck) => self.program_step(&mut next, cpu, luck),
            Step::Agent(work) => self.work(&mut next, work),
            Step::Wake => Self::wake(&mut next),
            Step::Timer => Self::timer(&mut next),
            Step::Watch => self.watch(&mut next),
            Step::Unwatch(inode) => Self::unwatch(&mut next, inode),
            Step::Kill => Self::kill(&mut next),
            Step::Start => self.start(&mut next),
        }
        // The tasks are alike.
        next.cpus[..2].sort_unstable();
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(IN_USE, |_, state: &State| {
                state.fault != Some(Fault::Premature)
            }),
            Property::always(BELOW, |_, state: &State| {
                state.fault != Some(Fault::BelowZero)
            }),
            Property::always(MISSED, Self::misses_no_reap),
            Property::always(EXACT, Self::is_exact),
            Property::always(AGREES, Self::agrees),
            Property::always(STALE, |_, state: &State| {
                !state.is_settled() || state.entries_are_live()
            }),
            Property::always(CLEAN, |_, state: &State| {
                state.agent.at != Work::Done || state.is_clean()
            }),
            Property::sometimes(REACHED, |_, state: &State| state.agent.at == Work::Done),
        ]
    }
}

impl Protocol {
    fn misses_no_reap(&self, state: &State) -> bool {
        if !state.is_quiet() || self.is_timer_set(state) {
            return true;
        }
        self.inodes()
            .all(|inode| !state.is_held(inode) || !state.is_unused(inode))
    }

    fn is_exact(&self, state: &State) -> bool {
        !state.is_settled() || self.inodes().all(|inode| state.is_exact(inode))
    }

    fn agrees(&self, state: &State) -> bool {
        !state.is_settled() || self.inodes().all(|inode| state.agrees(inode))
    }

    /// Explores every interleaving: all properties hold.
    pub(crate) fn holds(self) {
        hold(&self.checker().spawn_bfs().join());
    }

    /// Walks at random from the beginning to the end, again and again, where there are millions of
    /// states; all properties hold.
    pub(crate) fn holds_on_walks(self) {
        if env::var_os(EVERY_STATE).is_some() {
            return self.holds();
        }
        let walks = self.checker().target_state_count(WALKED);
        hold(&walks.spawn_simulation(SEED, Chance).join());
    }

    /// Finds a shortest way to violate the property, or nearly so, and tells it.
    pub(crate) fn violates(self, property: &'static str) {
        show(&self.until(property).spawn_bfs().join(), property);
    }

    /// Finds any way, where there are too many states for the shortest.
    pub(crate) fn violates_at_length(self, property: &'static str) {
        show(&self.until(property).spawn_dfs().join(), property);
    }

    fn until(self, property: &'static str) -> CheckerBuilder<Self> {
        self.checker()
            .finish_when(HasDiscoveries::AnyOf([property].into()))
    }
}

fn hold(checker: &impl Checker<Protocol>) {
    println!("{} states", checker.unique_state_count());
    checker.assert_any_discovery(REACHED);
    for (property, path) in checker.discoveries() {
        assert!(property == REACHED, "violated: {property}\n{}", tell(path));
    }
}

fn show(checker: &impl Checker<Protocol>, property: &'static str) {
    println!("{} states", checker.unique_state_count());
    let path = checker.discovery(property);
    println!("violated: {property}\n{}", tell(path.expect(property)));
}

/// A trace, one step a line, with what it left behind.
fn tell(path: Path<State, Step>) -> String {
    let mut told = String::new();
    let mut before: Option<Step> = None;
    for (state, step) in path.into_vec() {
        if let Some(step) = before {
            told += &format!("  {:56} {state}\n", step.to_string());
        }
        before = step;
    }
    told
}
