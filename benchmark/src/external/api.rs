//! Requests in JSON, one at a time, to the job's own server and to contenders that are asked for their actions.

use std::time::Duration;

use reqwest::Method;
use reqwest::blocking::{Client, RequestBuilder};
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// How often a request is sent before it is given up: whoever answers knows it again by its number or id.
const ATTEMPTS: u32 = 4;

/// Pause before a request is sent again.
const PAUSE: Duration = Duration::from_millis(100);

/// Longest wait for an answer that nobody needs.
const COURTESY: Duration = Duration::from_secs(2);

/// Letters of an answer that is no problem document that are shown.
const SHOWN_LETTERS: usize = 120;

/// Where requests go.
pub struct Api {
    client: Client,
    base: String,
    token: Option<String>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The answer is a refusal.
    #[error("{what} was refused ({status}): {detail}")]
    Refused {
        /// Method and path.
        what: String,
        /// HTTP status.
        status: u16,
        /// What was said.
        detail: String,
    },
    /// There is none.
    #[error("no answer to {what}: {reason}")]
    Unreachable {
        /// Method and path.
        what: String,
        /// Why.
        reason: String,
    },
    /// It is not what was asked for.
    #[error("the answer to {what} is not understood: {reason}")]
    Misfit {
        /// Method and path.
        what: String,
        /// Why.
        reason: String,
    },
}

impl Api {
    /// Requests to a base URL, with a token if one is wanted, each with so much time.
    ///
    /// # Errors
    /// When the system cannot make a client.
    pub fn new(base: &str, token: Option<&str>, timeout: Duration) -> Result<Self, String> {
        let client = Client::builder()
            .timeout(timeout)
            .tcp_nodelay(true)
            .no_proxy()
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self {
            client,
            base: base.trim_end_matches('/').to_owned(),
            token: token.map(str::to_owned),
        })
    }

    /// Reads a resource.
    ///
    /// # Errors
    /// [`ApiError`].
    pub fn get<R: DeserializeOwned>(&self, path: &str) -> Result<R, ApiError> {
        self.call(Method::GET, path, None)
    }

    /// Creates a resource under a chosen id.
    ///
    /// # Errors
    /// [`ApiError`].
    pub fn put<R: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<R, ApiError> {
        self.call(Method::PUT, path, Some(json(body)))
    }

    /// Asks for an operation, which must be known again when it comes twice.
    ///
    /// # Errors
    /// [`ApiError`].
    pub fn post<R: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<R, ApiError> {
        self.call(Method::POST, path, Some(json(body)))
    }

    /// Takes a resource away, as a courtesy.
    pub fn delete(&self, path: &str) {
        let request = self.request(&Method::DELETE, path);
        let _ = request.timeout(COURTESY).send();
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
            match self.attempt(&method, path, body.clone()) {
                Ok(answer) => break answer,
                // Who has waited for all its time does not get as much again.
                Err(error) if attempts < ATTEMPTS && !error.is_timeout() => {
                    attempts += 1;
                    std::thread::sleep(PAUSE);
                }
                Err(error) => {
                    let reason = describe(&error.without_url());
                    return Err(ApiError::Unreachable { what, reason });
                }
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

    fn attempt(
        &self,
        method: &Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> reqwest::Result<(u16, Vec<u8>)> {
        let mut request = self.request(method, path);
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body);
        }
        let response = request.send()?;
        let status = response.status().as_u16();
        Ok((status, response.bytes()?.to_vec()))
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

fn json(body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(body).expect("bodies are plain data")
}

/// What a refusal says: the detail of its problem document, or how it begins.
fn detail(answer: &[u8]) -> String {
    let problem: Option<Value> = serde_json::from_slice(answer).ok();
    let detail = problem
        .as_ref()
        .and_then(|problem| problem["detail"].as_str());
    match detail {
        Some(detail) => detail.to_owned(),
        None => {
            let text = String::from_utf8_lossy(answer);
            text.chars().take(SHOWN_LETTERS).collect()
        }
    }
}

/// An error with its causes: reqwest's own text leaves out why a connection failed.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
