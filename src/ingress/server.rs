//! Connections: how many, how slow, and how they end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Bytes of a request's head, at most.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Connections that may come at once before they are accepted: beyond it a client's attempt is
/// lost, and its kernel tries again seconds later. The system bounds it too (`somaxconn`).
const BACKLOG: u32 = 4096;
/// A pause after a connection could not be accepted: too many files are open, mostly.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How connections are served.
#[derive(Clone, Debug)]
pub struct Limits {
    pub connections_max: usize,
    pub head_timeout: Duration,
    /// How long requests may take to end after the stop.
    pub drain_timeout: Duration,
    pub connections: prometheus::IntGauge,
}

/// Listens on `address`.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    // A new process takes the address over from one whose connections are just closed.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves until `stop`, then lets the requests under way end.
pub async fn serve(listener: TcpListener, router: Router, limits: Limits, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(
        limits.connections_max.min(Semaphore::MAX_PERMITS),
    ));
    let tasks = TaskTracker::new();
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(HEAD_BYTES_MAX);
    while let Some((stream, place)) = accept(&listener, &places, &stop).await {
        let connection = Connection {
            server: server.clone(),
            router: router.clone(),
            stop: stop.clone(),
            open: limits.connections.clone(),
        };
        tasks.spawn(connection.serve(stream, place));
    }
    drop(listener);
    tasks.close();
    if tokio::time::timeout(limits.drain_timeout, tasks.wait())
        .await
        .is_err()
    {
        tracing::warn!(count = tasks.len(), "connections are cut off");
    }
}

/// The next connection, once there is a place for it; nothing after the stop.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
    stop: &CancellationToken,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let place = tokio::select! {
        place = places.clone().acquire_owned() => place.ok()?,
        () = stop.cancelled() => return None,
    };
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return None,
        };
        match accepted {
            Ok((stream, _)) => return Some((stream, place)),
            Err(error) => {
                tracing::debug!(%error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

struct Connection {
    server: http1::Builder,
    router: Router,
    stop: CancellationToken,
    open: prometheus::IntGauge,
}

impl Connection {
    async fn serve(self, stream: TcpStream, place: OwnedSemaphorePermit) {
        // Answers are small and wait for nothing behind them.
        let _ = stream.set_nodelay(true);
        self.open.inc();
        let service = TowerToHyperService::new(self.router);
        let serving = self.server.serve_connection(TokioIo::new(stream), service);
        tokio::pin!(serving);
        let ended = tokio::select! {
            ended = serving.as_mut() => ended,
            () = self.stop.cancelled() => {
                serving.as_mut().graceful_shutdown();
                serving.await
            }
        };
        if let Err(error) = ended {
            tracing::trace!(%error, "a connection broke off");
        }
        self.open.dec();
        drop(place);
    }
}
