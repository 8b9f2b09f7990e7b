//! One process of Steelyard under supervision: started, ended, stopped, started again.

use std::fs::{File, OpenOptions};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use load::http::{Connection, Endpoint};
use load::rng::Rng;

use crate::proxy::Proxy;
use crate::stack;
use crate::wait;
use crate::world::World;

/// How long a node may take to be ready, with its services in place. A debug build on a busy
/// machine takes its time.
pub const READY: Duration = Duration::from_secs(60);
/// How long a planned stop may take.
pub const STOP: Duration = Duration::from_secs(40);
/// How long a probe of readiness may take.
const PROBE: Duration = Duration::from_secs(2);

/// Which services a node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Ingress,
    Processor,
    Sink,
}

impl Role {
    pub fn name(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Processor => "processor",
            Self::Sink => "sink",
        }
    }
}

#[derive(Debug)]
pub struct Node {
    pub role: Role,
    /// Such as `processor-a`.
    pub name: String,
    /// The ways to its stores.
    pub redis: Proxy,
    pub postgres: Proxy,
    settings: Vec<(String, String)>,
    http: u16,
    ops: u16,
    log: PathBuf,
    child: Option<Child>,
}

impl Node {
    /// A node that does not run yet. `named` gives it a name in its groups.
    pub async fn new(
        world: &World,
        role: Role,
        suffix: &str,
        named: bool,
        rng: &mut Rng,
    ) -> Result<Self> {
        let name = format!("{}-{suffix}", role.name());
        let (redis, redis_url) = Proxy::before(&world.stack.redis, rng.draw()).await?;
        let (postgres, database_url) = Proxy::before(&world.stack.database, rng.draw()).await?;
        let (http, ops) = (free_port(rng)?, free_port(rng)?);
        let mut settings = vec![
            ("STEELYARD_REDIS_URL", redis_url),
            ("STEELYARD_DATABASE_URL", database_url),
            ("STEELYARD_HTTP_LISTEN", format!("127.0.0.1:{http}")),
            ("STEELYARD_OPS_LISTEN", format!("127.0.0.1:{ops}")),
        ];
        // Half of the nodes come to the broker by a way that can be cut.
        if let Some(link) = world.stack.link.as_ref().filter(|_| !named) {
            settings.push(("STEELYARD_KAFKA_BROKERS", link.advertised.clone()));
        }
        if named {
            settings.push(("STEELYARD_INSTANCE", name.clone()));
            settings.push(("STEELYARD_SINK_INSTANCE", name.clone()));
        }
        let logs = world.stack.home.join("logs");
        Ok(Self {
            log: logs.join(format!("{}-{name}.log", world.name)),
            role,
            name,
            redis,
            postgres,
            settings: settings
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect(),
            http,
            ops,
            child: None,
        })
    }

    /// Starts it, with more settings for this life, and does not wait.
    pub fn start(&mut self, world: &World, more: &[(&str, &str)]) -> Result<()> {
        ensure!(self.child.is_none(), "{} runs already", self.name);
        self.child = Some(self.spawn(world, more)?);
        Ok(())
    }

    fn spawn(&self, world: &World, more: &[(&str, &str)]) -> Result<Child> {
        let mut log = OpenOptions::new();
        let log: File = log.create(true).append(true).open(&self.log)?;
        let mut command = world.command();
        command
            .arg(self.role.name())
            .envs(self.settings.iter().map(|(key, value)| (key, value)))
            .envs(more.iter().copied())
            .stdout(Stdio::from(log.try_clone()?))
            .stderr(Stdio::from(log));
        let spawned = command.spawn();
        spawned.with_context(|| format!("{} cannot be started", self.name))
    }

    /// Waits until it says that it is ready.
    pub async fn ready(&self) -> Result<()> {
        let ready = async || self.is_ready().await.then_some(());
        let what = format!("{} to be ready", self.name);
        let waited = wait::until(&what, READY, ready).await;
        waited.with_context(|| self.tail())
    }

