//! The steps of a random walk.

use fastrand::Rng;
use stateright::Chooser;

use crate::{
    rules::Protocol,
    state::State,
    step::{Luck, Step},
};

/// An accident that is as likely as other steps would befall the first steps of each walk, and hardly
/// ever the later ones: it is that much less likely.
const RARITY: u32 = 64;

/// Takes any step that is possible, accidents less often.
#[derive(Clone)]
pub(crate) struct Chance;

impl Chooser<Protocol> for Chance {
    type State = Rng;

    fn new_state(&self, seed: u64) -> Rng {
        Rng::with_seed(seed)
    }

    fn choose_initial_state(&self, rng: &mut Rng, states: &[State]) -> usize {
        rng.usize(..states.len())
    }

    fn choose_action(&self, rng: &mut Rng, _: &State, steps: &[Step]) -> usize {
        loop {
            let index = rng.usize(..steps.len());
            if !is_accident(steps[index]) || rng.u32(..RARITY) == 0 {
                return index;
            }
        }
    }
}

fn is_accident(step: Step) -> bool {
    matches!(
        step,
        Step::Kill | Step::Program(_, _, Luck::Skipped | Luck::MapFull)
    )
}
