//! Fuzzes the parser of the history.

#![cfg_attr(fuzzing, no_main)]

rousr_fuzz::target!(history);
