//! A connection of a player, on which requests may be sent before earlier ones are answered.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use serde_json::Value;
use tungstenite::{Message, WebSocket};

use super::request::{Reply, Request};

/// How players reach the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Transport {
    /// Requests on kept connections.
    Http,
    /// Messages on `/v1/stream`.
    #[value(name = "websocket")]
    WebSocket,
}

/// Time after which a reply counts as lost: the server was killed without notice from the system.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) enum Connection {
    Http {
        stream: TcpStream,
        host: String,
        /// Bytes received that have not been read.
        buffer: Vec<u8>,
    },
    WebSocket {
        socket: Box<WebSocket<TcpStream>>,
        next_id: u64,
        next_reply: u64,
    },
}

impl Connection {
    pub(super) fn open(transport: Transport, address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(match transport {
            Transport::Http => Connection::Http {
                stream,
                host: address.to_owned(),
                buffer: Vec::new(),
            },
            Transport::WebSocket => {
                let url = format!("ws://{address}/v1/stream");
                let (socket, _) = tungstenite::client(url, stream)
                    .map_err(|error| io::Error::other(error.to_string()))?;
                Connection::WebSocket {
                    socket: Box::new(socket),
                    next_id: 0,
                    next_reply: 0,
                }
            }
        })
    }

    /// Returns the bytes of a request.
    fn bytes(&mut self, request: &Request) -> Vec<u8> {
        match self {
            Connection::Http { host, .. } => request.to_http(host),
            Connection::WebSocket { next_id, .. } => {
                *next_id += 1;
                frame(&request.to_message(*next_id - 1))
            }
        }
    }

    /// Sends requests in one piece, without waiting for replies.
    pub(super) fn send(&mut self, requests: &[Request]) -> io::Result<()> {
        let bytes: Vec<u8> = requests.iter().flat_map(|r| self.bytes(r)).collect();
        self.stream().write_all(&bytes)
    }

    /// Sends the given share of a request's bytes, never all of them, and ends the connection.
    pub(super) fn cut(mut self, request: &Request, share: f64) -> io::Result<()> {
        let bytes = self.bytes(request);
        let sent = (bytes.len() as f64 * share) as usize;
        self.stream()
            .write_all(&bytes[..sent.min(bytes.len() - 1)])?;
        self.stream().shutdown(Shutdown::Both)
    }

    /// Sends bytes that are not a request, and reads the answer: a status, unless the connection
    /// ends.
    pub(super) fn send_noise(mut self, noise: &[u8]) -> io::Result<Option<u16>> {
        self.stream().write_all(noise)?;
        self.stream().shutdown(Shutdown::Write)?;
        Ok(match &self {
            Connection::Http { .. } => self.receive().ok().map(|reply| reply.status),
            Connection::WebSocket { .. } => None,
        })
    }

    fn stream(&mut self) -> &mut TcpStream {
        match self {
            Connection::Http { stream, .. } => stream,
            Connection::WebSocket { socket, .. } => socket.get_mut(),
        }
    }

    /// Returns the next reply, in the order of the requests.
    pub(super) fn receive(&mut self) -> io::Result<Reply> {
        match self {
            Connection::Http { stream, buffer, .. } => receive_http(stream, buffer),
            Connection::WebSocket {
                socket, next_reply, ..
            } => {
                let reply = receive_message(socket, *next_reply)?;
                *next_reply += 1;
                Ok(reply)
            }
        }
    }
}

/// Wraps a text in its own frame, masked with zeros.
fn frame(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81];
    match u16::try_from(text.len()) {
        Ok(length) if length < 126 => frame.push(0x80 | length as u8),
        Ok(length) => {
            frame.push(0x80 | 126);
            frame.extend(length.to_be_bytes());
        }
        Err(_) => {
            frame.push(0x80 | 127);
            frame.extend((text.len() as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(text.as_bytes());
    frame
}

fn receive_message(socket: &mut WebSocket<TcpStream>, id: u64) -> io::Result<Reply> {
    loop {
        let message = socket
            .read()
            .map_err(|error| io::Error::other(error.to_string()))?;
        let text = match message {
            Message::Text(text) => text,
            Message::Close(_) => return Err(ErrorKind::ConnectionReset.into()),
            _ => continue,
        };
        let mut fields: Value = serde_json::from_str(&text)?;
        if fields["id"] != id && !fields["id"].is_null() {
            let problem = format!("a reply to {} where {id} was due", fields["id"]);
            return Err(io::Error::new(ErrorKind::InvalidData, problem));
        }
        return Ok(Reply {
            status: fields["status"].as_u64().unwrap_or_default() as u16,
            is_replayed: fields["replayed"] == Value::Bool(true),
            body: fields["body"].take(),
        });
    }
}

fn receive_http(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Reply> {
    let end = loop {
        match buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            Some(end) => break end,
            None => read_more(stream, buffer)?,
        }
    };
    let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
    buffer.drain(..end + 4);
    let status = head.get(9..12).and_then(|digits| digits.parse().ok());
    let header = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(':'));
        lines
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value.trim().to_owned())
    };
    let body = if header("transfer-encoding").is_some() {
        read_chunks(stream, buffer)?
    } else {
        let length = header("content-length").and_then(|length| length.parse().ok());
        take(stream, buffer, length.unwrap_or(0))?
    };
    Ok(Reply {
        status: status.ok_or(ErrorKind::InvalidData)?,
        is_replayed: header("idempotency-replayed").is_some(),
        body: serde_json::from_slice(&body).unwrap_or_default(),
    })
}

fn read_chunks(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = loop {
            match buffer.windows(2).position(|window| window == b"\r\n") {
                Some(end) => break end,
                None => read_more(stream, buffer)?,
            }
        };
        let size = String::from_utf8_lossy(&buffer[..end]).into_owned();
        let size = usize::from_str_radix(size.trim(), 16)
            .map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        buffer.drain(..end + 2);
        body.extend(take(stream, buffer, size)?);
        take(stream, buffer, 2)?;
        if size == 0 {
            return Ok(body);
        }
    }
}

fn take(stream: &mut TcpStream, buffer: &mut Vec<u8>, length: usize) -> io::Result<Vec<u8>> {
    while buffer.len() < length {
        read_more(stream, buffer)?;
    }
    Ok(buffer.drain(..length).collect())
}

fn read_more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<()> {
    let mut piece = [0; 16_384];
    match stream.read(&mut piece)? {
        0 => Err(ErrorKind::UnexpectedEof.into()),
        read => {
            buffer.extend_from_slice(&piece[..read]);
            Ok(())
        }
    }
}
