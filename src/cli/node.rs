//! `authledger node`: the nodes that belong together, listed, joined, removed and promoted over HTTP.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::client::{CallArgs, CallError, Client, ServerArgs};
use crate::cluster::{Anchors, AnchorsError, MAX_VOUCHED, Vouch, VouchText};
use crate::domain::{LedgerId, Malformed, NodeKey, NodeName, PeerAddress, Reads, Region};
use crate::event_log::{DataDirectory, OpenError, ReadError, Reader};
use crate::keys::{KeyError, OriginKey, PseudonymKey};
use crate::terminal;

const EXAMPLES: &str = "\
Examples:
  # On the new machine, against any member; then start it:
  authledger node join --data /var/lib/authledger --node b --region europe \\
      --address https://b.example:7878 --url https://a.example:7878 --token-file root-token
  authledger serve --data /var/lib/authledger --node b --region europe --address https://b.example:7878 …

  authledger node list
  authledger node remove a                 # seals the records of a member, permanently
  authledger node promote --remove a       # at a standby, because a is lost";

/// What to do with nodes, and where.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct NodeArgs {
    #[command(subcommand)]
    action: NodeAction,
}

#[derive(Subcommand)]
enum NodeAction {
    /// List the nodes, how far each has applied the ledger, and when it was last heard.
    List(CallArgs),
    /// Make a directory on this machine a node of an existing ledger. No server may be running on it.
    Join(Box<Join>),
    /// Remove a member permanently. The credentials that it issued beyond what the asked node holds of it become
    /// inactive; its revocations still count.
    Remove(NodeRemoveArgs),
    /// Let a standby take commands. It answers as soon as every other member waits for it.
    Promote(Promote),
}

#[derive(Args)]
struct Join {
    /// The new node's directory; made if it is missing
    #[arg(long, env = "AUTHLEDGER_DATA", value_name = "DIR", default_value = "./authledger-data")]
    data: PathBuf,
    /// The new node's name, different from every member's
    #[arg(long, env = "AUTHLEDGER_NODE", value_name = "NAME")]
    node: String,
    /// The name of the site that it is in
    #[arg(long, env = "AUTHLEDGER_REGION", value_name = "NAME")]
    region: String,
    /// Where other nodes will reach it over HTTP, such as https://b.example:7878
    #[arg(long, env = "AUTHLEDGER_ADDRESS", value_name = "URL")]
    address: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Args)]
struct NodeRemoveArgs {
    /// The member's name
    node: String,
    #[command(flatten)]
    asked: CallArgs,
}

#[derive(Args)]
struct Promote {
    /// Remove this member first, because it is lost: the others no longer wait for it
    #[arg(long, value_name = "NAME")]
    remove: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
}

