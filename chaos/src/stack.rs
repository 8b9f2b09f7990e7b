//! The services that faults are done to: where they are, their processes, and how they come back.
//!
//! `./dev` started them, and starts again what is missing: this only reads its pid files and sends
//! signals. Nothing is signalled that it did not start.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::wait;

/// How long a signal may take to show.
const PATIENCE: Duration = Duration::from_secs(30);

/// A service of the stack, by the name of its pid file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    Kafka,
    /// The second and third broker, where there are three.
    Kafka2,
    Kafka3,
    Redis,
    Postgres,
}

impl Service {
    pub fn name(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::Kafka2 => "kafka2",
            Self::Kafka3 => "kafka3",
            Self::Redis => "redis",
            Self::Postgres => "postgres",
        }
    }
}

/// Where the stack is.
#[derive(Clone, Debug)]
pub struct Stack {
    pub home: PathBuf,
    dev: PathBuf,
    pub brokers: String,
    pub redis: String,
    pub database: String,
    pub replicas: String,
    pub secret: String,
    /// The broker by another way, if nodes are to come by it.
    pub link: Option<Link>,
}

/// A listener of the broker, and where it sends its clients: nobody is there but the lab.
#[derive(Clone, Debug)]
pub struct Link {
    pub listens: String,
    pub advertised: String,
}

impl Stack {
    /// The stack that the environment leads to, as `./dev chaos` sets it.
    pub fn find() -> Result<Self> {
        let need = |name: &str| {
            let value = std::env::var(name);
            value.with_context(|| format!("{name} is not set; run ./dev chaos"))
        };
        Ok(Self {
            home: need("STEELYARD_HOME")?.into(),
            dev: need("STEELYARD_DEV")?.into(),
            brokers: need("STEELYARD_KAFKA_BROKERS")?,
            redis: need("STEELYARD_REDIS_URL")?,
            database: need("STEELYARD_DATABASE_URL")?,
            replicas: need("STEELYARD_REPLICATION_FACTOR")?,
            secret: need("STEELYARD_LEG_SECRET")?,
            link: None,
        })
    }

    /// The same, with nodes that come to the broker by the link.
    pub fn linked(mut self) -> Result<Self> {
        let link = std::env::var("STEELYARD_KAFKA_LINK");
        let link = link.context("STEELYARD_KAFKA_LINK is not set; run ./dev chaos")?;
        let (listens, advertised) = link.split_once(' ').context("a link has two ends")?;
        self.link = Some(Link {
            listens: listens.to_owned(),
            advertised: advertised.to_owned(),
        });
        Ok(self)
    }

    /// The process of a service, if it runs.
    pub fn pid(&self, service: Service) -> Option<u32> {
        let file = self.home.join("pids").join(service.name());
        let text = std::fs::read_to_string(file).ok()?;
        let mut words = text.split_whitespace();
        let (pid, started) = (words.next()?.parse().ok()?, words.next()?);
        (started_at(pid)? == started).then_some(pid)
    }

    pub fn signal(&self, service: Service, signal: &str) -> Result<()> {
        let name = service.name();
        let pid = self.pid(service);
        let pid = pid.with_context(|| format!("{name} does not run as a process of ./dev"))?;
        send(pid, signal)
    }

    /// Ends a service at once and waits until it is gone.
    pub async fn kill(&self, service: Service) -> Result<()> {
        self.signal(service, "KILL")?;
        let gone = async || self.pid(service).is_none().then_some(());
        wait::until(service.name(), PATIENCE, gone).await
    }

    /// Starts whatever of the stack does not run, and waits until it answers.
    pub async fn up(&self) -> Result<()> {
        self.dev(&["stack", "up"], &[]).await.map(drop)
    }

    /// Another stack, in a directory `name` within this one's.
    pub async fn another(&self, name: &str, settings: &[(&str, &str)]) -> Result<Self> {
        let mut stack = self.clone();
        stack.home = self.home.join(name);
        stack.link = None;
        stack.dev(&["stack", "up"], settings).await?;
        let lines = stack.dev(&["stack", "env"], &[]).await?;
        let value = |name: &str| {
            let start = format!("export {name}=");
            let found = lines.lines().find_map(|line| line.strip_prefix(&start));
            // The shell's way to write a comma.
            let found = found.map(|value| value.replace('\\', ""));
            found.with_context(|| format!("./dev stack env does not say {name}"))
        };
        stack.brokers = value("STEELYARD_KAFKA_BROKERS")?;
        stack.redis = value("STEELYARD_REDIS_URL")?;
        stack.database = value("STEELYARD_DATABASE_URL")?;
        stack.replicas = value("STEELYARD_REPLICATION_FACTOR")?;
        stack.secret = value("STEELYARD_LEG_SECRET")?;
        Ok(stack)
    }

    /// Stops all services of this stack.
    pub async fn down(&self) -> Result<()> {
        self.dev(&["stack", "down"], &[]).await.map(drop)
    }

    /// What `./dev` prints.
    async fn dev(&self, args: &[&str], settings: &[(&str, &str)]) -> Result<String> {
        let mut command = Command::new(&self.dev);
        command
            .args(args)
            .env("STEELYARD_HOME", &self.home)
            .env("STEELYARD_STACK", "packages")
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let output = tokio::task::spawn_blocking(move || command.output()).await??;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "./dev {args:?} failed:\n{said}");
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// Sends a signal such as `STOP` to a process.
pub fn send(pid: u32, signal: &str) -> Result<()> {
    let mut kill = Command::new("kill");
    let sent = kill.arg(format!("-{signal}")).arg(pid.to_string()).status();
    let sent = sent.context("there is no kill")?;
    ensure!(sent.success(), "kill -{signal} {pid} failed");
    Ok(())
}

/// When a process started, in the kernel's ticks; nothing when it is gone or waits to be reaped.
fn started_at(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split_whitespace();
    let state = fields.next()?;
    (state != "Z" && state != "X").then(|| fields.nth(18).map(str::to_owned))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_start() {
        let own = started_at(std::process::id());
        assert_eq!(own, started_at(std::process::id()));
        assert!(own.is_some_and(|ticks| ticks.parse::<u64>().is_ok()));
        assert_eq!(started_at(u32::MAX), None);
    }
}
