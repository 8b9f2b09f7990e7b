//! A way to a service that can be shut: for those who come through it, the service is away.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

pub struct Gate {
    address: SocketAddr,
    open: watch::Sender<bool>,
    _task: JoinSet<()>,
}

impl Gate {
    /// An open gate before the service that `url` names.
    pub async fn before(url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (open, gate) = watch::channel(true);
        let mut task = JoinSet::new();
        task.spawn(serve(listener, Arc::from(host(url)), gate));
        Self {
            address,
            open,
            _task: task,
        }
    }

    /// `url`, by way of the gate.
    pub fn through(&self, url: &str) -> String {
        url.replacen(host(url), &self.address.to_string(), 1)
    }

    /// Cuts every connection off, and lets none pass.
    pub fn shut(&self) {
        self.open.send_replace(false);
    }

    pub fn open(&self) {
        self.open.send_replace(true);
    }
}

/// Host and port of a URL.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or_default();
    authority.rsplit('@').next().unwrap_or_default()
}

async fn serve(listener: TcpListener, target: Arc<str>, gate: watch::Receiver<bool>) {
    let mut passing = JoinSet::new();
    loop {
        let (mut client, _) = listener.accept().await.unwrap();
        let (target, mut gate) = (target.clone(), gate.clone());
        passing.spawn(async move {
            if !*gate.borrow() {
                return;
            }
            let mut server = TcpStream::connect(&*target).await.unwrap();
            tokio::select! {
                _ = copy_bidirectional(&mut client, &mut server) => {}
                _ = gate.wait_for(|open| !open) => {}
            }
        });
    }
}
