//! Requests in JSON, one at a time, to the job's own server and to contenders that choose actions.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Client, Method, RequestBuilder};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use crate::format::thousands;

/// Number of attempts before giving up. The receiver recognises a repeated request by its number or
/// id.
const ATTEMPTS: u32 = 4;

/// Pause between attempts.
const PAUSE: Duration = Duration::from_millis(100);

/// Longest wait for an answer that does not matter.
const COURTESY: Duration = Duration::from_secs(2);

/// Most characters to show of an answer that is not a problem document.
const SHOWN_LETTERS: usize = 120;

/// Interval at which to check whether an answer is still wanted.
const LOOK: Duration = Duration::from_millis(20);

/// A client for one server. Limits the size of an answer and the time to wait for it.
pub struct Api<'a> {
    /// Drives the connections during a request.
    runtime: Option<Runtime>,
    client: Client,
    base: String,
    token: Option<String>,
    most_bytes: usize,
    patience: Patience<'a>,
}

/// Limits on waiting for all answers together.
#[derive(Clone, Copy, Debug, Default)]
pub struct Patience<'a> {
    /// Time after which no answer is wanted.
    pub deadline: Option<Instant>,
    /// Set when no answer is wanted any longer.
    pub stop: Option<&'a AtomicBool>,
}

/// The reason why a request has no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The server refused the request.
    #[error("{what} was refused ({status}): {detail}")]
    Refused {
        /// Method and path.
        what: String,
        /// HTTP status.
        status: u16,
        /// The server's reason.
        detail: String,
    },
    /// No answer arrived.
    #[error("no answer to {what}: {reason}")]
    Unreachable {
        /// Method and path.
        what: String,
        /// Reason of the failure.
        reason: String,
    },
    /// The answer does not have the expected form.
    #[error("the answer to {what} is not understood: {reason}")]
    Misfit {
        /// Method and path.
        what: String,
        /// The problem with it.
        reason: String,
    },
}

impl Patience<'_> {
    fn is_over(&self) -> bool {
        let is_late = self.deadline.is_some_and(|last| Instant::now() > last);
        is_late || self.stop.is_some_and(|stop| stop.load(Ordering::Relaxed))
    }
}

/// The reason why an attempt failed.
enum AttemptError {
    Http(reqwest::Error),
    TooLong,
    NotWanted,
}

impl<'a> Api<'a> {
    /// Makes a client for a base URL, with an optional token and limits for each request.
    ///
    /// # Errors
    /// When the system cannot create a client.
    pub fn new(
        base: &str,
        token: Option<&str>,
        timeout: Duration,
        most_bytes: usize,
        patience: Patience<'a>,
    ) -> Result<Self, String> {
        let client = Client::builder()
            .timeout(timeout)
            .tcp_nodelay(true)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| error.to_string())?;
        let runtime = Builder::new_current_thread().enable_all().build();
        Ok(Self {
            runtime: Some(runtime.map_err(|error| error.to_string())?),
            client,
            base: base.trim_end_matches('/').to_owned(),
            token: token.map(str::to_owned),
            most_bytes,
            patience,
        })
    }

    /// Reads a resource.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub fn get<R: DeserializeOwned>(&self, path: &str) -> Result<R, ApiError> {
        self.call(Method::GET, path, None)
    }

    /// Creates a resource under a chosen id.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub fn put<R: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<R, ApiError> {
        self.call(Method::PUT, path, Some(json(body)))
    }

    /// Requests an operation. The receiver must recognise it if it arrives twice.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub fn post<R: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<R, ApiError> {
        self.call(Method::POST, path, Some(json(body)))
    }

    /// Deletes a resource, as a courtesy: errors are ignored.
    pub fn delete(&self, path: &str) {
        let request = self.request(&Method::DELETE, path).timeout(COURTESY);
        let _ = self.attempt(request);
    }

    fn call<R: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<R, ApiError> {
        let what = format!("{method} {path}");
        let mut attempts = 1;
        let (status, answer) = loop {
            let mut request = self.request(&method, path);
            if let Some(body) = &body {
                request = request.header(CONTENT_TYPE, "application/json");
                request = request.body(body.clone());
            }
            match self.attempt(request) {
                Ok(answer) => break answer,
                // A request that timed out is not sent again: it would take as long.
                Err(AttemptError::Http(error)) if attempts < ATTEMPTS && !error.is_timeout() => {
                    attempts += 1;
                    std::thread::sleep(PAUSE);
                }
                Err(error) => return Err(self.failure(what, error)),
            }
        };
        if !(200..300).contains(&status) {
            let detail = detail(&answer);
            return Err(ApiError::Refused {
                what,
                status,
                detail,
            });
        }
        serde_json::from_slice(&answer).map_err(|error| {
            let reason = error.to_string();
            ApiError::Misfit { what, reason }
        })
    }

    fn failure(&self, what: String, error: AttemptError) -> ApiError {
        match error {
            AttemptError::Http(error) => ApiError::Unreachable {
                what,
                reason: describe(&error.without_url()),
            },
            AttemptError::TooLong => ApiError::Misfit {
                what,
                reason: format!(
                    "it is longer than {} bytes",
                    thousands(self.most_bytes as u64)
                ),
            },
            AttemptError::NotWanted => ApiError::Unreachable {
                what,
                reason: "gave up waiting".to_owned(),
            },
        }
    }

    /// Sends a request and reads its answer while the answer is wanted.
    fn attempt(&self, request: RequestBuilder) -> Result<(u16, Vec<u8>), AttemptError> {
        let runtime = self
            .runtime
            .as_ref()
            .expect("the runtime is there until the client is dropped");
        runtime.block_on(async {
            tokio::select! {
                answer = self.exchange(request) => answer,
                () = self.impatience() => Err(AttemptError::NotWanted),
            }
        })
    }

    async fn exchange(&self, request: RequestBuilder) -> Result<(u16, Vec<u8>), AttemptError> {
        let mut response = request.send().await.map_err(AttemptError::Http)?;
        let mut answer = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(AttemptError::Http)? {
            if piece.len() > self.most_bytes - answer.len() {
                return Err(AttemptError::TooLong);
            }
            answer.extend_from_slice(&piece);
        }
        Ok((response.status().as_u16(), answer))
    }

    /// Completes when no answer is wanted any longer.
    async fn impatience(&self) {
        while !self.patience.is_over() {
            tokio::time::sleep(LOOK).await;
        }
    }

    fn request(&self, method: &Method, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.base);
        let request = self.client.request(method.clone(), url);
        let request = request.header(ACCEPT, "application/json");
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }
}

