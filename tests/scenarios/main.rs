//! The scenarios, run as root in a guest that is thrown away: one after another, systemd as PID 1,
//! the archive with the old and the new packages at hand, rousr installed and its agent running.

mod abuse;
mod agent;
mod blockers;
mod changes;
mod dpkg;
mod fallback;
mod frontends;
mod holders;
mod hooks;
mod kinds;
mod layouts;
mod links;
mod newcomers;
mod openers;
mod removal;
mod renewal;
mod sealing;
mod transactions;
mod upgrade;
mod windows;
