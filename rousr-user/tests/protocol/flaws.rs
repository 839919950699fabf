//! The explorer finds what goes wrong where a rule is broken, by a shortest trace or nearly so.

use crate::{
    explore::{BELOW, CLEAN, EXACT, IN_USE, MISSED, STALE},
    rules::{Bounds, Protocol, Rule},
};

const CALM: Bounds = Bounds::CALM;

#[test]
fn births_attached_first_leave_dead_files() {
    let protocol = Protocol::new(CALM).without(Rule::DeathsAttachedFirst);
    protocol.violates(STALE);
    protocol.violates(MISSED);
}

#[test]
fn a_seed_before_the_attach_misses_an_open() {
    Protocol::new(CALM)
        .without(Rule::SeedAfterAttach)
        .violates(EXACT);
}

#[test]
fn a_file_that_is_born_and_visited_is_counted_twice() {
    Protocol::new(CALM)
        .without(Rule::EachFileOnce)
        .violates(EXACT);
}

/// A failed open has lost its inode.
#[test]
fn a_death_looked_up_by_inode_leaves_a_failed_open() {
    Protocol::new(CALM.failing(1))
        .without(Rule::FailedOpenByAddress)
        .violates(STALE);
}

/// In flight across the attach, or denied by a security module that comes before ours.
#[test]
fn an_uncounted_open_that_fails_is_not_told() {
    Protocol::new(CALM.failing(1))
        .without(Rule::FailedOpenByMapping)
        .without(Rule::LookedAtAgain)
        .violates(MISSED);
}

/// Nobody hears of a path that was looked up only.
#[test]
fn a_lookup_that_ends_is_not_told() {
    Protocol::new(CALM.looking_up(1))
        .without(Rule::LookedAtAgain)
        .violates(MISSED);
}

#[test]
fn an_uncounted_death_taken_off_counts_below_zero() {
    Protocol::new(CALM)
        .without(Rule::OnlyFoundTakenOff)
        .violates(BELOW);
}

#[test]
fn an_uncounted_death_not_told_is_missed() {
    Protocol::new(CALM)
        .without(Rule::UncountedDeathTold)
        .without(Rule::LookedAtAgain)
        .violates(MISSED);
}

/// With a count too high, the kernel's own counter is the net.
#[test]
fn a_count_too_high_is_missed_without_the_kernels_counter() {
    let too_high = Protocol::new(CALM).without(Rule::EachFileOnce);
    too_high.keeps_at_least(MISSED);
    too_high.without(Rule::KernelZeroTold).violates(MISSED);
    // A lease under way is a reader too.
    too_high.without(Rule::OwnProbeLeftOut).violates(MISSED);
}

#[test]
fn the_end_of_a_path_descriptor_not_told_is_missed() {
    Protocol::new(CALM.paths(1))
        .without(Rule::PathDeathTold)
        .without(Rule::LookedAtAgain)
        .violates(MISSED);
}

/// The agent reads the counter of losses before the program raises it, and sleeps.
#[test]
fn a_loss_counted_late_wakes_nobody() {
    Protocol::new(CALM.two_inodes().ring(1))
        .without(Rule::SendAfterLoss)
        .violates(MISSED);
}

#[test]
fn a_skip_during_the_resync_is_taken_for_answered() {
    Protocol::new(CALM.skipping(2))
        .without(Rule::LossNotedFirst)
        .violates(STALE);
}

#[test]
fn a_skip_after_the_last_record_is_seen_by_the_timer_only() {
    Protocol::new(CALM.skipping(1))
        .without(Rule::MissesOnTimer)
        .violates(MISSED);
}

/// A skipped death leaves the entry of one inode to a file of another.
#[test]
fn a_death_taken_off_its_own_inode_counts_below_zero() {
    Protocol::new(CALM.two_inodes().skipping(1))
        .without(Rule::StoredInodeTakenOff)
        .violates(BELOW);
}

#[test]
fn a_hook_that_still_runs_enters_a_file_after_the_purge() {
    let protocol = Protocol::new(CALM.kills(1)).without(Rule::WaitBeforePurge);
    protocol.violates(EXACT);
    protocol.violates(BELOW);
    protocol.violates(STALE);
}

#[test]
fn an_agent_killed_between_delete_and_purge_leaves_entries() {
    Protocol::new(CALM.kills(1))
        .without(Rule::PurgeBeforeInsert)
        .violates(BELOW);
}

#[test]
fn entries_outlive_the_last_hold() {
    Protocol::new(CALM)
        .without(Rule::PurgeAfterDelete)
        .violates(CLEAN);
}

/// The agent reads an entry of one inode and takes out that of another.
#[test]
fn a_purge_beside_a_watched_inode_is_not_atomic() {
    Protocol::new(CALM.two_inodes().unwatching(1))
        .without(Rule::PurgeOnlyUnwatched)
        .violates(EXACT);
}

#[test]
fn counts_kept_from_an_agent_killed_while_it_seeded_are_too_low() {
    Protocol::new(CALM.kills(1).keep())
        .without(Rule::SeedAfterStart)
        .violates(EXACT);
}

/// Files die in the gap.
#[test]
fn counts_kept_over_a_gap_between_the_programs_are_too_high() {
    Protocol::new(CALM.kills(1).keep())
        .without(Rule::OldDroppedLast)
        .violates(EXACT);
}

#[test]
fn what_died_before_the_attach_is_missed_without_a_look() {
    Protocol::new(CALM)
        .without(Rule::LookAfterSeed)
        .violates(MISSED);
}

/// The lease does not see an open before it raised the kernel's counter.
#[test]
fn the_lease_alone_is_too_early() {
    Protocol::new(CALM)
        .without(Rule::ReferencesAsked)
        .violates(IN_USE);
}

/// A hold's death that came after the hold left its entry, and the agent was killed before it
/// could count anew.
#[test]
#[ignore = "takes half a minute"]
fn counts_kept_beside_a_dead_entry_are_too_low() {
    Protocol::new(CALM.two_inodes().kills(1).keep())
        .without(Rule::FilesReadAtStart)
        .violates(EXACT);
}