    pub async fn is_ready(&self) -> bool {
        let asked = self.ask("/readyz").await;
        asked.is_some_and(|(status, _)| status == 200)
    }

    /// What it waits for, in its own words.
    pub async fn checks(&self) -> String {
        let asked = self.ask("/readyz?verbose").await;
        asked.map_or_else(|| "does not answer".to_owned(), |(_, text)| text)
    }

    /// One of its metrics, summed over the labels that contain `label`.
    pub async fn metric(&self, name: &str, label: &str) -> f64 {
        let Some((_, text)) = self.ask("/metrics").await else {
            return 0.0;
        };
        let lines = text
            .lines()
            .filter(|line| line.starts_with(name) && line.contains(label));
        lines
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// How many of its metrics begin like this.
    pub async fn count(&self, start: &str) -> f64 {
        let (_, text) = self.ask("/metrics").await.unwrap_or_default();
        text.lines().filter(|line| line.starts_with(start)).count() as f64
    }

    /// The values of a label among its metrics that begin with `start`.
    pub async fn labels(&self, start: &str, label: &str) -> Vec<String> {
        let (_, text) = self.ask("/metrics").await.unwrap_or_default();
        let label = format!("{label}=\"");
        let lines = text.lines().filter(|line| line.starts_with(start));
        let values = lines.filter_map(|line| line.split_once(&label)?.1.split('"').next());
        values.map(str::to_owned).collect()
    }

    /// The most memory that its process has ever had, in kilobytes.
    pub fn most_kb(&self) -> Option<u64> {
        let pid = self.child.as_ref()?.id();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
        line.split_whitespace().nth(1)?.parse().ok()
    }

    async fn ask(&self, path: &str) -> Option<(u16, String)> {
        let base = format!("http://127.0.0.1:{}", self.ops);
        let mut connection = Connection::new(Endpoint::new(&base, None).ok()?);
        let answer = tokio::time::timeout(PROBE, connection.get(path)).await;
        let answer = answer.ok()?.ok()?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        Some((answer.status.as_u16(), text))
    }

    /// Where clients reach it.
    pub fn endpoint(&self) -> Result<Arc<Endpoint>> {
        Endpoint::new(&format!("http://127.0.0.1:{}", self.http), None)
    }

    pub fn signal(&self, signal: &str) -> Result<()> {
        let child = self.child.as_ref();
        let child = child.with_context(|| format!("{} does not run", self.name))?;
        stack::send(child.id(), signal)
    }

    /// Ends it at once.
    pub fn kill(&mut self) -> Result<()> {
        let mut child = self.child.take().context("it does not run")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Stops it as planned.
    pub async fn stop(&mut self) -> Result<()> {
        self.signal("TERM")?;
        let status = self.ended(STOP).await?;
        let name = &self.name;
        ensure!(
            status.success(),
            "{name} stopped with {status}; {}",
            self.tail()
        );
        Ok(())
    }

    /// Waits until it has ended by itself; how.
    pub async fn ended(&mut self, at_most: Duration) -> Result<ExitStatus> {
        let what = format!("{} to end", self.name);
        let status = wait::until(&what, at_most, async || self.has_ended()).await?;
        self.child = None;
        Ok(status)
    }

    /// How it ended, if it has and should not have.
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.as_mut()?.try_wait().ok()?
    }

    pub fn runs(&self) -> bool {
        self.child.is_some()
    }

    /// Everything that it has ever written.
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The end of what it wrote.
    pub fn tail(&self) -> String {
        let said = self.said();
        let lines: Vec<&str> = said.lines().collect();
        let from = lines.len().saturating_sub(15);
        format!(
            "the end of {}:\n{}",
            self.log.display(),
            lines[from..].join("\n")
        )
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if self.child.is_some() {
            // It may be gone already; there is nothing else to be done about it here.
            let _ = self.kill();
        }
    }
}

/// A port that nobody listens on, below those that clients get.
fn free_port(rng: &mut Rng) -> Result<u16> {
    for _ in 0..100 {
        let port = u16::try_from(rng.between(10_000, 14_999))?;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    anyhow::bail!("there is no free port")
}
