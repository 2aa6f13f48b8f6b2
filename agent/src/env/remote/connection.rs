//! One request at a time, asked again until it is answered.

use std::time::{Duration, Instant};

use env_protocol::{Problem, is_loopback};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url};

use super::Token;
use crate::env::EnvError;

const MSGPACK: &str = "application/vnd.msgpack";
/// Shorter outages are not reported.
const WARN_AFTER: Duration = Duration::from_secs(1);
/// Longest wait for the answer to a courtesy.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Largest body of an answer; the other clients have the same bound.
const MAX_BODY_BYTES: usize = 256 << 20;

/// Limits of retries.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryPolicy {
    /// From the first failure of a request to giving up.
    pub give_up_after: Duration,
    /// Pause after the first failure; it doubles each time.
    pub first_pause: Duration,
    /// Longest pause.
    pub longest_pause: Duration,
    /// Longest wait for one answer.
    pub request_timeout: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            give_up_after: Duration::from_secs(60),
            first_pause: Duration::from_millis(20),
            longest_pause: Duration::from_secs(2),
            request_timeout: Duration::from_secs(30),
        }
    }
}

/// Where operations are sent from.
pub(super) struct Connection {
    clients: Clients,
    token: Option<Token>,
    retry: RetryPolicy,
}

/// Clients for servers on this machine and for others.
struct Clients {
    /// Proxies that the environment variables name are on other machines and cannot reach this one.
    direct: Client,
    /// Through the environment's proxies, if it names any.
    by_proxy: Option<Client>,
}

impl Clients {
    /// For calls of these servers.
    fn new(servers: &[String], retry: RetryPolicy) -> reqwest::Result<Self> {
        let client = || {
            Client::builder()
                .tcp_nodelay(true)
                .timeout(retry.request_timeout)
        };
        let is_elsewhere = servers.iter().any(|server| !is_here(server));
        Ok(Self {
            direct: client().no_proxy().build()?,
            by_proxy: is_elsewhere.then(|| client().build()).transpose()?,
        })
    }

    fn of(&self, url: &str) -> &Client {
        match &self.by_proxy {
            Some(client) if !is_here(url) => client,
            _ => &self.direct,
        }
    }
}

/// Whether a URL's host is this machine.
fn is_here(url: &str) -> bool {
    let url = Url::parse(url);
    url.is_ok_and(|url| url.host_str().is_some_and(is_loopback))
}

/// Whether the same request may go better a little later.
enum Failure {
    Passing {
        last: String,
        pause: Option<Duration>,
    },
    Final(EnvError),
}

impl Connection {
    /// A connection to these servers that is not made before the first call.
    pub(super) fn new(
        servers: &[String],
        token: Option<Token>,
        retry: RetryPolicy,
    ) -> reqwest::Result<Self> {
        Ok(Self {
            clients: Clients::new(servers, retry)?,
            token,
            retry,
        })
    }

    fn request(&self, method: Method, url: &str) -> RequestBuilder {
        let request = self.clients.of(url).request(method, url);
        match &self.token {
            Some(token) => request.header(AUTHORIZATION, token.header()),
            None => request,
        }
    }

    /// Closes the resource at a URL, as a courtesy; errors are ignored, since a server that is gone
    /// has nothing to close.
    pub(super) async fn close(&self, url: &str) {
        let request = self.request(Method::DELETE, url).timeout(CLOSE_TIMEOUT);
        // Built and sent inside the runtime: its timeout is a timer there.
        let _ = request.send().await;
    }

    /// One operation, repeated until it is answered: safe because its `seq` makes it apply once.
    pub(super) async fn call(
        &self,
        method: Method,
        url: String,
        body: Option<Vec<u8>>,
    ) -> Result<Vec<u8>, EnvError> {
        self.call_for(MSGPACK, method, url, body).await
    }

    /// A text for people.
    pub(super) async fn get_text(&self, url: String) -> Result<Vec<u8>, EnvError> {
        self.call_for("text/plain", Method::GET, url, None).await
    }

