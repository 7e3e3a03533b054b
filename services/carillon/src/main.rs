//! The one executable of Carillon.

mod cli;
mod serve;

use clap::Parser;

fn main() {
    let cli = cli::Cli::parse();
    println!("{cli:?}");
}
