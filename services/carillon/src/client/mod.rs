//! The client commands: each a few rpcs and a way to show the answer.

mod account;
mod bindings;
mod call_view;
mod callback;
mod calls;
mod connect;
mod dial;
mod edges;
mod follow;
mod forward;
mod join;
mod ladder;
mod message;
mod mwi;
mod pages;
mod pcap;
mod play;
mod presence;
mod refusal;
mod transfer;
mod trunk;

pub use call_view::event_line;
pub use calls::call_filter;
pub use connect::{Connection, connect};
pub use dial::exit_status;
#[cfg(test)]
pub use ladder::LadderMessage;
pub use ladder::{Gathered, gather};
pub use refusal::Refusal;

use crate::cli::{CallCommand, ClientCommand};

/// Runs a command.
///
/// # Errors
/// A refused rpc, no connection, or an output that nobody reads.
pub async fn run(command: ClientCommand) -> anyhow::Result<()> {
    match command {
        ClientCommand::Account(command) => account::run(command).await,
        ClientCommand::Forward(command) => forward::run(command).await,
        ClientCommand::Trunk(command) => trunk::run(command).await,
        ClientCommand::Dial(args) => dial::dial(args).await,
        ClientCommand::Calls(args) => calls::list(args).await,
        ClientCommand::Call(CallCommand::Show(args)) => calls::show(args).await,
        ClientCommand::Hangup(args) => calls::hangup(args).await,
        ClientCommand::Transfer(args) => transfer::transfer(args).await,
        ClientCommand::Callback(command) => callback::run(command).await,
        ClientCommand::Join(args) => join::join(args).await,
        ClientCommand::Play(args) => play::play(args).await,
        ClientCommand::Ladder(args) => ladder::run(args).await,
        ClientCommand::Bindings(args) => bindings::run(args).await,
        ClientCommand::Presence(command) => presence::run(command).await,
        ClientCommand::Message(command) => message::run(command).await,
        ClientCommand::Mwi(command) => mwi::run(command).await,
        ClientCommand::Edges(args) => edges::list(args).await,
    }
}
