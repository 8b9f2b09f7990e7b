//! Request bodies: their type, their size and the time they take to arrive.

use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;

use super::context::Context;
use super::error::Kind;
use super::problem::Problem;
use crate::wire::{Invalid, InvalidKind};

/// What a body is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Json,
    /// One JSON text a line.
    Lines,
}

/// The format that `headers` name.
pub fn format(headers: &HeaderMap) -> Option<Format> {
    let text = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let essence = text.split(';').next()?.trim();
    let is = |name: &str| essence.eq_ignore_ascii_case(name);
    match () {
        () if is("application/json") => Some(Format::Json),
        () if is("application/x-ndjson") || is("application/ndjson") => Some(Format::Lines),
        () => None,
    }
}

impl Context {
    /// The JSON body of one command.
    pub async fn json(&self, headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
        if format(headers) != Some(Format::Json) {
            let detail = "give the body as Content-Type: application/json";
            return Err(Problem::new(Kind::UnsupportedMediaType, detail));
        }
        self.read(headers, body, self.options.body_bytes_max).await
    }

    /// A whole body of at most `limit` bytes.
    pub async fn read(
        &self,
        headers: &HeaderMap,
        body: Body,
        limit: usize,
    ) -> Result<Bytes, Problem> {
        if !is_plain(headers) {
            let detail = "bodies are read as they come; send it without Content-Encoding";
            return Err(Problem::new(Kind::UnsupportedMediaType, detail));
        }
        let length = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok());
        let length = length
            .and_then(|text| text.parse::<usize>().ok())
            .unwrap_or_default();
        if length > limit {
            return Err(too_large(limit));
        }
        match tokio::time::timeout(self.options.body_timeout, gather(body, limit)).await {
            Ok(read) => read,
            Err(_) => {
                let seconds = self.options.body_timeout.as_secs();
                let detail = format!("the body took longer than {seconds} s to arrive");
                Err(Problem::new(Kind::RequestTimeout, detail))
            }
        }
    }
}

/// Whether the body is not packed: nothing is ever unpacked, so that no body grows after its bytes
/// were counted.
fn is_plain(headers: &HeaderMap) -> bool {
    let mut encodings = headers.get_all(header::CONTENT_ENCODING).iter();
    encodings.all(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

async fn gather(body: Body, limit: usize) -> Result<Bytes, Problem> {
    let mut stream = body.into_data_stream();
    let mut whole = Bytes::new();
    let mut grown = BytesMut::new();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|_| Problem::malformed("", "the body broke off"))?;
        if whole
            .len()
            .saturating_add(grown.len())
            .saturating_add(chunk.len())
            > limit
        {
            return Err(too_large(limit));
        }
        if whole.is_empty() && grown.is_empty() {
            whole = chunk;
            continue;
        }
        if grown.is_empty() {
            grown.extend_from_slice(&std::mem::take(&mut whole));
        }
        grown.extend_from_slice(&chunk);
    }
    Ok(if grown.is_empty() {
        whole
    } else {
        grown.freeze()
    })
}

fn too_large(limit: usize) -> Problem {
    let detail = format!("the body has more bytes than the limit of {limit}");
    Invalid::new(InvalidKind::PayloadTooLarge, "", detail).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn chunks_are_gathered_up_to_the_limit() {
        let body = |chunks: &'static [&'static str]| {
            let chunks = chunks
                .iter()
                .map(|chunk| Ok::<_, std::io::Error>(Bytes::from(*chunk)));
            Body::from_stream(futures::stream::iter(chunks))
        };
        assert_eq!(gather(body(&["ab", "cd", "e"]), 5).await.unwrap(), "abcde");
        assert_eq!(gather(body(&["abcde"]), 5).await.unwrap(), "abcde");
        assert_eq!(gather(body(&[]), 5).await.unwrap(), "");
        assert!(gather(body(&["ab", "cd", "ef"]), 5).await.is_err());
    }

    #[test]
    fn only_json_and_its_lines_are_read() {
        let of = |text: &str| {
            format(&HeaderMap::from_iter([(
                header::CONTENT_TYPE,
                text.parse().unwrap(),
            )]))
        };
        assert_eq!(of("application/json; charset=utf-8"), Some(Format::Json));
        assert_eq!(of("Application/X-NDJSON"), Some(Format::Lines));
        assert_eq!(of("text/json"), None);
        assert_eq!(format(&HeaderMap::new()), None);
    }
}