    /// One operation, answered in a media type.
    async fn call_for(
        &self,
        accept: &'static str,
        method: Method,
        url: String,
        body: Option<Vec<u8>>,
    ) -> Result<Vec<u8>, EnvError> {
        let mut began = None;
        let mut attempts = 0;
        let mut warned = false;
        let mut pause = self.retry.first_pause;
        loop {
            attempts += 1;
            let (last, asked) = match self.attempt(accept, &method, &url, body.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Passing { last, pause }) => (last, pause),
            };
            let began = *began.get_or_insert_with(Instant::now);
            if began.elapsed() >= self.retry.give_up_after {
                let elapsed_s = began.elapsed().as_secs_f64();
                return Err(EnvError::Unreachable {
                    url,
                    attempts,
                    elapsed_s,
                    last,
                });
            }
            if !warned && began.elapsed() >= WARN_AFTER {
                warned = true;
                let seconds = self.retry.give_up_after.as_secs();
                tracing::warn!("no answer from {url} ({last}); asking again for {seconds} s");
            }
            tokio::time::sleep(asked.unwrap_or(pause).min(self.retry.longest_pause)).await;
            pause = (pause * 2).min(self.retry.longest_pause);
        }
    }

    async fn attempt(
        &self,
        accept: &'static str,
        method: &Method,
        url: &str,
        body: Option<Vec<u8>>,
    ) -> Result<Vec<u8>, Failure> {
        let passing = |error: reqwest::Error| Failure::Passing {
            // The message around it names the URL.
            last: describe(&error.without_url()),
            pause: None,
        };
        let mut request = self.request(method.clone(), url).header(ACCEPT, accept);
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, MSGPACK).body(body);
        }
        let client = self.clients.of(url);
        let request = request.build().map_err(|error| {
            Failure::Final(EnvError::Protocol {
                url: url.into(),
                detail: format!("not a URL to call: {error}"),
            })
        })?;
        let response = client.execute(request).await.map_err(passing)?;
        let status = response.status();
        let retry_after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok());
        let answer = body_of(response, MAX_BODY_BYTES).await.map_err(passing)?;
        let Some(answer) = answer else {
            return Err(Failure::Final(EnvError::Protocol {
                url: url.into(),
                detail: format!("the answer is longer than {MAX_BODY_BYTES} bytes"),
            }));
        };
        if status.is_success() {
            return Ok(answer);
        }
        let problem = serde_json::from_slice::<Problem>(&answer).ok();
        let detail = problem
            .as_ref()
            .map_or_else(|| stranger(&answer), |problem| problem.detail.clone());
        let may_pass = status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED;
        if may_pass || status == StatusCode::TOO_MANY_REQUESTS {
            let last = format!("{status}: {detail}");
            return Err(Failure::Passing {
                last,
                pause: retry_after.map(Duration::from_secs),
            });
        }
        let detail = match (status, &self.token) {
            (StatusCode::UNAUTHORIZED, None) => format!(
                "{detail}. Give the server's token with --token-file FILE or in the variable {}",
                Token::VARIABLE
            ),
            (StatusCode::UNAUTHORIZED, Some(token)) => {
                format!("{detail}. The token is from {}", token.source())
            }
            _ => detail,
        };
        let code = problem.map_or_else(
            || "no problem document".into(),
            |problem| problem.code.to_string(),
        );
        Err(Failure::Final(EnvError::Refused {
            status: status.as_u16(),
            code,
            detail,
        }))
    }
}

/// The body of an answer; `None` as soon as it is longer than this.
async fn body_of(mut response: Response, most_bytes: usize) -> reqwest::Result<Option<Vec<u8>>> {
    let announced = response.content_length().unwrap_or(0);
    if announced > most_bytes as u64 {
        return Ok(None);
    }
    let mut body = Vec::with_capacity(announced as usize);
    while let Some(piece) = response.chunk().await? {
        if piece.len() > most_bytes - body.len() {
            return Ok(None);
        }
        body.extend_from_slice(&piece);
    }
    Ok(Some(body))
}

/// Turns an answer without a problem document into an error; no environment server gives such
/// answers.
fn stranger(answer: &[u8]) -> String {
    let text = String::from_utf8_lossy(answer);
    let words: Vec<&str> = text.split_whitespace().collect();
    let start: String = words.join(" ").chars().take(80).collect();
    format!("is that an environment server? It said: {start}")
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

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    /// The body of an answer that is sent with this head and then without end.
    fn endless(head: &'static str, piece: &'static [u8]) -> Option<Vec<u8>> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let (mut peer, _) = listener.accept().unwrap();
            let _ = peer.read(&mut [0; 4096]);
            write!(peer, "HTTP/1.1 200 OK\r\n{head}\r\n\r\n").unwrap();
            while peer.write_all(piece).is_ok() {}
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let read = async {
            let response = Client::new().get(url).send().await?;
            body_of(response, 1_000).await
        };
        let read = runtime.unwrap().block_on(read).unwrap();
        server.join().unwrap();
        read
    }

    #[test]
    fn an_answer_without_end_is_read_to_its_bound() {
        let chunk = b"100\r\n"
            .iter()
            .chain(&[b' '; 256])
            .chain(b"\r\n")
            .copied();
        let chunk = chunk.collect::<Vec<u8>>().leak();
        assert_eq!(endless("Transfer-Encoding: chunked", chunk), None);
        assert_eq!(endless("Content-Length: 1001", b" "), None);
        assert_eq!(endless("Connection: close", b"  "), None);
        assert_eq!(endless("Content-Length: 2", b"ok").unwrap(), b"ok");
    }
}
