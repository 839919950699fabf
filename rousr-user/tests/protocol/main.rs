//! A model check of how files are counted: attach, seed, open, release, event, count anew,
//! detach, and an agent that is killed and started anew.

mod agent;
mod chance;
mod explore;
mod flaws;
mod holds;
mod look;
mod programs;
mod rules;
mod state;
mod step;
mod tasks;
mod truth;
mod watch;