impl Drop for Api<'_> {
    /// Does not wait for a host name lookup in progress.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn json(body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(body).expect("bodies are plain data")
}

/// Returns the reason of a refusal: the detail of its problem document, or its first characters.
fn detail(answer: &[u8]) -> String {
    let problem: Option<Value> = serde_json::from_slice(answer).ok();
    let detail = problem
        .as_ref()
        .and_then(|problem| problem["detail"].as_str());
    match detail {
        Some(detail) => detail.to_owned(),
        None => {
            let start = &answer[..answer.len().min(4 * SHOWN_LETTERS)];
            let text = String::from_utf8_lossy(start);
            text.chars().take(SHOWN_LETTERS).collect()
        }
    }
}

/// Writes an error with its causes: reqwest's own text leaves out why a connection failed.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    const OK: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";

    /// Starts a peer that accepts connections and runs `act` on each.
    fn peer(act: impl Fn(&mut TcpStream) -> std::io::Result<()> + Send + 'static) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).and_then(|_| act(&mut stream));
            }
        });
        url
    }

    fn ask(url: &str, patience: Patience<'_>) -> String {
        let api = Api::new(url, None, Duration::from_secs(60), 1_000, patience).unwrap();
        let answer: Result<Value, _> = api.post("/v1/act", &Value::Null);
        answer.unwrap_err().to_string()
    }

    #[test]
    fn an_endless_answer_is_read_to_its_limit() {
        let chunks = |stream: &mut TcpStream| {
            write!(stream, "{OK}Transfer-Encoding: chunked\r\n\r\n")?;
            loop {
                stream.write_all(b"8\r\n        \r\n")?;
            }
        };
        let length = |stream: &mut TcpStream| {
            write!(stream, "{OK}Content-Length: {}\r\n\r\n", u64::MAX / 2)?;
            loop {
                stream.write_all(&[b' '; 1024])?;
            }
        };
        let expected =
            "the answer to POST /v1/act is not understood: it is longer than 1,000 bytes";
        assert_eq!(ask(&peer(chunks), Patience::default()), expected);
        assert_eq!(ask(&peer(length), Patience::default()), expected);
        let head = |stream: &mut TcpStream| {
            stream.write_all(OK.as_bytes())?;
            for i in 0.. {
                write!(stream, "X-{i}: {}\r\n", "x".repeat(1024))?;
            }
            Ok(())
        };
        let reason = ask(&peer(head), Patience::default());
        assert!(reason.starts_with("no answer to POST /v1/act"), "{reason}");
    }

    #[test]
    fn a_slow_answer_is_given_up_at_the_deadline() {
        let drip = |head: bool| {
            move |stream: &mut TcpStream| {
                if !head {
                    write!(stream, "{OK}Content-Length: 900\r\n\r\n")?;
                }
                loop {
                    stream.write_all(b" ")?;
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        };
        for head in [false, true] {
            let patience = Patience {
                deadline: Some(Instant::now() + Duration::from_millis(50)),
                stop: None,
            };
            let reason = ask(&peer(drip(head)), patience);
            assert!(reason.ends_with("gave up waiting"), "{reason}");
        }
        let stop = AtomicBool::new(true);
        let patience = Patience {
            deadline: None,
            stop: Some(&stop),
        };
        let reason = ask(&peer(drip(false)), patience);
        assert!(reason.ends_with("gave up waiting"), "{reason}");
    }

    #[test]
    fn redirects_are_not_followed() {
        let elsewhere = |stream: &mut TcpStream| {
            write!(
                stream,
                "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
            )
        };
        let reason = ask(&peer(elsewhere), Patience::default());
        assert!(reason.contains("was refused (307)"), "{reason}");
    }
}
