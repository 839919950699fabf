//! Fuzzes the parser of dpkg's command line.

#![cfg_attr(fuzzing, no_main)]

rousr_fuzz::target!(command_line);
