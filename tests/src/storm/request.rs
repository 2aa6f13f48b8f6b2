//! A call, as both transports encode it.

use serde_json::{Value, json};

/// The operation that a call requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Put,
    Describe,
    Snapshot,
    Lease,
    Reset,
    Step,
    Restore,
    Fork,
    Close,
}

/// One of the two kinds of path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Single,
    Vector,
}

/// One call.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub op: Op,
    pub kind: Kind,
    pub env_id: String,
    /// JSON, or bytes in place of JSON; empty if there is no body.
    pub body: String,
}

/// The reply to a call.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Reply {
    pub status: u16,
    pub is_replayed: bool,
    /// Null if there is none.
    pub body: Value,
}

impl Reply {
    pub(super) fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    /// Whether the same call may succeed later.
    pub(super) fn is_retryable(&self) -> bool {
        self.body["retryable"] == json!(true)
    }
}

impl Op {
    fn method(self) -> &'static str {
        match self {
            Op::Put => "PUT",
            Op::Describe | Op::Snapshot => "GET",
            Op::Close => "DELETE",
            Op::Lease | Op::Reset | Op::Step | Op::Restore | Op::Fork => "POST",
        }
    }

    /// Returns the last part of the path, and the name on the stream.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Op::Put => ("", "put"),
            Op::Describe => ("", "describe"),
            Op::Snapshot => ("/snapshot", "snapshot"),
            Op::Lease => ("/lease", "lease"),
            Op::Reset => ("/reset", "reset"),
            Op::Step => ("/step", "step"),
            Op::Restore => ("/restore", "restore"),
            Op::Fork => ("/fork", "fork"),
            Op::Close => ("", "close"),
        }
    }
}

impl Kind {
    /// Returns the names in a path and on the stream.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Kind::Single => ("envs", "env"),
            Kind::Vector => ("vector-envs", "vector-env"),
        }
    }
}

impl Request {
    pub(super) fn method(&self) -> &'static str {
        self.op.method()
    }

    pub(super) fn path(&self) -> String {
        let (kind, last) = (self.kind.names().0, self.op.names().0);
        format!("/v1/{kind}/{}{last}", self.env_id)
    }

    /// Encodes it as a request over HTTP/1.1.
    pub(super) fn to_http(&self, host: &str) -> Vec<u8> {
        let body = &self.body;
        format!(
            "{} {} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.method(),
            self.path(),
            body.len()
        )
        .into_bytes()
    }

    /// Encodes it as a message of the stream.
    pub(super) fn to_message(&self, id: u64) -> String {
        let (op, kind) = (self.op.names().1, self.kind.names().1);
        let env_id = Value::from(self.env_id.as_str());
        let body = if self.body.is_empty() {
            String::new()
        } else {
            format!(r#","body":{}"#, self.body)
        };
        format!(r#"{{"id":{id},"op":"{op}","kind":"{kind}","env_id":{env_id}{body}}}"#)
    }
}
