//! rousr keeps a read-only `/usr` read-only across upgrades.
//!
//! Rooms, lower ones never knowing higher ones: [`sys`], [`config`], [`json_lines`] < [`hold`], [`seal`], [`track`], [`dpkg`] < [`transaction`] < [`agent`] < [`doctor`] < [`cli`].

pub mod agent;
pub mod cli;
pub mod config;
pub mod doctor;
pub mod dpkg;
pub mod hold;
pub mod json_lines;
pub mod seal;
pub mod sys;
pub mod track;
pub mod transaction;
