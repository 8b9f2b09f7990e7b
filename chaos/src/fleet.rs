//! The nodes of a world: two of each role, every one a process of its own.

use anyhow::{Context, Result, bail, ensure};
use load::rng::Rng;

use crate::node::{Node, Role};
use crate::proxy::Proxy;
use crate::stack::Link;
use crate::world::World;

#[derive(Debug)]
pub struct Fleet {
    pub nodes: Vec<Node>,
    /// The unnamed nodes' way to the broker, if they have one of their own.
    pub kafka: Option<Proxy>,
}

impl Fleet {
    /// Two nodes of each role, running and ready. The first of each has a name in its groups, the
    /// second has none, so that both ways of membership are met; it has a way to the broker of
    /// its own.
    pub async fn start(world: &World, rng: &mut Rng) -> Result<Self> {
        let kafka = match &world.stack.link {
            None => None,
            Some(Link {
                listens,
                advertised,
            }) => Some(Proxy::at(advertised, listens, rng.draw()).await?),
        };
        let mut nodes = Vec::new();
        for role in [Role::Processor, Role::Sink, Role::Ingress] {
            for (suffix, named) in [("a", true), ("b", false)] {
                let mut node = Node::new(world, role, suffix, named, rng).await?;
                node.start(world, &[])?;
                nodes.push(node);
            }
        }
        let fleet = Self { nodes, kafka };
        fleet.ready().await?;
        Ok(fleet)
    }

    /// Waits until every node is ready.
    pub async fn ready(&self) -> Result<()> {
        for node in self.nodes.iter().filter(|node| node.runs()) {
            node.ready().await?;
        }
        Ok(())
    }

    /// One node of a role, drawn.
    pub fn draw(&mut self, role: Role, rng: &mut Rng) -> Result<&mut Node> {
        let mut of_role: Vec<&mut Node> = self.of(role).collect();
        ensure!(!of_role.is_empty(), "there is no {}", role.name());
        Ok(of_role.swap_remove(rng.below(of_role.len())))
    }

    pub fn of(&mut self, role: Role) -> impl Iterator<Item = &mut Node> {
        self.nodes.iter_mut().filter(move |node| node.role == role)
    }

    pub fn node(&mut self, name: &str) -> Result<&mut Node> {
        let found = self.nodes.iter_mut().find(|node| node.name == name);
        found.with_context(|| format!("there is no node {name}"))
    }

    /// A metric over all nodes of a role.
    pub async fn metric(&self, role: Role, name: &str, label: &str) -> f64 {
        let mut sum = 0.0;
        for node in self.nodes.iter().filter(|node| node.role == role) {
            sum += node.metric(name, label).await;
        }
        sum
    }

    /// The last command of each partition that a living processor has finished.
    pub async fn applied(&self, partitions: u16) -> Vec<f64> {
        let mut applied = Vec::new();
        for partition in 0..partitions {
            let label = format!("partition=\"{partition}\"");
            let mut last: f64 = 0.0;
            for node in self
                .nodes
                .iter()
                .filter(|node| node.role == Role::Processor)
            {
                let asked = node.metric("steelyard_partition_applied_offset", &label);
                last = last.max(asked.await);
            }
            applied.push(last);
        }
        applied
    }

    /// An error if a node has ended that nobody ended, or has met a broken invariant.
    pub fn check(&mut self) -> Result<()> {
        for node in &mut self.nodes {
            if let Some(status) = node.has_ended() {
                let tail = node.tail();
                bail!("{} ended by itself with {status}; {tail}", node.name);
            }
            let said = node.said();
            let broken = said
                .lines()
                .find(|line| line.contains("an invariant is broken") || line.contains("panicked"));
            if let Some(line) = broken {
                bail!("{} says: {line}; {}", node.name, node.tail());
            }
        }
        Ok(())
    }

    /// What every node waits for, for a report.
    pub async fn waits(&self) -> String {
        let mut text = String::new();
        for node in &self.nodes {
            let checks = node.checks().await;
            let waiting = checks.lines().filter(|line| !line.starts_with("[+]"));
            let waiting: Vec<&str> = waiting.collect();
            text.push_str(&format!("{}: {}\n", node.name, waiting.join("; ")));
        }
        text
    }
}
