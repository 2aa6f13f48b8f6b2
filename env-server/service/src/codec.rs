//! Encodes and decodes bodies as `Content-Type` and `Accept` say.

use std::sync::Arc;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use bytes::BytesMut;
use env_protocol::{DecodeError, Encoding, ErrorCode, Problem};
use http_body_util::BodyExt;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::aside::Note;
use crate::bodies::Bodies;
use crate::problem::Failure;
use crate::room::Room;

/// State of routes that take bodies.
pub trait BodyLimit: Sync {
    /// Returns the bodies that are being read.
    fn bodies(&self) -> &Bodies;
}

impl<T: BodyLimit + Send> BodyLimit for Arc<T> {
    fn bodies(&self) -> &Bodies {
        (**self).bodies()
    }
}

/// A decoded request body, and the encoding of the reply to it.
///
/// Both are determined before the handler runs, so an error in either changes nothing.
pub struct Call<T> {
    /// The body.
    pub body: T,
    /// The encoding of the reply.
    pub reply: Encoding,
    /// The memory reservation of a large body.
    _room: Option<Room>,
}

impl<T: DeserializeOwned + Send + 'static, S: BodyLimit> FromRequest<S> for Call<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let encoding = content_type(request.headers(), request.body().is_end_stream())?;
        let reply = accept(request.headers(), encoding)?;
        let bodies = state.bodies();
        let (bytes, room) = read(request.into_body(), bodies).await?;
        Ok(Call::decode(encoding, bytes, room, reply, bodies, &None).await?)
    }
}

impl<T: DeserializeOwned + Send + 'static> Call<T> {
    /// Decodes a body; a large one aside.
    ///
    /// # Errors
    /// As [`Call::read`], and `overloaded`.
    pub async fn decode(
        encoding: Encoding,
        bytes: Bytes,
        mut room: Option<Room>,
        reply: Encoding,
        bodies: &Bodies,
        note: &Note,
    ) -> Result<Self, Problem> {
        if !Bodies::is_large(bytes.len()) {
            return Call::read(encoding, &bytes, reply);
        }
        bodies.count_decoded(&mut room, bytes.len())?;
        let decoded = bodies
            .aside()
            .run(note, move || Call::read(encoding, &bytes, reply));
        let mut call = Box::pin(decoded).await?;
        call._room = room;
        Ok(call)
    }
}

impl<T: DeserializeOwned> Call<T> {
    /// Decodes a body.
    ///
    /// # Errors
    /// `malformed-body` or `invalid-body`.
    pub fn read(encoding: Encoding, bytes: &[u8], reply: Encoding) -> Result<Self, Problem> {
        // An empty body counts as an empty map, so that a reset by hand needs none.
        let body = match bytes.is_empty() {
            true => Encoding::Json.decode(b"{}"),
            false => encoding.decode(bytes),
        };
        let body = body.map_err(problem)?;
        check_is_map(encoding, bytes)?;
        Ok(Call {
            body,
            reply,
            _room: None,
        })
    }
}

/// Reads a body. If its declared size is too large it is not read at all; the memory of a large one
/// is counted as it arrives.
///
/// This is done by hand because axum's own limit is a layer on every route and an extension of
/// every request.
async fn read(mut body: Body, bodies: &Bodies) -> Result<(Bytes, Option<Room>), Problem> {
    let max = bodies.max_body_bytes();
    if body.size_hint().lower() > max as u64 {
        return Err(too_large(max));
    }
    let mut whole = BytesMut::new();
    let mut room = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            let detail = format!("the body cannot be read: {error}");
            Problem::new(ErrorCode::MalformedRequest, detail)
        })?;
        // Ignore trailers.
        let Ok(piece) = frame.into_data() else {
            continue;
        };
        if piece.len() > max - whole.len() {
            return Err(too_large(max));
        }
        bodies.count(&mut room, whole.len() + piece.len())?;
        // Most bodies arrive in one piece, which is used as it is.
        if whole.is_empty() && body.is_end_stream() {
            return Ok((piece, room));
        }
        whole.extend_from_slice(&piece);
    }
    Ok((whole.freeze(), room))
}

fn too_large(max: usize) -> Problem {
    Problem::new(ErrorCode::BodyTooLarge, format!("over {max} bytes"))
}

/// Converts a decoding error into a problem.
pub fn problem(error: DecodeError) -> Problem {
    match error {
        DecodeError::Malformed { .. } => Problem::new(ErrorCode::MalformedBody, error.to_string()),
        DecodeError::Invalid { pointer, detail } => {
            Problem::new(ErrorCode::InvalidBody, detail).at(pointer)
        }
    }
}

