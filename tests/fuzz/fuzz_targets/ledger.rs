//! Fuzzes the parser of the ledger.

#![cfg_attr(fuzzing, no_main)]

rousr_fuzz::target!(ledger);
