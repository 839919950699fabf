//! The kills' program, for a guest; `cargo xtask kills` runs it there.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    rousr_tests::kills::main(&arguments)
}