/// Refuses a list of a body's values, which the decoders would accept in place of a map.
fn check_is_map(encoding: Encoding, bytes: &[u8]) -> Result<(), Problem> {
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    let is_map = match encoding {
        Encoding::Json => matches!(first, None | Some(b'{')),
        Encoding::MessagePack => matches!(first, None | Some(0x80..=0x8f | 0xde | 0xdf)),
    };
    match is_map {
        true => Ok(()),
        false => Err(Problem::new(ErrorCode::InvalidBody, "must be a map of fields").at("")),
    }
}

/// The encoding of the reply to a request without a body.
pub struct Accept(pub Encoding);

impl<S: Send + Sync> FromRequestParts<S> for Accept {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        Ok(Accept(accept(&parts.headers, Encoding::Json)?))
    }
}

/// A reply with a body.
pub fn encoded<T: Serialize>(encoding: Encoding, body: &T) -> Response {
    with_body(encoding, encoding.encode(body))
}

/// Builds a reply from an encoded body. JSON ends with a newline, for readers in a terminal.
pub fn with_body(encoding: Encoding, mut body: Vec<u8>) -> Response {
    if encoding == Encoding::Json {
        body.push(b'\n');
    }
    let content_type = HeaderValue::from_static(encoding.content_type());
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, content_type);
    response
}

const ENCODINGS: [Encoding; 2] = [Encoding::Json, Encoding::MessagePack];

/// Returns the encoding of the body. A body must declare it: browsers send a preflight request
/// before they send either type for a page of another origin, but not before a body without a type.
fn content_type(headers: &HeaderMap, is_empty: bool) -> Result<Encoding, Problem> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        if is_empty {
            return Ok(Encoding::Json);
        }
        let detail = "Content-Type is missing; send application/json or application/vnd.msgpack";
        return Err(Problem::new(ErrorCode::UnsupportedMediaType, detail));
    };
    let text = value.to_str().unwrap_or_default();
    let media_type = text.split(';').next().unwrap_or_default().trim();
    let mut known = ENCODINGS.into_iter();
    known
        .find(|e| media_type.eq_ignore_ascii_case(e.content_type()))
        .ok_or_else(|| {
            let detail = format!(
                "Content-Type is {text:?}; send application/json or application/vnd.msgpack"
            );
            Problem::new(ErrorCode::UnsupportedMediaType, detail)
        })
}

/// Chooses the encoding of the reply: the one `Accept` prefers, or `default` if it leaves a choice.
fn accept(headers: &HeaderMap, default: Encoding) -> Result<Encoding, Problem> {
    let other = match default {
        Encoding::Json => Encoding::MessagePack,
        Encoding::MessagePack => Encoding::Json,
    };
    let choices = [default, other];
    negotiate(headers, choices.map(Encoding::content_type)).map(|chosen| choices[chosen])
}

/// Chooses among media types for the reply: the one `Accept` prefers, or the first if it leaves a
/// choice. Returns its index.
///
/// # Errors
/// `not-acceptable`.
pub fn negotiate<const N: usize>(
    headers: &HeaderMap,
    choices: [&str; N],
) -> Result<usize, Problem> {
    let values = headers.get_all(header::ACCEPT);
    let mut both = values.iter();
    match (both.next(), both.next()) {
        (None, _) => return Ok(0),
        // The value that most clients send; there is nothing to weigh.
        (Some(only), None) => {
            if let Some(i) = choices.iter().position(|choice| only == choice) {
                return Ok(i);
            }
        }
        _ => {}
    }
    let texts = values
        .iter()
        .map(|value| value.to_str().unwrap_or_default());
    let ranges: Vec<_> = texts
        .flat_map(|text| text.split(',').filter_map(MediaRange::parse))
        .collect();
    if ranges.is_empty() {
        return Ok(0);
    }
    let quality = |media_type: &str| {
        let matching = ranges.iter().filter(|r| r.matches(media_type));
        let best = matching.max_by_key(|r| r.specificity());
        best.map_or(0.0, |range| range.quality)
    };
    let mut chosen = (None, 0.0);
    for (i, media_type) in choices.into_iter().enumerate() {
        let quality = quality(media_type);
        if quality > chosen.1 {
            chosen = (Some(i), quality);
        }
    }
    chosen.0.ok_or_else(|| {
        let detail = format!("Accept allows none of {}", choices.join(", "));
        Problem::new(ErrorCode::NotAcceptable, detail)
    })
}

/// One entry of `Accept` (RFC 9110, section 12.5.1).
struct MediaRange<'a> {
    name: &'a str,
    /// From 0 (never) to 1.
    quality: f32,
}

