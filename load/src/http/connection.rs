//! One keep-alive connection, opened again when it breaks.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::answer::Answer;

/// The server, and what every request to it carries.
#[derive(Debug)]
pub struct Endpoint {
    /// `host:port`.
    authority: String,
    headers: HeaderMap,
}

/// How long an answer may take. Longer than the ingress waits itself.
const ANSWER: Duration = Duration::from_secs(60);
const CONNECT: Duration = Duration::from_secs(5);

impl Endpoint {
    /// `base` is `http://host:port`.
    pub fn new(base: &str, api_key: Option<&str>) -> Result<Arc<Self>> {
        let uri: Uri = base.parse().with_context(|| format!("{base} is no URL"))?;
        ensure!(
            uri.scheme_str() == Some("http"),
            "{base} is not of the form http://HOST:PORT"
        );
        let authority = uri.authority().context("the URL names no host")?;
        let authority = match authority.port() {
            Some(_) => authority.to_string(),
            None => format!("{authority}:80"),
        };
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_str(&authority)?);
        let json = HeaderValue::from_static("application/json");
        headers.insert(header::CONTENT_TYPE, json);
        if let Some(key) = api_key {
            let mut bearer = HeaderValue::from_str(&format!("Bearer {key}"))?;
            bearer.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, bearer);
        }
        Ok(Arc::new(Self { authority, headers }))
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Failure {
    /// The request never left.
    NotSent(String),
    /// It left, and may have been done.
    Unanswered(String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotSent(why) => write!(f, "not sent: {why}"),
            Self::Unanswered(why) => write!(f, "no answer: {why}"),
        }
    }
}

impl std::error::Error for Failure {}

#[derive(Debug)]
pub struct Connection {
    endpoint: Arc<Endpoint>,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Connection {
    pub fn new(endpoint: Arc<Endpoint>) -> Self {
        let sender = None;
        Self { endpoint, sender }
    }

    pub async fn post(&mut self, path: &str, body: Bytes) -> Result<Answer, Failure> {
        self.ask(Method::POST, path, body).await
    }

    pub async fn get(&mut self, path: &str) -> Result<Answer, Failure> {
        self.ask(Method::GET, path, Bytes::new()).await
    }

    async fn ask(&mut self, method: Method, path: &str, body: Bytes) -> Result<Answer, Failure> {
        let not_sent = |error: &dyn std::fmt::Display| Failure::NotSent(error.to_string());
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .body(Full::new(body))
            .map_err(|error| not_sent(&error))?;
        request.headers_mut().clone_from(&self.endpoint.headers);
        let mut sender = match self.idle().await {
            Some(sender) => sender,
            None => self.connect().await.map_err(|error| not_sent(&error))?,
        };
        let answered = timeout(ANSWER, async {
            match sender.try_send_request(request).await {
                Ok(response) => read(response).await,
                Err(mut failed) => Err(match failed.take_message() {
                    Some(_) => Failure::NotSent(failed.into_error().to_string()),
                    None => Failure::Unanswered(failed.into_error().to_string()),
                }),
            }
        });
        let answer = answered
            .await
            .unwrap_or_else(|_| Err(Failure::Unanswered("timed out".to_owned())))?;
        self.sender = Some(sender);
        Ok(answer)
    }

    /// The open connection, unless the server has closed it meanwhile.
    async fn idle(&mut self) -> Option<SendRequest<Full<Bytes>>> {
        let mut sender = self.sender.take()?;
        sender.ready().await.ok()?;
        Some(sender)
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>> {
        let authority = &self.endpoint.authority;
        let stream = timeout(CONNECT, TcpStream::connect(authority)).await;
        let stream = stream
            .with_context(|| format!("{authority} does not answer"))?
            .with_context(|| format!("cannot connect to {authority}"))?;
        stream.set_nodelay(true)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        #[expect(
            clippy::disallowed_methods,
            reason = "drives one connection, and ends when its sender is dropped"
        )]
        tokio::spawn(connection);
        sender.ready().await?;
        Ok(sender)
    }
}

async fn read(response: Response<hyper::body::Incoming>) -> Result<Answer, Failure> {
    let (head, body) = response.into_parts();
    let text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let retry_after = text("retry-after").and_then(|seconds| seconds.parse().ok());
    let answer = Answer {
        status: head.status,
        replayed: text("idempotent-replayed") == Some("true"),
        retry_after: retry_after.map(Duration::from_secs),
        location: text("location").map(ToOwned::to_owned),
        body: Bytes::new(),
    };
    let body = body.collect().await;
    let body = body.map_err(|error| Failure::Unanswered(error.to_string()))?;
    Ok(Answer {
        body: body.to_bytes(),
        ..answer
    })
}
