//! A real Mosaik 0.3.13 node as a process: takes a request a line from standard input, gives an answer a line.
//!
//! `mosaik-peer relay` runs the relay that Mosaik nodes cannot start without; `mosaik-peer node '{"network": …}'` runs a
//! node. Either says first how it is reached, and ends with its standard input.

mod log;
mod node;
mod reading;
mod relay;
mod request;
#[cfg_attr(feature = "v0_4", path = "v0_4.rs")]
#[cfg_attr(not(feature = "v0_4"), path = "v0_3.rs")]
mod version;

use anyhow::{Context, bail};
use tokio::io::{AsyncBufReadExt, BufReader, stdin};

use crate::{
    node::Node,
    request::{Answer, Request, Settings},
};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    match args.next().as_deref() {
        Some("relay") => relay::run().await,
        Some("node") => {
            let settings = args.next().context("the settings of the node, as JSON")?;
            serve(serde_json::from_str(&settings)?).await
        }
        _ => bail!("usage: mosaik-peer relay | node SETTINGS"),
    }
}

async fn serve(settings: Settings) -> anyhow::Result<()> {
    let mut node = Node::start(settings).await?;
    say(&Answer::Done(node.address()));
    let mut lines = BufReader::new(stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let answer = match serde_json::from_str::<Request>(&line) {
            Ok(request) => node.handle(request).await,
            Err(error) => Err(error.into()),
        };
        say(&answer.map_or_else(|error| Answer::Failed(format!("{error:#}")), Answer::Done));
    }
    Ok(())
}

fn say(answer: &Answer) {
    println!("{}", serde_json::json!(answer));
}