/// Why the command failed.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The call did not succeed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The answer can't be read.
    #[error("read the server's answer: {0}; is it of a later version than this program?")]
    Answer(#[from] serde_json::Error),
    /// The answer can't be shown.
    #[error("write to the standard output: {0}")]
    Output(#[from] io::Error),
    /// The directory can't be used.
    #[error(transparent)]
    Directory(#[from] OpenError),
    /// The directory's log can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The node's key can't be read or made.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The answer can't be kept.
    #[error(transparent)]
    Anchors(#[from] AnchorsError),
    /// A name has the wrong form.
    #[error("use --{flag} {text:?}: it must be {must_be}")]
    Malformed { flag: &'static str, text: String, must_be: Malformed },
    /// The answer lacks members that every server sends.
    #[error(
        "read the server's answer: it does not name a ledger and keys; is it of a later version than this program?"
    )]
    Strange,
    /// The directory is of another ledger.
    #[error("join {} to ledger {theirs}: it holds ledger {own}; name an empty directory with --data", path.display())]
    OtherLedger {
        path: PathBuf,
        /// The ledger in it.
        own: LedgerId,
        /// The ledger of the server.
        theirs: LedgerId,
    },
}

#[derive(Deserialize)]
struct JoinAnswer {
    ledger: String,
    keys: Vec<String>,
    addresses: Vec<String>,
    #[serde(default)]
    vouched: Vec<VouchText>,
    subject_pseudonyms: bool,
}

#[derive(Deserialize)]
struct LedgerStatus {
    ledger: String,
}

fn ledger_of(text: &str) -> Result<LedgerId, NodeError> {
    uuid::Uuid::try_parse(text).map(LedgerId).map_err(|_| NodeError::Strange)
}

#[derive(Deserialize)]
struct NodeList<T> {
    nodes: Vec<T>,
}

#[derive(Deserialize)]
struct MemberBody {
    own: bool,
    node: Option<String>,
    region: Option<String>,
    address: Option<String>,
    state: String,
    origins: BTreeMap<String, u64>,
    runs: Vec<NodeRun>,
}

#[derive(Deserialize)]
struct NodeRun {
    heard_millis_ago: u64,
    applied: BTreeMap<String, u64>,
}

pub async fn run(arguments: NodeArgs) -> Result<(), NodeError> {
    match arguments.action {
        NodeAction::List(asked) => list(&asked).await,
        NodeAction::Join(join) => join.run().await,
        NodeAction::Remove(remove) => remove.run().await,
        NodeAction::Promote(promote) => promote.run().await,
    }
}

async fn list(asked: &CallArgs) -> Result<(), NodeError> {
    let client = Client::new(&asked.server)?;
    let answer = client.text(client.request(Method::GET, "/v1/nodes")).await?;
    let mut out = terminal::out();
    if asked.json {
        for node in serde_json::from_str::<NodeList<Box<RawValue>>>(&answer)?.nodes {
            writeln!(out, "{node}")?;
        }
        return Ok(());
    }
    let nodes = serde_json::from_str::<NodeList<MemberBody>>(&answer)?.nodes;
    let heads: BTreeMap<&String, &u64> = nodes.iter().flat_map(|node| &node.origins).collect();
    for node in &nodes {
        writeln!(out, "{}", line(node, &heads))?;
    }
    Ok(())
}

/// A node on a line: its progress is the number of records that it lacks of those that this node holds.
fn line(node: &MemberBody, heads: &BTreeMap<&String, &u64>) -> String {
    let name = node.node.as_deref().unwrap_or("(alone)");
    let region = node.region.as_deref().unwrap_or("-");
    let address = node.address.as_deref().unwrap_or("-");
    let lacks = |run: &NodeRun| {
        let lacking = heads.iter().map(|(origin, head)| head.saturating_sub(*run.applied.get(*origin).unwrap_or(&0)));
        lacking.sum::<u64>()
    };
    let heard = match &*node.runs {
        _ if node.own => "this node".to_owned(),
        [] => "never heard".to_owned(),
        runs => {
            let one = |run: &NodeRun| {
                let seconds = run.heard_millis_ago as f64 / 1_000.0;
                format!("heard {seconds:.1} s ago, {} records behind", lacks(run))
            };
            runs.iter().map(one).collect::<Vec<_>>().join("; ")
        }
    };
    format!("{name:<16} {region:<16} {:<8} {address:<32} {heard}", node.state)
}

impl Join {
    async fn run(&self) -> Result<(), NodeError> {
        let node = named("node", &self.node, NodeName::new)?;
        let region = named("region", &self.region, Region::new)?;
        let address = self.address.as_deref().map(|text| named("address", text, PeerAddress::new)).transpose()?;
        let client = Client::new(&self.server)?;
        let directory = DataDirectory::lock(&self.data)?;
        let key = OriginKey::load_or_create(&self.data.join("keys"))?;
        let body = json!({
            "key": NodeKey::from_bytes(key.public_key()).to_string(),
            "node": node.as_str(),
            "region": region.as_str(),
            "reads": Reads::of_this_release().iter().collect::<BTreeMap<_, _>>(),
            "address": address.as_ref().map(PeerAddress::as_str),
        });
        let body = without_nulls(body);
        let own = own_ledger(&directory)?;
        // Before the node is named there, so that a refusal leaves nothing behind; a caller that may not see the status
        // learns it afterwards.
        if let Some(own) = own
            && let Ok(status) = client.text(client.request(Method::GET, "/v1/status")).await
        {
            self.compare(own, &serde_json::from_str::<LedgerStatus>(&status)?.ledger)?;
        }
        let answer = client.text(client.request(Method::POST, "/v1/nodes").json(&body)).await?;
        let joined: JoinAnswer = serde_json::from_str(&answer)?;
        let ledger = ledger_of(&joined.ledger)?;
        own.map_or(Ok(()), |own| self.compare(own, &joined.ledger))?;
        let keys: Option<Vec<NodeKey>> = joined.keys.iter().map(|key| key.parse().ok()).collect();
        let asked = self.server.url.trim_end_matches('/').to_owned();
        let mut peers = vec![asked];
        peers.extend(joined.addresses.into_iter().filter(|other| Some(other) != self.address.as_ref()));
        peers.dedup();
        let vouched: Option<Vec<Vouch>> = joined.vouched.iter().map(Vouch::from_text).collect();
        let vouched = vouched.filter(|vouched| vouched.len() <= MAX_VOUCHED).ok_or(NodeError::Strange)?;
        let anchors = Anchors::new(ledger, keys.ok_or(NodeError::Strange)?, peers).with_vouched(vouched);
        anchors.store(&self.data)?;
        self.tell(ledger, joined.subject_pseudonyms)
    }

    fn compare(&self, own: LedgerId, theirs: &str) -> Result<(), NodeError> {
        match ledger_of(theirs)? {
            theirs if theirs == own => Ok(()),
            theirs => Err(NodeError::OtherLedger { path: self.data.clone(), own, theirs }),
        }
    }

    fn tell(&self, ledger: LedgerId, pseudonyms: bool) -> Result<(), NodeError> {
        let mut out = terminal::out();
        let (data, node, region) = (self.data.display(), &self.node, &self.region);
        let address = self.address.as_ref().map(|address| format!(" --address {address}")).unwrap_or_default();
        let flag = if pseudonyms { " --subject-pseudonyms" } else { "" };
        writeln!(out, "{node} is a node of ledger {ledger}. Start it:")?;
        writeln!(out, "  authledger serve --data {data} --node {node} --region {region}{address}{flag}")?;
        if pseudonyms && PseudonymKey::load(&self.data.join("keys"))?.is_none() {
            writeln!(
                out,
                "Its subjects are pseudonyms: first copy keys/pseudonym.key from a member's directory to {data}/keys"
            )?;
        }
        Ok(())
    }
}

impl NodeRemoveArgs {
    async fn run(&self) -> Result<(), NodeError> {
        let client = Client::new(&self.asked.server)?;
        let answer = remove(&client, &self.node).await?;
        let mut out = terminal::out();
        if self.asked.json {
            writeln!(out, "{answer}")?;
        } else {
            writeln!(
                out,
                "{} is removed: credentials that it issued and that are not held here are inactive",
                self.node
            )?;
        }
        Ok(())
    }
}

impl Promote {
    async fn run(&self) -> Result<(), NodeError> {
        let client = Client::new(&self.server)?;
        if let Some(lost) = &self.remove {
            remove(&client, lost).await?;
        }
        client.text(client.request(Method::POST, "/v1/nodes/promote")).await?;
        let mut out = terminal::out();
        writeln!(out, "promoted: it answers as soon as every other member waits for it")?;
        Ok(())
    }
}

async fn remove(client: &Client, node: &str) -> Result<String, NodeError> {
    let path = format!("/v1/nodes/{}", super::client::segment(node));
    Ok(client.text(client.request(Method::DELETE, &path)).await?)
}

fn without_nulls(mut body: serde_json::Value) -> serde_json::Value {
    if let Some(members) = body.as_object_mut() {
        members.retain(|_, value| !value.is_null());
    }
    body
}

fn named<T>(flag: &'static str, text: &str, new: impl FnOnce(&str) -> Result<T, Malformed>) -> Result<T, NodeError> {
    new(text).map_err(|must_be| NodeError::Malformed { flag, text: text.to_owned(), must_be })
}

/// The ledger whose log is in the directory, if there is one.
fn own_ledger(directory: &DataDirectory) -> Result<Option<LedgerId>, NodeError> {
    match Reader::open(&directory.ledger()) {
        Ok(reader) => Ok(reader.ledger()?),
        Err(OpenError::Absent(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
