//! Fuzzes the parser of `/proc/PID/mountinfo`.

#![cfg_attr(fuzzing, no_main)]

rousr_fuzz::target!(mountinfo);
