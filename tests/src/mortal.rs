//! A server that can be killed at any moment and restarted with the same data.

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use clap::ValueEnum;
use env_server::ServerConfig;
use env_server::journal::Durability;
use tokio::net::TcpListener;

/// Variable with the data directory of the server that [`serve_if_asked`] runs.
const DATA_DIR: &str = "END_TO_END_DATA_DIR";
/// Variable with the address to listen on.
const LISTEN: &str = "END_TO_END_LISTEN";
/// Variable with the durability of acknowledged operations: `process` or `disk`.
const DURABILITY: &str = "END_TO_END_DURABILITY";

/// A server in a separate process: this same program, run again as the test named `serve`.
pub struct MortalServer {
    data_dir: PathBuf,
    serve: &'static str,
    durability: Durability,
    address: String,
    child: Child,
}

impl MortalServer {
    /// Starts the server on a free port. `serve` is the name of a test that calls
    /// [`serve_if_asked`].
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(data_dir: impl Into<PathBuf>, serve: &'static str) -> io::Result<Self> {
        Self::start_with(data_dir, serve, Durability::Process)
    }

    /// As [`Self::start`], with the durability of acknowledged operations.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start_with(
        data_dir: impl Into<PathBuf>,
        serve: &'static str,
        durability: Durability,
    ) -> io::Result<Self> {
        let data_dir = data_dir.into();
        let (child, address) = spawn(data_dir.as_os_str(), serve, durability, "127.0.0.1:0")?;
        Ok(Self {
            data_dir,
            serve,
            durability,
            address,
            child,
        })
    }

    /// Returns its address, which stays the same over restarts.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Returns its base URL, which stays the same over restarts.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Kills it with SIGKILL.
    ///
    /// # Errors
    /// When the system cannot kill it.
    pub fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Restarts it after [`Self::kill`], on the same port and data.
    ///
    /// # Errors
    /// When it does not start.
    pub fn restart(&mut self) -> io::Result<()> {
        let data_dir = self.data_dir.as_os_str();
        (self.child, self.address) = spawn(data_dir, self.serve, self.durability, &self.address)?;
        Ok(())
    }
}

impl Drop for MortalServer {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

fn spawn(
    data_dir: &OsStr,
    serve: &str,
    durability: Durability,
    listen: &str,
) -> io::Result<(Child, String)> {
    let durability = durability.to_possible_value();
    let durability = durability.expect("none is hidden");
    let mut child = Command::new(std::env::current_exe()?)
        .args([serve, "--exact", "--ignored", "--nocapture"])
        .env(DATA_DIR, data_dir)
        .env(LISTEN, listen)
        .env(DURABILITY, durability.get_name())
        .stdout(Stdio::piped())
        .spawn()?;
    let stdout = child.stdout.take().expect("it is piped");
    let mut lines = BufReader::new(stdout).lines();
    while let Some(line) = lines.next().transpose()? {
        if let Some((_, address)) = line.split_once("listening on http://") {
            let address = address.to_owned();
            // Discard the rest of its output, so that it does not fill the pipe.
            std::thread::spawn(move || lines.for_each(drop));
            return Ok((child, address));
        }
    }
    let status = child.wait()?;
    Err(io::Error::other(format!("the server ended with {status}")))
}

/// Serves until it is killed, in a process started by [`MortalServer`]; returns at once in any
/// other.
pub fn serve_if_asked() {
    let (Some(data_dir), Ok(listen)) = (std::env::var_os(DATA_DIR), std::env::var(LISTEN)) else {
        return;
    };
    let durability = std::env::var(DURABILITY).expect("it is set with the other two");
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    runtime.block_on(async {
        let listener = TcpListener::bind(listen).await.expect("the port is free");
        println!(
            "\nlistening on http://{}",
            listener.local_addr().expect("an address")
        );
        let config = ServerConfig {
            data_dir: Some(data_dir.into()),
            durability: Durability::from_str(&durability, false).expect("one of its values"),
            ..ServerConfig::default()
        };
        let served = env_server::run(listener, config, std::future::pending());
        served.await.expect("a server");
    });
}
