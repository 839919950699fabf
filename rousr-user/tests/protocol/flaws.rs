//! The explorer finds what goes wrong where a rule is broken, by a shortest trace or nearly so.

use crate::{
    explore::{AGREES, BELOW, EXACT, IN_USE, MISSED, STALE},
    rules::{Bounds, Protocol, Rule},
    state::Work,
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
    let protocol = Protocol::new(CALM).without(Rule::SeedAfterAttach);
    protocol.violates(EXACT);
}

#[test]
fn a_file_that_is_born_and_visited_is_counted_twice() {
    let protocol = Protocol::new(CALM).without(Rule::EachFileOnce);
    protocol.violates(EXACT);
}

/// A failed open has lost its inode: whether it was counted or not, its death is not heard.
#[test]
fn a_death_looked_up_by_inode_loses_a_failed_open() {
    let protocol = Protocol::new(CALM.failing(1)).without(Rule::FailedOpenFound);
    protocol.violates(STALE);
    protocol.without(Rule::LookedAtAgain).violates(MISSED);
}

/// Nobody hears of a path that was looked up only.
#[test]
fn a_lookup_that_ends_is_not_told() {
    let protocol = Protocol::new(CALM.looking_up(1)).without(Rule::LookedAtAgain);
    protocol.violates(MISSED);
}

#[test]
fn an_uncounted_death_taken_off_counts_below_zero() {
    let protocol = Protocol::new(CALM).without(Rule::OnlyFoundTakenOff);
    protocol.violates(BELOW);
}

#[test]
fn an_uncounted_death_not_told_is_missed() {
    let protocol = Protocol::new(CALM).without(Rule::UncountedDeathTold);
    protocol.without(Rule::LookedAtAgain).violates(MISSED);
}

/// A file goes that the iterators could not reach, and nobody looks any more.
#[test]
fn an_uncounted_death_told_only_after_the_look_is_missed() {
    let protocol = Protocol::new(CALM).without(Rule::ToldOnceAttached);
    protocol.without(Rule::LookedAtAgain).violates(MISSED);
}

/// With a count too high, the kernel's own counter is the net.
#[test]
fn a_count_too_high_is_missed_without_the_kernels_counter() {
    let too_high = Protocol::new(CALM).without(Rule::EachFileOnce);
    too_high.without(Rule::KernelZeroTold).violates(MISSED);
}

/// Where a comparison with the kernel has seen no difference: a skipped death and a file out of
/// reach make a count that looks right.
#[test]
fn an_uncounted_death_beside_a_count_too_high_is_missed() {
    let protocol = Protocol::new(CALM.skipping(1)).without(Rule::AnewAfterSkip);
    protocol.without(Rule::UncountedDoubted).violates(MISSED);
}

#[test]
fn the_end_of_a_path_descriptor_not_told_is_missed() {
    let protocol = Protocol::new(CALM.paths(1)).without(Rule::PathDeathTold);
    protocol.without(Rule::LookedAtAgain).violates(MISSED);
}

/// The agent reads the counter of losses before the program raises it, and sleeps.
#[test]
fn a_loss_counted_late_wakes_nobody() {
    let protocol = Protocol::new(CALM.two_inodes().ring(1)).without(Rule::SendAfterLoss);
    protocol.violates(MISSED);
}

#[test]
fn a_skip_while_another_is_answered_is_taken_for_answered() {
    let protocol = Protocol::new(CALM.skipping(2)).without(Rule::LossNotedFirst);
    protocol.violates(STALE);
}

/// A birth under way makes the kernel's number as high as the wrong count.
#[test]
fn a_comparison_after_a_skip_sees_no_difference() {
    let protocol = Protocol::new(CALM.skipping(2)).without(Rule::AnewAfterSkip);
    protocol.violates(AGREES);
}

#[test]
fn a_skip_after_the_last_record_is_seen_by_the_timer_only() {
    let protocol = Protocol::new(CALM.skipping(1)).without(Rule::MissesOnTimer);
    protocol.violates(MISSED);
}

#[test]
fn a_hook_that_still_runs_enters_a_file_after_the_purge() {
    let protocol = Protocol::new(CALM.skipping(1)).without(Rule::WaitBeforePurge);
    protocol.violates(EXACT);
}

#[test]
fn entries_of_an_inode_watched_before_count_below_zero() {
    let protocol = Protocol::new(CALM.kills(1)).without(Rule::PurgeBeforeInsert);
    protocol.violates(BELOW);
}

#[test]
fn a_stale_entry_hides_a_file_of_another_inode() {
    let protocol = Protocol::new(CALM.two_inodes().unwatching(1)).without(Rule::StaleEntryReplaced);
    protocol.violates(EXACT);
}

/// The agent reads an entry of one inode and takes out that of another.
#[test]
fn a_purge_beside_a_watched_inode_is_not_atomic() {
    let protocol = Protocol::new(CALM.two_inodes().skipping(1)).without(Rule::AnewAfterSkip);
    protocol.without(Rule::PurgeOnlyUnwatched).violates(EXACT);
}

#[test]
fn counts_of_an_agent_killed_while_it_seeded_are_too_low() {
    let protocol = Protocol::new(CALM.kills(1)).without(Rule::SeedAfterStart);
    protocol.violates(EXACT);
}

/// Files die in the gap.
#[test]
fn counts_kept_over_a_gap_between_the_programs_are_too_high() {
    let protocol = Protocol::new(CALM.kills(1)).without(Rule::OldDroppedLast);
    protocol.violates(STALE);
}

#[test]
fn what_died_before_the_attach_is_missed_without_a_look() {
    let protocol = Protocol::new(CALM).without(Rule::LookAfterSeed);
    protocol.violates(MISSED);
}

/// The lease does not see an open before it raised the kernel's counter.
#[test]
fn the_lease_alone_is_too_early() {
    let protocol = Protocol::new(CALM).without(Rule::ReferencesAsked);
    protocol.violates(IN_USE);
}

/// References and readers are read at two moments, and the lease is asked at a third.
#[test]
fn a_reference_explained_by_a_later_file_is_too_early() {
    let protocol = Protocol::new(CALM).without(Rule::NothingExplained);
    protocol.violates(IN_USE);
}

/// While all is counted anew because of one inode, another loses its last file.
#[test]
fn a_death_while_all_is_counted_anew_is_missed_without_a_look() {
    let protocol = Protocol::new(CALM.two_inodes().unwatching(1)).without(Rule::LookAfterAnew);
    protocol.violates(MISSED);
}

/// The agent was killed when it had taken out one inode and not yet the other.
#[test]
fn counts_kept_beside_entries_of_an_inode_taken_out_are_wrong() {
    let bounds = CALM.two_inodes().opens(3).killed_at(Work::Delete(1));
    let protocol = Protocol::new(bounds).without(Rule::KeptIfWhole);
    // A timer that is set at all times only makes the way longer.
    let protocol = protocol.without(Rule::LookedAtAgain);
    protocol.violates_at_length(EXACT);
}
