//! The project's own tasks; run as `cargo xtask <task>`.

mod archive;
mod bench;
mod cache;
mod cargo;
mod demo;
mod fuzz;
mod guest;
mod install;
mod kills;
mod lab;
mod lines;
mod powercut;
mod process;
mod say;
mod setup;
mod test;
mod torture;
mod upgrade;
mod vm;

use std::process::ExitCode;

use clap::Parser;

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
#[command(about = "Set up, test, measure and demonstrate rousr")]
enum Task {
    Setup(setup::Arguments),
    Test(test::Arguments),
    Torture(torture::Arguments),
    Kills(kills::Arguments),
    Powercut(powercut::Arguments),
    Upgrade(upgrade::Arguments),
    Fuzz(fuzz::Arguments),
    Vm(vm::Arguments),
    Demo(demo::Arguments),
    #[command(subcommand)]
    Bench(bench::Benchmark),
}

fn main() -> ExitCode {
    let ended = match Task::parse() {
        Task::Setup(arguments) => setup::run(&arguments),
        Task::Test(arguments) => test::run(&arguments),
        Task::Torture(arguments) => torture::run(&arguments),
        Task::Kills(arguments) => kills::run(&arguments),
        Task::Powercut(arguments) => powercut::run(&arguments),
        Task::Upgrade(arguments) => upgrade::run(&arguments),
        Task::Fuzz(arguments) => fuzz::run(&arguments),
        Task::Vm(arguments) => vm::run(arguments),
        Task::Demo(arguments) => demo::run(&arguments),
        Task::Bench(benchmark) => bench::run(&benchmark),
    };
    ended.unwrap_or_else(|error| {
        say::error(&error);
        ExitCode::FAILURE
    })
}
