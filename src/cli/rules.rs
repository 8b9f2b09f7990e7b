//! `steelyard rules`: by which rules the log is decided, and the record that raises them.

use std::ops::Range;
use std::process::ExitCode;

use anyhow::ensure;
use rdkafka::message::{Header, OwnedHeaders};

use crate::cold::read::markers;
use crate::config::Config;
use crate::ledger::{PartitionId, RULES_FIRST, RULES_KNOWN};
use crate::log::admin;
use crate::log::producer::{Append, LogProducer};
use crate::telemetry;
use crate::wire::MarkerBody;
use crate::wire::leg::SEAL_HEADER;
use crate::wire::record::{RULES_KEY, RulesBody};

#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct Args {
    /// Raises the rules of every partition to this, for ever, and before that to those in between,
    /// everywhere to one before anywhere to the next. Do it when everything runs a binary that
    /// knows them: an older processor stops there. If it fails half-way, do it again.
    #[arg(long, env = "STEELYARD_RULES_RAISE", help_heading = "Rules")]
    raise: Option<u32>,
    #[command(flatten)]
    config: Box<Config>,
}

/// Exits with 0 if the rules could be shown or raised.
pub(super) async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    telemetry::init(&args.config.telemetry.logs)?;
    match args.raise {
        None => show(&args.config).await?,
        Some(rules) => raise(&args.config, rules).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn show(config: &Config) -> anyhow::Result<()> {
    println!("this binary knows the rules {RULES_FIRST} to {RULES_KNOWN}");
    for text in markers(&config.cold.connect()?).await? {
        let marker = MarkerBody::parse(text.as_bytes()).map_err(anyhow::Error::msg)?;
        let (partition, rules, offset) = (marker.partition, marker.rules, marker.command_offset);
        println!("partition {partition}: rules {rules} as of command {offset}");
    }
    Ok(())
}

async fn raise(config: &Config, rules: u32) -> anyhow::Result<()> {
    ensure!(
        (RULES_FIRST..=RULES_KNOWN).contains(&rules),
        "this binary knows the rules {RULES_FIRST} to {RULES_KNOWN}, not {rules}"
    );
    let secret = config.leg_secret()?;
    let verified = admin::verify(&config.log, &config.topics).await?;
    let producer = LogProducer::new(&config.log)?;
    let partitions: Range<PartitionId> = 0..verified.partitions;
    // What a partition sends by some rules, those with the rules before them take: so all of them
    // must be there before the first goes on.
    for next in (RULES_FIRST + 1).min(rules)..=rules {
        let value = serde_json::to_vec(&RulesBody { rules: next })?;
        let seal = hex::encode(secret.seal(RULES_KEY.as_bytes(), &value).0);
        for partition in partitions.clone() {
            let header = Header {
                key: SEAL_HEADER,
                value: Some(&seal),
            };
            let append = Append {
                topic: &config.log.topics().commands,
                partition: Some(i32::from(partition)),
                key: RULES_KEY.as_bytes(),
                value: &value,
                headers: Some(OwnedHeaders::new().insert(header)),
            };
            let offset = producer.append_one(append).await?;
            println!("partition {partition}: rules {next} from command {offset} on");
        }
    }
    Ok(())
}
