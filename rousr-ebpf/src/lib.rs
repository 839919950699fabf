#![no_std]
//! The ABI between the BPF programs and user space.
