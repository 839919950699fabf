//! Fuzzes the parser of the stream that apt feeds to a hook.

#![cfg_attr(fuzzing, no_main)]

rousr_fuzz::target!(hook_stream);
