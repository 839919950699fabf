//! The program of whole upgrades, for guests; `cargo xtask upgrade` runs it there.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    rousr_tests::upgrade::main(&arguments)
}
