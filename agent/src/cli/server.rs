//! Where environments are played: on servers elsewhere, or on one started for the occasion.

use std::path::PathBuf;
use std::time::Duration;

use agent::algorithms::Algorithm;
use agent::env::EnvError;
use agent::env::remote::{RemoteEnvConfig, RemoteVectorEnv, RetryPolicy, Token};
use agent::evaluate::EvaluationEnv;
use agent::policy::decider::Decider;
use agent::run::checkpoint::Checkpoint;
use clap::Args;
use serde_json::{Map, Value};

use super::{shell, tell, values};

#[derive(Debug, Args)]
#[command(next_help_heading = "Server")]
pub struct ServerArgs {
    /// Environment servers, e.g. http://127.0.0.1:7878; environments are spread evenly across them
    /// [default: start a local server]
    #[arg(long, value_name = "URL[,URL…]", value_delimiter = ',', value_parser = values::server_url)]
    pub server: Vec<String>,
    /// File with the bearer token that these servers ask for [default: the variable STRATEGIC_MEMORY_TOKEN]
    #[arg(long, value_name = "FILE", requires = "server")]
    pub token_file: Option<PathBuf>,
    /// Seconds to keep retrying an unresponsive server
    #[arg(long, value_name = "S", default_value_t = RetryPolicy::default().give_up_after.as_secs())]
    give_up_after_s: u64,
}

impl ServerArgs {
    /// The servers that an algorithm plays on; starts one if none was named, which tells an oracle what it asks.
    ///
    /// # Errors
    /// As [`ServerArgs::start`].
    pub fn start_for(&self, algorithm: &Algorithm) -> anyhow::Result<Servers> {
        self.start(algorithm.decider == Decider::Oracle)
    }

    /// The servers to play on; starts one if none was named.
    ///
    /// # Errors
    /// When none can be started, or the token cannot be read.
    pub fn start(&self, allow_oracle: bool) -> anyhow::Result<Servers> {
        let (urls, token) = if self.server.is_empty() {
            // It asks for no token and gets none.
            (vec![start_embedded(allow_oracle)?], None)
        } else {
            let variable = std::env::var_os(Token::VARIABLE);
            let token = Token::find(self.token_file.as_deref(), variable.as_deref())?;
            (self.server.clone(), token)
        };
        if let Some(warning) = token.as_ref().and_then(Token::warning) {
            tell(&format!("warning: {warning}"));
        }
        let retry = RetryPolicy {
            give_up_after: Duration::from_secs(self.give_up_after_s),
            ..RetryPolicy::default()
        };
        Ok(Servers { urls, token, retry })
    }

    /// The flags that name the same servers again, with a blank before them.
    pub fn flags(&self) -> String {
        if self.server.is_empty() {
            return String::new();
        }
        let server = format!(" --server {}", self.server.join(","));
        match &self.token_file {
            Some(file) => format!("{server} --token-file {}", shell::quote(file)),
            None => server,
        }
    }
}

/// Servers to play on.
pub struct Servers {
    /// Their base URLs, at least one.
    pub urls: Vec<String>,
    /// Token for the servers.
    pub token: Option<Token>,
    /// Limits of retries.
    pub retry: RetryPolicy,
}

impl Servers {
    /// Creates environments.
    ///
    /// # Errors
    /// What a server refused, or that it could not be reached.
    pub fn connect(
        &self,
        spec_id: &str,
        kwargs: Map<String, Value>,
        num_envs: usize,
    ) -> anyhow::Result<RemoteVectorEnv> {
        Ok(RemoteVectorEnv::connect(&RemoteEnvConfig {
            servers: self.urls.clone(),
            token: self.token.clone(),
            spec_id: spec_id.into(),
            kwargs,
            num_envs,
            retry: self.retry,
        })?)
    }

    /// Creates environments to evaluate a checkpoint's agent in, with these arguments laid over training's.
    ///
    /// # Errors
    /// As [`Servers::connect`].
    pub fn evaluation_env(
        &self,
        checkpoint: &Checkpoint,
        env_args: &[(String, Value)],
        num_envs: usize,
    ) -> anyhow::Result<EvaluationEnv> {
        EvaluationEnv::connect(
            &checkpoint.config.env,
            &env_args.iter().cloned().collect(),
            num_envs,
            &self.urls,
            self.token.as_ref(),
            self.retry,
        )
        .map_err(|error| match &error {
            EnvError::Refused { code, .. } if code == "invalid-num-envs" => anyhow::anyhow!(
                "{num_envs} episodes are too many to be played side by side: {error}"
            ),
            _ => error.into(),
        })
    }
}

/// Starts a server on a free port of this machine, on a thread of its own, until the program ends; returns its URL.
#[cfg(feature = "embedded-server")]
pub fn start_embedded(allow_oracle: bool) -> anyhow::Result<String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let listener = runtime.block_on(tokio::net::TcpListener::bind(("127.0.0.1", 0)))?;
    let url = format!("http://{}", listener.local_addr()?);
    std::thread::Builder::new()
        .name("env-server".into())
        .spawn(move || {
            let config = env_server::ServerConfig {
                allow_oracle,
                ..env_server::ServerConfig::default()
            };
            let serving = env_server::run(listener, config, std::future::pending());
            if let Err(error) = runtime.block_on(serving) {
                tracing::error!("the embedded server has ended: {error}");
            }
        })?;
    Ok(url)
}

#[cfg(not(feature = "embedded-server"))]
pub fn start_embedded(_allow_oracle: bool) -> anyhow::Result<String> {
    anyhow::bail!(
        "this program was built without a server of its own: say where one is with --server URL"
    )
}
