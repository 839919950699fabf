//! Fuzzes the parser of fstab(5).

#![cfg_attr(fuzzing, no_main)]

rousr_fuzz::target!(fstab);
