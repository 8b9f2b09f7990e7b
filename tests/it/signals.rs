//! Ctrl-C and TERM as a terminal and a service manager send them: everything that was started
//! ends, and the exit code says how.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::net::TcpStream;

use crate::support::node::{Node, ended, signal};
use crate::support::tools::{kafka_classpath, there_is};
use crate::support::{World, transfer, until, until_within};

/// `steelyard all` as a terminal starts it: a process group of its own.
fn grouped(world: &World, more: &[(&str, &str)]) -> Node {
    let mut command = world.command();
    command.env("STEELYARD_INSECURE", "true").process_group(0);
    command.envs(more.iter().copied());
    Node::start(command, "all", world.ending.clone())
}

/// Whether any process of the group is left.
fn group_lives(group: u32) -> bool {
    let asked = Command::new("kill")
        .args(["-0", "--", &format!("-{group}")])
        .stderr(Stdio::null())
        .status();
    asked.expect("kill runs").success()
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_the_program_with_0() {
    let world = World::new(2);
    let mut node = grouped(&world, &[]);
    node.ready().await;
    node.open("alice").await;
    node.applied(&transfer("fund", "@world", "alice", "5"))
        .await;
    let group = node.pid();
    signal("INT", &format!("-{group}"));
    assert_eq!(node.ended().await.code(), Some(0), "{}", node.said());
    assert!(!group_lives(group), "nothing is left running");
    let address = node.http.strip_prefix("http://").expect("an address");
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens");

    let again = world.start("all").await;
    let answer = again
        .applied(&transfer("fund", "@world", "alice", "5"))
        .await;
    assert_eq!(answer["status"], "applied", "{answer}");
    world.audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_the_program_at_once_with_130() {
    let world = World::new(1);
    let mut node = grouped(&world, &[("STEELYARD_DRAIN_WAIT", "10m")]);
    node.ready().await;
    let group = format!("-{}", node.pid());
    signal("INT", &group);
    until("the first to be heard", async || {
        node.said().contains("stopping").then_some(())
    })
    .await;
    signal("INT", &group);
    assert_eq!(node.ended().await.code(), Some(130), "{}", node.said());
}

/// A `./dev run` in a directory of its own, stopped at the latest when the test ends.
struct Dev {
    home: PathBuf,
    child: Child,
}

/// How long services on a busy machine may take to start.
const START_MAX: Duration = Duration::from_secs(180);

impl Dev {
    fn run(home: &Path) -> Self {
        let log = std::fs::File::create(home.join("said")).expect("a log file");
        // Under a shell that started the tests in the background, interrupts would be ignored.
        let child = Command::new("env")
            .args(["--default-signal=INT", "./dev", "run"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("STEELYARD_HOME", home)
            .env("STEELYARD_STACK", "packages")
            .env("STEELYARD_BIN", env!("CARGO_BIN_EXE_steelyard"))
            .env("STEELYARD_KAFKA_HEAP", "-Xms128m -Xmx384m")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log file"))
            .stderr(log)
            .spawn()
            .expect("./dev starts");
        Self {
            home: home.to_owned(),
            child,
        }
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.home.join("said")).expect("its log")
    }

    /// What `./dev status` says once it runs.
    async fn status(&self) -> Value {
        until_within(START_MAX, "./dev run to be ready", async || {
            let ended = ended(self.child.id());
            assert!(ended.is_none(), "it has ended: {}", self.said());
            self.said().contains("Ctrl-C stops it").then_some(())
        })
        .await;
        let mut status = Command::new("./dev");
        status
            .args(["status", "--json"])
            .env("STEELYARD_HOME", &self.home);
        let status = status.current_dir(env!("CARGO_MANIFEST_DIR")).output();
        let status = status.expect("./dev status runs");
        serde_json::from_slice(&status.stdout).expect("JSON")
    }

    /// Signals the group as a terminal does, waits, and looks that nothing is left.
    async fn end(mut self, name: &str, code: i32) {
        let status = self.status().await;
        let group = self.child.id();
        let pids = status["pids"].as_object().expect("pids").clone();
        assert_eq!(pids.len(), 5, "dev, steelyard and three services: {status}");
        signal(name, &format!("-{group}"));
        until_within(START_MAX, "./dev run to end", async || ended(group)).await;
        let exit = self.child.wait().expect("it has ended");
        assert_eq!(exit.code(), Some(code), "{}", self.said());
        assert!(!group_lives(group), "nothing of its group is left");
        for (what, pid) in &pids {
            let pid = u32::try_from(pid.as_u64().expect("a pid")).expect("a pid");
            // Its new parent may not have waited for it yet.
            let gone = !Path::new(&format!("/proc/{pid}")).exists() || ended(pid).is_some();
            assert!(gone, "{what} ({pid}) is left running: {}", self.said());
        }
        for service in ["http", "ops", "kafka", "redis"] {
            let address = status[service].as_str().expect("an address");
            let address = address.rsplit('/').next().unwrap_or_default();
            assert!(TcpStream::connect(address).await.is_err(), "{service}");
        }
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        if ended(self.child.id()).is_none() && self.child.try_wait().is_ok_and(|e| e.is_none()) {
            signal("TERM", &format!("-{}", self.child.id()));
            self.child.wait().ok();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_and_term_end_dev_run_and_all_that_it_started() {
    let mut env = Command::new("env");
    env.args(["--default-signal=INT", "true"]);
    if kafka_classpath().is_none() || !there_is(&mut env, "env --default-signal") {
        return;
    }
    let home = std::env::temp_dir().join(format!("steelyard-it-dev-{}", std::process::id()));
    std::fs::create_dir_all(&home).expect("a directory");
    Dev::run(&home).end("INT", 130).await;
    Dev::run(&home).end("TERM", 143).await;
    std::fs::remove_dir_all(&home).expect("it is ours");
}
