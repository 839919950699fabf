//! Fuzzes the parser of what dpkg tells of the packages it knows.

#![cfg_attr(fuzzing, no_main)]

rousr_fuzz::target!(status);
