//! The one executable of Carillon.
#![deny(clippy::print_stdout, clippy::print_stderr)] // they panic when nobody reads; `out.rs` does not

mod allocator;
mod cli;
mod client;
mod demo;
mod healthcheck;
mod ladder;
mod out;
mod phone;
mod serve;

use std::process::ExitCode;

use clap::Parser;
use cli::{Cli, Command};
use out::{OutputError, complain};
use serve::settings::Settings;

#[global_allocator]
static ALLOCATOR: allocator::Mimalloc = allocator::Mimalloc;

#[tokio::main]
async fn main() -> ExitCode {
    allocator::without_huge_pages();
    let result = match Cli::parse().command {
        Command::Serve(args) => match Settings::load(&args, std::env::vars()) {
            Ok(_) if args.check => Ok(()),
            Ok(settings) => serve::run(settings).await,
            Err(problems) => {
                complain!("carillon: {problems}");
                return ExitCode::from(2);
            }
        },
        Command::Demo(args) => demo::run(args).await,
        Command::Phone(args) => phone::run(args).await,
        Command::Client(command) => client::run(*command).await,
        Command::Healthcheck(args) => healthcheck::run(&args.admin),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) if e.downcast_ref::<OutputError>().is_some_and(OutputError::is_reader_gone) => {
            ExitCode::from(out::READER_WENT_AWAY)
        }
        Err(e) => {
            complain!("carillon: {e:#}");
            ExitCode::FAILURE
        }
    }
}
