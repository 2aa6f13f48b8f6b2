//! Hosts the environment server inside a program, plays one episode over HTTP, and ends the server.
//!
//! ```console
//! $ cargo run -p env-server --example host_in_a_program
//! ```
//!
//! The server listens on a free port of this machine. Its settings are those of `env-server serve`:
//! add tokens with `ServiceConfig::access`, or a folder that outlives the program with `data_dir`.

use std::net::SocketAddr;

use env_server::{Server, ServerConfig};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let episode_return = host_and_play().await?;
    println!("the episode's return is {episode_return}");
    Ok(())
}

/// Starts a server, plays an episode on it, and returns the sum of the episode's rewards.
async fn host_and_play() -> anyhow::Result<f64> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let server = Server::open(listener, ServerConfig::default())?;
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(server.serve(async { drop(stopped.await) }));

    let episode_return = play(address).await?;

    // The server answers requests in progress, and then its task ends.
    drop(stop);
    serving.await?;
    Ok(episode_return)
}

/// Plays one episode of MemoryTask, and returns the sum of its rewards: 1 for an action equal to the
/// cue, the first number of the first observation, after the delay.
async fn play(address: SocketAddr) -> anyhow::Result<f64> {
    let creation = json!({"spec_id": "MemoryTask-v0", "kwargs": {"delay": 2}, "seed": 7});
    request(address, "PUT", "/v1/envs/mine", &creation).await?;
    let reset = request(address, "POST", "/v1/envs/mine/reset", &json!({"seq": 0})).await?;
    let cue = first_number(&reset["observation"]);
    let mut sum = 0.0;
    for seq in 1.. {
        let step = json!({"seq": seq, "action": i64::from(cue > 0.5)});
        let reply = request(address, "POST", "/v1/envs/mine/step", &step).await?;
        sum += reply["reward"].as_f64().unwrap_or_default();
        if reply["terminated"] == true || reply["truncated"] == true {
            break;
        }
    }
    Ok(sum)
}

fn first_number(observation: &Value) -> f64 {
    observation[0].as_f64().unwrap_or_default()
}

/// Sends one request and returns the body of its reply. A real program would use an HTTP client.
async fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    body: &Value,
) -> anyhow::Result<Value> {
    let mut stream = TcpStream::connect(address).await?;
    let body = body.to_string();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await?;
    let (head, body) = reply.split_once("\r\n\r\n").unwrap_or((&reply, ""));
    let status = head.split(' ').nth(1).unwrap_or_default();
    anyhow::ensure!(status.starts_with('2'), "{method} {path}: {body}");
    Ok(serde_json::from_str(body)?)
}

#[cfg(test)]
mod tests {
    #[tokio::test]
    async fn an_episode_is_played_on_the_server_of_this_program() {
        assert_eq!(super::host_and_play().await.unwrap(), 1.0);
    }
}
