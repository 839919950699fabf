//! Fuzzes the parser of dpkg's files lists and diversions.

#![cfg_attr(fuzzing, no_main)]

rousr_fuzz::target!(files_lists);
