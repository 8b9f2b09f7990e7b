//! A way to a service that can be cut, held, slowed down, or made deaf to answers.
//!
//! Whoever comes through it sees a network's faults; others do not. Jitter comes from a seed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use load::rng::Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What a way does with what passes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Open,
    /// Connections end, and new ones at once.
    Cut,
    /// Nothing moves, and nobody is told.
    Hole,
    /// Every piece is late by up to so many milliseconds.
    Slow(u64),
    /// What is asked arrives; at the first answer the connection ends, and the answer is lost.
    Deaf,
}

#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    lost: Arc<AtomicU64>,
    _serving: JoinSet<()>,
}

impl Proxy {
    /// An open way to `target`, a host and a port.
    pub async fn to(target: &str, seed: u64) -> Result<Self> {
        Self::at("127.0.0.1:0", target, seed).await
    }

    /// An open way from `here` to `target`.
    pub async fn at(here: &str, target: &str, seed: u64) -> Result<Self> {
        let listener = TcpListener::bind(here).await;
        let listener = listener.with_context(|| format!("nobody can listen at {here}"))?;
        let address = listener.local_addr()?;
        let (mode, watched) = watch::channel(Mode::Open);
        let lost = Arc::new(AtomicU64::new(0));
        let way = Way {
            target: target.into(),
            mode: watched,
            lost: lost.clone(),
        };
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, way, Rng::new(seed)));
        Ok(Self {
            address,
            mode,
            lost,
            _serving: serving,
        })
    }

    /// The way to the service that `url` names, and `url` by this way.
    pub async fn before(url: &str, seed: u64) -> Result<(Self, String)> {
        let host = host(url).with_context(|| format!("{url} names no host"))?;
        let proxy = Self::to(host, seed).await?;
        let through = url.replacen(host, &proxy.address.to_string(), 1);
        Ok((proxy, through))
    }

    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// How many answers were lost on the way so far.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

/// Host and port of a URL.
fn host(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    rest.split('/').next()?.rsplit('@').next()
}

#[derive(Clone, Debug)]
struct Way {
    target: Arc<str>,
    mode: watch::Receiver<Mode>,
    lost: Arc<AtomicU64>,
}

async fn serve(listener: TcpListener, way: Way, mut rng: Rng) {
    let mut passing = JoinSet::new();
    loop {
        let Ok((client, _)) = listener.accept().await else {
            return;
        };
        if *way.mode.borrow() == Mode::Cut {
            continue;
        }
        while passing.try_join_next().is_some() {}
        let (way, rng) = (way.clone(), Rng::new(rng.draw()));
        passing.spawn(async move {
            // However it ends, both sides see their connection end.
            let _ = pass(client, way, rng).await;
        });
    }
}

async fn pass(mut client: TcpStream, mut way: Way, mut rng: Rng) -> std::io::Result<()> {
    let mut server = TcpStream::connect(&*way.target).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut asked, mut answered) = (vec![0; 16 * 1024], vec![0; 16 * 1024]);
    loop {
        let mode = *way.mode.borrow_and_update();
        match mode {
            Mode::Cut => return Ok(()),
            Mode::Hole => {
                if way.mode.changed().await.is_err() {
                    return Ok(());
                }
                continue;
            }
            Mode::Open | Mode::Slow(_) | Mode::Deaf => {}
        }
        let (to, piece) = tokio::select! {
            changed = way.mode.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return Ok(()),
            },
            read = client.read(&mut asked) => (&mut server, &asked[..read?]),
            read = server.read(&mut answered) => {
                let read = read?;
                if mode == Mode::Deaf && read > 0 {
                    way.lost.fetch_add(1, Ordering::Relaxed);
                    return Ok(());
                }
                (&mut client, &answered[..read])
            }
        };
        if piece.is_empty() {
            return Ok(());
        }
        if let Mode::Slow(most_ms) = mode {
            tokio::time::sleep(Duration::from_millis(rng.between(0, most_ms))).await;
        }
        to.write_all(piece).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_its_host() {
        assert_eq!(host("redis://127.0.0.1:6379"), Some("127.0.0.1:6379"));
        assert_eq!(host("postgres://a:b@h:5/db"), Some("h:5"));
        assert_eq!(host("nothing"), None);
    }

    /// A service that answers with what it is asked.
    async fn echo() -> (String, JoinSet<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("echo://{}", listener.local_addr().unwrap());
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut each = JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                each.spawn(async move {
                    let (mut from, mut to) = client.split();
                    tokio::io::copy(&mut from, &mut to).await.ok();
                });
            }
        });
        (url, serving)
    }

    async fn ask(url: &str) -> std::io::Result<usize> {
        let mut way = TcpStream::connect(host(url).unwrap()).await?;
        way.write_all(b"abc").await?;
        let mut answer = [0; 3];
        way.read(&mut answer).await
    }

    #[tokio::test]
    async fn a_way_does_what_it_is_told() {
        let (url, _serving) = echo().await;
        let (proxy, through) = Proxy::before(&url, 1).await.unwrap();
        assert_eq!(ask(&through).await.unwrap(), 3);
        proxy.set(Mode::Deaf);
        assert_eq!(ask(&through).await.unwrap_or(0), 0);
        assert_eq!(proxy.lost(), 1);
        proxy.set(Mode::Cut);
        assert_eq!(ask(&through).await.unwrap_or(0), 0);
        proxy.set(Mode::Slow(5));
        assert_eq!(ask(&through).await.unwrap(), 3);
        proxy.set(Mode::Hole);
        let held = tokio::time::timeout(Duration::from_millis(50), ask(&through));
        assert!(held.await.is_err());
    }
}
