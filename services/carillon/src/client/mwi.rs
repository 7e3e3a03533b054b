//! `carillon mwi …`.

use cluster_api::presence::v1::message_count::Class;
use cluster_api::presence::v1::message_summary_client::MessageSummaryClient;
use cluster_api::presence::v1::{GetMessageSummaryRequest, MessageCount, SetMessageSummaryRequest, Summary};
use serde_json::{Value, json};

use super::call_view::time;
use super::connect::connect;
use super::refusal::Refusal;
use crate::cli::mwi::{Counts, MwiCommand, MwiSetArgs};
use crate::out::{OutputError, say, shown};

/// Runs a mailbox command.
///
/// # Errors
/// A refused rpc.
pub async fn run(command: MwiCommand) -> anyhow::Result<()> {
    match command {
        MwiCommand::Set(args) => set(args).await,
        MwiCommand::Show(args) => {
            let mut client = MessageSummaryClient::new(connect(&args.api).await?);
            let request = GetMessageSummaryRequest { aor: args.aor };
            let summary = client.get_message_summary(request).await.map_err(Refusal)?.into_inner();
            Ok(print(&summary, args.api.json)?)
        }
    }
}

async fn set(args: MwiSetArgs) -> anyhow::Result<()> {
    let mut client = MessageSummaryClient::new(connect(&args.api).await?);
    let given = [
        (Class::Voice, args.voice),
        (Class::Fax, args.fax),
        (Class::Pager, args.pager),
        (Class::Multimedia, args.multimedia),
        (Class::Text, args.text),
    ];
    let count = |(class, counts): (Class, Option<Counts>)| {
        let Counts { all, urgent } = counts?;
        let (urgent_new, urgent_old) = urgent;
        Some(MessageCount { class: class.into(), new: all.0, old: all.1, urgent_new, urgent_old })
    };
    let counts: Vec<MessageCount> = given.into_iter().filter_map(count).collect();
    let summary = Summary {
        aor: args.aor,
        messages_waiting: args.waiting.unwrap_or_else(|| counts.iter().any(|count| count.new > 0)),
        message_account: args.account,
        counts,
        update_time: None,
    };
    let request_id = uuid::Uuid::new_v4().to_string();
    let request = SetMessageSummaryRequest { request_id, summary: Some(summary) };
    let summary = client.set_message_summary(request).await.map_err(Refusal)?.into_inner();
    Ok(print(&summary, args.api.json)?)
}

fn print(summary: &Summary, as_json: bool) -> Result<(), OutputError> {
    let class = |count: &MessageCount| count.class().as_str_name().to_lowercase();
    if as_json {
        let count = |count: &MessageCount| {
            json!({"class": class(count), "new": count.new, "old": count.old,
                   "urgent_new": count.urgent_new, "urgent_old": count.urgent_old})
        };
        let counts: Vec<Value> = summary.counts.iter().map(count).collect();
        return say!(
            "{}",
            json!({"aor": summary.aor, "waiting": summary.messages_waiting, "account": summary.message_account,
                   "counts": counts, "updated": time(summary.update_time.as_ref())})
        );
    }
    let what = if summary.messages_waiting { "messages wait" } else { "nothing waits" };
    say!("{what} for {}", shown(&summary.aor))?;
    for count in &summary.counts {
        let MessageCount { new, old, urgent_new, urgent_old, .. } = count;
        say!("{}: {new} new ({urgent_new} urgent), {old} old ({urgent_old} urgent)", class(count))?;
    }
    Ok(())
}
