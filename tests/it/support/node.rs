//! A running process of the binary, and what can be asked of it.

use std::net::TcpListener;
use std::process::{Child, Command, ExitStatus, Stdio};

use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};

use super::ending::Ending;
use super::until;

pub struct Node {
    child: Child,
    pub http: String,
    pub ops: String,
    pub client: Client,
    log: std::path::PathBuf,
    ending: Ending,
}

impl Node {
    pub fn start(mut command: Command, role: &str, ending: Ending) -> Self {
        let (http, ops) = (free_port(), free_port());
        let log = std::env::temp_dir().join(format!("steelyard-it-{http}-{ops}.log"));
        let file = std::fs::File::create(&log).expect("a log file");
        let child = command
            .arg(role)
            .env("STEELYARD_HTTP_LISTEN", format!("127.0.0.1:{http}"))
            .env("STEELYARD_OPS_LISTEN", format!("127.0.0.1:{ops}"))
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a log file"))
            .stderr(file)
            .spawn()
            .expect("the binary starts");
        Self {
            child,
            http: format!("http://127.0.0.1:{http}"),
            ops: format!("http://127.0.0.1:{ops}"),
            client: Client::new(),
            log,
            ending,
        }
    }

    /// Waits until the node says that it is ready.
    pub async fn ready(&self) {
        let url = format!("{}/readyz", self.ops);
        let what = format!("{url}, log: {}", self.log.display());
        until(&what, async || {
            let answer = self.client.get(&url).send().await.ok()?;
            (answer.status() == StatusCode::OK).then_some(())
        })
        .await;
    }

    pub async fn get(&self, path: &str) -> (StatusCode, Value) {
        let answer = self.client.get(format!("{}{path}", self.http)).send().await;
        body(answer.expect("an answer")).await
    }

    pub async fn post(&self, path: &str, json: &Value) -> (StatusCode, Value) {
        self.ending.moved();
        let answer = self
            .client
            .post(format!("{}{path}", self.http))
            .json(json)
            .send()
            .await;
        body(answer.expect("an answer")).await
    }

    /// Opens a USD balance of `account` with floor zero.
    pub async fn open(&self, account: &str) {
        let (status, answer) = self
            .post("/v1/balances", &json!({"account": account, "asset": "USD"}))
            .await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
    }

    /// Posts a transaction that must be applied; its answer.
    pub async fn applied(&self, transaction: &Value) -> Value {
        let (status, answer) = self.post("/v1/transactions", transaction).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
        answer
    }

    /// One of this node's metrics, summed over its labels that contain `label`.
    pub async fn metric(&self, name: &str, label: &str) -> f64 {
        let Ok(answer) = self
            .client
            .get(format!("{}/metrics", self.ops))
            .send()
            .await
        else {
            return 0.0;
        };
        let text = answer.text().await.unwrap_or_default();
        let lines = text.lines().filter(|line| {
            line.starts_with(name) && line.contains(label) && !line.starts_with('#')
        });
        lines
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// What readiness says, check by check; nothing where nobody listens.
    pub async fn checks(&self) -> String {
        let url = format!("{}/readyz?verbose", self.ops);
        match self.client.get(url).send().await {
            Ok(answer) => answer.text().await.unwrap_or_default(),
            Err(_) => String::new(),
        }
    }

    /// Sends a signal such as `STOP` or `TERM`.
    pub fn signal(&self, name: &str) {
        signal(name, &self.pid().to_string());
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills the process at once and waits for it.
    pub fn kill(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }

    /// Asks the process to stop, and waits until it has.
    pub async fn stop(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.ended().await
    }

    /// Waits until the process has ended; how it did.
    pub async fn ended(&mut self) -> ExitStatus {
        until("the process to end", async || ended(self.pid())).await;
        self.child.wait().expect("it has ended")
    }

    /// Everything that the process wrote.
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.log).expect("its log")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
        if !std::thread::panicking() {
            std::fs::remove_file(&self.log).ok();
        }
    }
}

/// Sends a signal such as `STOP` or `TERM` to a process, or to a group by its negative number.
pub fn signal(name: &str, to: &str) {
    let sent = Command::new("kill")
        .args([&format!("-{name}"), "--", to])
        .status();
    assert!(sent.is_ok_and(|status| status.success()), "kill -{name}");
}

/// Whether a child has ended; it stays as a zombie until it is waited for.
pub fn ended(pid: u32) -> Option<()> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let state = stat.rsplit(") ").next()?.chars().next()?;
    (state == 'Z').then_some(())
}

async fn body(answer: Response) -> (StatusCode, Value) {
    let status = answer.status();
    let text = answer.text().await.unwrap_or_default();
    (
        status,
        serde_json::from_str(&text).unwrap_or(Value::String(text)),
    )
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}