impl<'a> MediaRange<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let name = parts.next().filter(|name| !name.is_empty())?;
        let quality = parts
            .find_map(|part| part.strip_prefix("q="))
            .and_then(|q| q.parse().ok())
            .unwrap_or(1.0);
        Some(MediaRange { name, quality })
    }

    fn matches(&self, media_type: &str) -> bool {
        match self.name.strip_suffix("/*") {
            Some("*") => true,
            Some(kind) => media_type
                .split_once('/')
                .is_some_and(|(found, _)| found.eq_ignore_ascii_case(kind)),
            None => self.name.eq_ignore_ascii_case(media_type),
        }
    }

    fn specificity(&self) -> u8 {
        match self.name.strip_suffix("/*") {
            Some("*") => 0,
            Some(_) => 1,
            None => 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn negotiate(value: &str, default: Encoding) -> Option<Encoding> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, value.parse().unwrap());
        accept(&headers, default).ok()
    }

    #[test]
    fn accept_chooses_what_it_likes_best() {
        use Encoding::{Json, MessagePack};
        for (value, default, expected) in [
            ("*/*", Json, Some(Json)),
            ("*/*", MessagePack, Some(MessagePack)),
            ("application/json", MessagePack, Some(Json)),
            ("application/vnd.msgpack", Json, Some(MessagePack)),
            (
                "application/json;q=0.5, application/vnd.msgpack",
                Json,
                Some(MessagePack),
            ),
            ("text/html, */*;q=0.1", Json, Some(Json)),
            ("application/json;q=0, */*", Json, Some(MessagePack)),
            ("text/html", Json, None),
            ("application/json;q=0", Json, None),
        ] {
            assert_eq!(negotiate(value, default), expected, "{value}");
        }
    }

    #[tokio::test]
    async fn a_body_in_pieces_is_joined_and_bounded() {
        let read_at_most = |max: usize, pieces: &[&'static str]| {
            let pieces = pieces.iter().map(|&piece| Ok::<_, Infallible>(piece));
            let pieces: Vec<_> = pieces.collect();
            async move {
                let body = Body::from_stream(futures_util::stream::iter(pieces));
                Ok::<_, Problem>(read(body, &Bodies::new(max)).await?.0)
            }
        };
        let read_whole = |max: usize| async move {
            Ok::<_, Problem>(read(Body::from("abc"), &Bodies::new(max)).await?.0)
        };
        for (max, pieces) in [
            (6, ["abc", "", "def"].as_slice()),
            (7, &["abcdef"]),
            (6, &["a", "bcdef", ""]),
        ] {
            let whole = read_at_most(max, pieces).await.unwrap();
            assert_eq!(whole, "abcdef", "{pieces:?}");
            let problem = read_at_most(5, pieces).await.unwrap_err();
            assert_eq!(problem.code, ErrorCode::BodyTooLarge, "{pieces:?}");
        }
        assert_eq!(read_at_most(0, &[]).await.unwrap(), "");
        assert_eq!(read_whole(3).await.unwrap(), "abc");
        let problem = read_whole(2).await.unwrap_err();
        assert_eq!(problem.code, ErrorCode::BodyTooLarge);
    }

    #[tokio::test]
    async fn large_bodies_have_a_limit_together() {
        const MIB: usize = 1 << 20;
        let bodies = Bodies::new(MIB);
        let large = || read(Body::from(vec![b' '; MIB]), &bodies);
        let mut rooms = Vec::new();
        let refused = loop {
            match large().await {
                Ok((_, room)) => rooms.push(room.expect("it is counted")),
                Err(problem) => break problem,
            }
        };
        assert_eq!(
            (refused.code, refused.retryable),
            (ErrorCode::Overloaded, true)
        );
        assert_eq!(rooms.len(), 16);
        let (_, room) = read(Body::from("{}"), &bodies).await.unwrap();
        assert!(room.is_none(), "small ones always pass");
        rooms.pop();
        let (bytes, room) = large().await.unwrap();
        // The decoded body is larger.
        let decode = |bytes: Bytes, room| {
            Call::<env_protocol::ResetRequest>::decode(
                Encoding::Json,
                bytes,
                room,
                Encoding::Json,
                &bodies,
                &None,
            )
        };
        let refused = decode(bytes.clone(), room).await.err().unwrap();
        assert_eq!(refused.code, ErrorCode::Overloaded);
        drop(rooms);
        let mut json = b"{}".to_vec();
        json.extend_from_slice(&bytes[2..]);
        let (bytes, room) = read(Body::from(json), &bodies).await.unwrap();
        assert!(decode(bytes, room).await.is_ok());
    }
}
