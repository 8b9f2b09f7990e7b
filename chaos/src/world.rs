//! One log with its stores, apart from every other on the same stack, and how programs reach it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};
use steelyard::{cold, hot, log};

use crate::stack::Stack;

/// Partitions of a world, unless it is to have others: enough for walks, few enough for a small
/// machine.
pub const PARTITIONS: u16 = 4;
/// How long the group waits for a member that has died.
pub const SESSION_MS: u64 = 4_000;
/// The topic that requesters on Kafka ask to be answered on, behind the prefix.
const ANSWERS: &str = "answers";

#[derive(Clone, Debug)]
pub struct World {
    pub stack: Stack,
    /// Prefix of topics and keys, and the schema's name.
    pub name: String,
    pub partitions: u16,
    /// Prefix of keys in Redis; its own name, unless somebody made a mistake.
    pub redis_prefix: String,
    /// The processors' session, if it is not to be the program's own.
    session_ms: Option<u64>,
    /// The program under test.
    program: PathBuf,
}

impl World {
    /// A fresh world with its topics and tables.
    pub fn new(stack: &Stack, program: PathBuf) -> Result<Self> {
        Self::of(stack, program, PARTITIONS)
    }

    /// The same, of so many partitions.
    pub fn of(stack: &Stack, program: PathBuf, partitions: u16) -> Result<Self> {
        let unique = uuid::Uuid::new_v4().simple().to_string();
        let name = format!("c{}", &unique[..10]);
        let world = Self {
            stack: stack.clone(),
            redis_prefix: name.clone(),
            name,
            partitions,
            session_ms: Some(SESSION_MS),
            program,
        };
        world.run(&["topics", "apply"])?;
        world.run(&["migrate"])?;
        Ok(world)
    }

    /// The same, with the session that programs take when nobody tells them.
    pub fn without_session(mut self) -> Self {
        self.session_ms = None;
        self
    }

    /// The same world, to be run by another program from here on.
    pub fn run_by(&self, program: &Path) -> Self {
        Self {
            program: program.to_owned(),
            ..self.clone()
        }
    }

    pub fn log(&self) -> log::Options {
        log::Options {
            kafka_brokers: self.stack.brokers.clone(),
            kafka_properties: Vec::new(),
            topic_prefix: self.name.clone(),
        }
    }

    pub fn hot(&self) -> hot::Options {
        hot::Options {
            redis_url: self.stack.redis.clone(),
            redis_prefix: self.redis_prefix.clone(),
        }
    }

    pub fn cold(&self) -> cold::Options {
        cold::Options {
            database_url: self.stack.database.clone(),
            database_schema: self.name.clone(),
            database_connections: 4,
        }
    }

    /// Where replies to requesters on Kafka go.
    pub fn answers(&self) -> String {
        format!("{}.{ANSWERS}", self.name)
    }

    /// The program with this world's addresses, and nothing else of what the shell has set.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("STEELYARD_")) {
            command.env_remove(name);
        }
        command
            .stdin(Stdio::null())
            .env("STEELYARD_KAFKA_BROKERS", &self.stack.brokers)
            .env("STEELYARD_REDIS_URL", &self.stack.redis)
            .env("STEELYARD_DATABASE_URL", &self.stack.database)
            .env("STEELYARD_TOPIC_PREFIX", &self.name)
            .env("STEELYARD_REDIS_PREFIX", &self.redis_prefix)
            .env("STEELYARD_DATABASE_SCHEMA", &self.name)
            .env("STEELYARD_PARTITIONS", self.partitions.to_string())
            .env("STEELYARD_REPLICATION_FACTOR", &self.stack.replicas)
            .env("STEELYARD_LEG_SECRET", &self.stack.secret)
            .env("STEELYARD_REPLY_TOPICS", self.answers())
            .env("STEELYARD_FLUSH_MS", "200")
            .env("STEELYARD_INSECURE", "true");
        if let Some(ms) = self.session_ms {
            command.env("STEELYARD_SESSION_MS", ms.to_string());
        }
        command
    }

    /// Runs a command that must succeed; what it printed.
    pub fn run(&self, args: &[&str]) -> Result<String> {
        let (code, said) = self.say(args)?;
        ensure!(
            code == Some(0),
            "steelyard {args:?} ended with {code:?}:\n{said}"
        );
        Ok(said)
    }

    /// Runs a command to its end: its exit code, and all it printed.
    pub fn say(&self, args: &[&str]) -> Result<(Option<i32>, String)> {
        let output = self.command().args(args).output()?;
        let text = [output.stdout, output.stderr].concat();
        Ok((
            output.status.code(),
            String::from_utf8_lossy(&text).into_owned(),
        ))
    }
}
