//! The protocol holds, whatever the order of its steps.

use crate::rules::{Bounds, Protocol, Rule};

const CALM: Bounds = Bounds::CALM;

#[test]
fn opens_and_closes_at_any_moment() {
    Protocol::new(CALM.opens(3)).holds();
}

#[test]
fn opens_that_fail() {
    Protocol::new(CALM.failing(1).looking_up(1)).holds();
}

#[test]
fn descriptors_in_flight_and_opens_as_a_path() {
    Protocol::new(CALM.sends(1).paths(1)).holds();
}

/// Only a path that is looked up and not opened has to wait for the timer.
#[test]
fn every_file_wakes_the_agent_without_a_timer() {
    let bounds = CALM.failing(1).sends(1);
    Protocol::new(bounds).without(Rule::LookedAtAgain).holds();
    let bounds = CALM.paths(1);
    Protocol::new(bounds).without(Rule::LookedAtAgain).holds();
}

#[test]
fn full_maps_and_a_full_ring() {
    Protocol::new(CALM.full_maps(1).ring(1)).holds();
    Protocol::new(CALM.two_inodes().ring(1)).holds();
}

/// What fentry does on a kernel that preempts.
#[test]
fn skipped_programs() {
    Protocol::new(CALM.skipping(2)).holds();
}

#[test]
fn an_agent_killed_and_started_anew() {
    Protocol::new(CALM.kills(1).ring(1)).holds();
}

#[test]
fn a_hold_after_another() {
    Protocol::new(CALM.one_by_one()).holds();
}

#[test]
fn a_hold_dropped_beside_another() {
    Protocol::new(CALM.two_inodes().unwatching(1)).holds();
}

/// On random walks; every state with `ROUSR_EVERY_STATE` in the environment.
#[test]
fn accidents_together() {
    let accidents = [
        CALM.opens(3).failing(1).looking_up(1).sends(1).paths(1),
        CALM.failing(1).looking_up(1).sends(1).paths(1).kills(1),
        CALM.opens(3).failing(1).sends(1).kills(1),
        CALM.opens(3).full_maps(1).sends(1).kills(1).ring(1),
        CALM.opens(3).skipping(2).sends(1),
        CALM.skipping(2).kills(1).failing(1),
        CALM.two_inodes().ring(1).opens(3),
        CALM.two_inodes().ring(1).full_maps(1).kills(1),
        CALM.two_inodes().skipping(1).unwatching(1),
        CALM.two_inodes().ring(1).kills(1).unwatching(1),
        CALM.one_by_one().skipping(1).failing(1),
        CALM.one_by_one().kills(1).ring(1),
        CALM.one_by_one().opens(3),
    ];
    for bounds in accidents {
        println!("{bounds:?}");
        Protocol::new(bounds).holds_on_walks();
    }
}
