//! A Redis of a test's own, to be stopped and started again.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tokio::net::TcpStream;

use super::node::free_port;
use super::tools::there_is;
use super::until;

/// Keeps nothing on disk: after a stop it is empty.
pub struct Redis {
    port: u16,
    policy: &'static str,
    folder: PathBuf,
    child: Child,
}

impl Redis {
    /// A running server with this `maxmemory-policy`; none, with a word on it, where there is no
    /// `redis-server`.
    pub async fn start(policy: &'static str) -> Option<Self> {
        let mut version = Command::new("redis-server");
        if !there_is(version.arg("--version"), "redis-server to be stopped") {
            return None;
        }
        let port = free_port();
        let folder = std::env::temp_dir().join(format!("steelyard-it-redis-{port}"));
        std::fs::create_dir_all(&folder).expect("a folder");
        let child = spawn(port, policy, &folder);
        let redis = Self {
            port,
            policy,
            folder,
            child,
        };
        redis.answers().await;
        Some(redis)
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Kills it.
    pub fn stop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }

    /// Starts it again, empty.
    pub async fn again(&mut self) {
        self.child = spawn(self.port, self.policy, &self.folder);
        self.answers().await;
    }

    async fn answers(&self) {
        until("redis to answer", async || {
            TcpStream::connect(("127.0.0.1", self.port)).await.ok()
        })
        .await;
    }
}

fn spawn(port: u16, policy: &str, folder: &std::path::Path) -> Child {
    Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--save", "", "--appendonly", "no"])
        .args(["--maxmemory-policy", policy])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server starts")
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.stop();
        std::fs::remove_dir_all(&self.folder).ok();
    }
}
