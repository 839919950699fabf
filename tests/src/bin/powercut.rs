//! The power cuts' program, for guests; `cargo xtask powercut` runs it there.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    rousr_tests::powercut::main(&arguments)
}
