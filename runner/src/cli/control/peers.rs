//! `mosaik-runner peers`.

use clap::Args;

use super::{
    NodeArgs,
    figures::{span, table},
};
use crate::{
    cli::{Exit, harmless, print},
    topology::report::PeerStatus,
};

/// List the peers of a running node, with their ids, addresses and streams.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mosaik-runner peers pipeline.yaml")]
pub(in crate::cli) struct PeersArgs {
    #[command(flatten)]
    node: NodeArgs,
    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) fn run(args: &PeersArgs) -> anyhow::Result<Exit> {
    let mut found = args.node.find()?;
    let status = found.client.status(0)?;
    let text = match (args.json, status.peer, status.peers.as_slice()) {
        (true, _, peers) => serde_json::to_string(peers)? + "\n",
        (false, None, _) => {
            "nothing is shared: no stream of the manifest has `scope: network`\n".to_owned()
        }
        (false, Some(me), []) => format!("peer {me} knows no other node\n"),
        (false, Some(_), peers) => harmless(&shown(peers)),
    };
    print(&text)?;
    Ok(Exit::Success)
}

fn shown(peers: &[PeerStatus]) -> String {
    let rows: Vec<_> = peers
        .iter()
        .map(|peer| {
            let others = match (peer.others, peer.offers.is_empty()) {
                (0, true) => "nothing".to_owned(),
                (0, false) => String::new(),
                (others, true) => format!("{others} other streams"),
                (others, false) => format!(" and {others} other streams"),
            };
            vec![
                peer.id.clone(),
                peer.name.clone().unwrap_or_else(|| "-".to_owned()),
                peer.addresses.join(" "),
                span(peer.uptime_ms),
                span(peer.heard_ms),
                format!("{}{others}", peer.offers.join(", ")),
            ]
        })
        .collect();
    table(
        &["PEER", "NAME", "ADDRESSES", "UP", "HEARD AGO", "OFFERS"],
        3,
        &rows,
    )
}
