//! Fuzzes the parser of `/proc/PID/maps`.

#![cfg_attr(fuzzing, no_main)]

rousr_fuzz::target!(maps);
