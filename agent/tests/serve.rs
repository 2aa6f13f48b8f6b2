//! Tests of `agent serve` as other programs use it: over HTTP, together with an environment server.

mod support;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};

use agent::algorithms::sections::Overrides;
use agent::deploy::describe::AgentDescription;
use agent::deploy::serve::wire::{ActMode, ActReply, ActRequest, SessionDescription};
use agent::env::{EnvError, ResetReply, ResetRequest, Space, StepReply, VectorEnv};
use agent::evaluate::{EvaluateOptions, EvaluationEnv, Mode, Player};
use agent::overrides;
use agent::run::checkpoint::Checkpoint;
use agent::seeds::{self, Role};
use agent::spaces::actions::Choice;
use env_protocol::{
    Array, AutoresetMode, CreateVectorEnv, Data, Encoding, Problem, Seed, VectorEnvDescription,
    VectorResetReply, VectorResetRequest, VectorStepReply, VectorStepRequest,
};
use reqwest::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json, json};
use support::{Trained, environments};
use tokio::runtime::Runtime;

/// An agent's service in a process of its own.
struct Served {
    process: Child,
    url: String,
    stderr: BufReader<ChildStderr>,
}

impl Served {
    fn start(checkpoint: &Path, flags: &str) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_agent"))
            .args(["serve", "--listen", "127.0.0.1:0", "--checkpoint"])
            .arg(checkpoint)
            .args(flags.split_whitespace())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = process.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("listening on ");
        Self {
            url: url.unwrap_or_else(|| panic!("{line:?}")).into(),
            stderr: BufReader::new(process.stderr.take().unwrap()),
            process,
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// An HTTP client that waits for each answer.
struct Http {
    runtime: Runtime,
    client: reqwest::Client,
}

struct Answer {
    status: u16,
    headers: reqwest::header::HeaderMap,
    body: Vec<u8>,
}

impl Http {
    fn new() -> Self {
        Self {
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap(),
            client: reqwest::Client::new(),
        }
    }

    fn send(&self, method: Method, url: &str, content_type: &str, body: Vec<u8>) -> Answer {
        let request = self.client.request(method, url);
        let request = request.header("content-type", content_type).body(body);
        self.runtime.block_on(async {
            let response = request.send().await.unwrap();
            Answer {
                status: response.status().as_u16(),
                headers: response.headers().clone(),
                body: response.bytes().await.unwrap().to_vec(),
            }
        })
    }

    /// Sends a request that must succeed, and decodes the reply.
    fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        url: &str,
        encoding: Encoding,
        body: &impl Serialize,
    ) -> T {
        let answer = self.send(method, url, encoding.content_type(), encoding.encode(body));
        let text = String::from_utf8_lossy(&answer.body);
        assert!(answer.status < 300, "{url}: {} {text}", answer.status);
        encoding.decode(&answer.body).unwrap()
    }

    /// Sends a JSON request that must be refused, and returns the problem.
    fn refused(&self, method: Method, url: &str, body: &Json) -> Problem {
        let answer = self.send(method, url, "application/json", body.to_string().into());
        assert_eq!(answer.headers["content-type"], "application/problem+json");
        let problem: Problem = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(problem.status, answer.status);
        problem
    }
}

/// Environments, and a record of the actions that they received.
struct Recorder<E> {
    env: E,
    actions: Vec<Vec<i64>>,
}

impl<E: VectorEnv> VectorEnv for Recorder<E> {
    fn num_envs(&self) -> usize {
        self.env.num_envs()
    }

    fn observation_space(&self) -> &Space {
        self.env.observation_space()
    }

    fn action_space(&self) -> &Space {
        self.env.action_space()
    }

    fn reset(&mut self, request: &ResetRequest) -> Result<ResetReply, EnvError> {
        self.env.reset(request)
    }

    fn step(&mut self, actions: &[Choice]) -> Result<StepReply, EnvError> {
        self.actions
            .push(actions.iter().map(|&choice| choice.into()).collect());
        self.env.step(actions)
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, EnvError> {
        self.env.snapshot()
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), EnvError> {
        self.env.restore(snapshot)
    }
}

const LANES: usize = 3;
const SEED: u64 = 5;

fn evaluated(checkpoint: &Checkpoint, mode: Mode, server: &str) -> Vec<Vec<i64>> {
    let player = Player::new(checkpoint).unwrap();
    let servers = [server.to_owned()];
    let EvaluationEnv {
        env, judged_step, ..
    } = EvaluationEnv::connect(
        &checkpoint.config.env,
        &Map::new(),
        LANES,
        &servers,
        None,
        Default::default(),
    )
    .unwrap();
    let mut recorder = Recorder {
        env,
        actions: Vec::new(),
    };
    let options = EvaluateOptions {
        episodes: LANES,
        seed: SEED,
        mode,
        balanced: false,
        judged_step,
        episodes_per_lifetime: 1,
    };
    player.evaluate(&mut recorder, &options).unwrap();
    recorder.actions
}

/// Creates environments for an evaluation, resets them and returns their first observations.
fn first_observations(http: &Http, checkpoint: &Checkpoint, envs: &str) -> env_protocol::Value {
    let packed = Encoding::MessagePack;
    let creation = CreateVectorEnv {
        spec_id: checkpoint.config.env.spec_id.clone(),
        num_envs: LANES as u64,
        kwargs: checkpoint.config.env.kwargs.clone().into_iter().collect(),
        seed: None,
        autoreset_mode: AutoresetMode::SameStep,
        ttl_s: None,
    };
    let _: VectorEnvDescription = http.ask(Method::PUT, envs, packed, &creation);
    let reset = VectorResetRequest {
        seq: Some(0),
        seed: Some(Seed::First(seeds::first_environment_seed(
            SEED,
            Role::Evaluation,
        ))),
        ..VectorResetRequest::default()
    };
    let first: VectorResetReply = http.ask(Method::POST, &format!("{envs}/reset"), packed, &reset);
    first.observations
}

/// Plays with an agent's service as any HTTP client could: creates environments, sends their
/// observations to the service, and takes the actions that come back. Asks twice at each step, with
/// a session in one encoding and with a state in the other.
fn played(
    http: &Http,
    checkpoint: &Checkpoint,
    service: &str,
    environments: &str,
    mode: ActMode,
    steps: usize,
) -> Vec<Vec<i64>> {
    let envs = format!("{environments}/v1/vector-envs/{mode:?}").to_lowercase();
    let session_id = format!("{mode:?}");
    let packed = Encoding::MessagePack;
    let mut seen = first_observations(http, checkpoint, &envs);
    let session: SessionDescription = http.ask(
        Method::PUT,
        &format!("{service}/v1/sessions/{session_id}"),
        Encoding::Json,
        &json!({"num_envs": LANES, "seed": SEED}),
    );
    assert_eq!((session.seq, session.num_envs), (0, LANES as u64));
    let (mut is_first, mut rewards) = (Array::mask(vec![true; LANES]), None);
    let (mut state, mut taken) = (None, Vec::new());
    for step in 0..steps as u64 {
        let act = format!("{service}/v1/act");
        let stateless = ActRequest {
            session_id: None,
            seq: None,
            state: state.clone(),
            num_envs: None,
            seed: (step == 0).then_some(SEED),
            observations: seen,
            is_first,
            previous_actions: None,
            previous_rewards: rewards.clone(),
            mode,
        };
        let brought: ActReply = http.ask(Method::POST, &act, Encoding::Json, &stateless);
        let in_session = ActRequest {
            session_id: Some(session_id.clone()),
            seq: Some(step),
            state: None,
            seed: None,
            ..stateless
        };
        let kept: ActReply = http.ask(Method::POST, &act, packed, &in_session);
        assert_eq!(kept.seq, Some(step + 1));
        assert_eq!(kept.actions, brought.actions, "step {step}");
        if step % 4 == 0 {
            let body = packed.encode(&in_session);
            let again = http.send(Method::POST, &act, packed.content_type(), body);
            assert_eq!(again.headers["idempotency-replayed"], "true");
            assert_eq!(packed.decode::<ActReply>(&again.body).unwrap(), kept);
        }
        state = brought.state;
        let actions = kept.actions.into_array().expect("a choice in each lane");
        taken.push(integers(&actions));
        let step = VectorStepRequest {
            seq: Some(step + 1),
            actions,
        };
        let reply: VectorStepReply = http.ask(Method::POST, &format!("{envs}/step"), packed, &step);
        seen = reply.observations;
        is_first = either(reply.terminations, reply.truncations);
        rewards = Some(reply.rewards);
    }
    let closing = format!("{service}/v1/sessions/{session_id}");
    let closed = http.send(Method::DELETE, &closing, "application/json", Vec::new());
    assert_eq!((closed.status, closed.body.len()), (204, 0));
    taken
}

fn integers(array: &Array) -> Vec<i64> {
    array.to_f64s().into_iter().map(|x| x as i64).collect()
}

fn either(one: Array, other: Array) -> Array {
    match (one.into_data(), other.into_data()) {
        (Data::Bool(one), Data::Bool(other)) => {
            Array::mask(one.into_iter().zip(other).map(|(a, b)| a || b).collect())
        }
        other => panic!("flags are {other:?}"),
    }
}

fn saved(checkpoint: &Checkpoint, folder: &Path) -> PathBuf {
    let path = folder.join("checkpoint.safetensors");
    checkpoint.save(&path).unwrap();
    path
}

fn memory_task() -> Map<String, Json> {
    json!({"delay": 5, "difficulty": 1})
        .as_object()
        .unwrap()
        .clone()
}

/// A small agent for the simplest task.
fn small_agent(server: &str) -> Checkpoint {
    let trained = Trained {
        algorithm: "recurrent-ppo",
        spec_id: "MemoryTask-v0",
        kwargs: memory_task(),
        overrides: Overrides::default(),
        spread: 1.0,
    };
    trained.checkpoint(server)
}

/// Covers every algorithm and every kind of space: numbers, a Tuple of choices, a vector of
/// choices, and actions with two components.
#[test]
fn actions_over_http_are_those_of_an_evaluation() {
    let server = environments();
    let http = Http::new();
    let shown = overrides! {
        previous_action: true,
        previous_reward: true,
        step_counter: true,
    };
    for (algorithm, spec_id, kwargs, overrides) in [
        ("ppo", "MemoryTask-v0", memory_task(), shown.clone()),
        ("recurrent-ppo", "Battleship-v0", Map::new(), shown),
        ("tracerl", "Autoencode-v0", Map::new(), Overrides::default()),
        (
            "tracerl-notebook",
            "CountRecall-v0",
            Map::new(),
            Overrides::default(),
        ),
    ] {
        let trained = Trained {
            algorithm,
            spec_id,
            kwargs,
            overrides,
            spread: 1.0,
        };
        let checkpoint = trained.checkpoint(&server);
        let folder = tempfile::tempdir().unwrap();
        // The service accepts a run's folder in place of its checkpoint file.
        saved(&checkpoint, folder.path());
        let service = Served::start(folder.path(), "");
        let description: AgentDescription = http.ask(
            Method::GET,
            &format!("{}/v1/agent", service.url),
            Encoding::Json,
            &json!({}),
        );
        assert_eq!(description.algorithm, algorithm);
        assert_eq!(description.spec_id, spec_id);
        assert_eq!(description.has_memory, algorithm != "ppo");
        assert_eq!(description.observation_space, checkpoint.spaces.observation);
        for (mode, as_asked) in [
            (Mode::Greedy, ActMode::Greedy),
            (Mode::Sampled, ActMode::Sampled),
        ] {
            let expected = evaluated(&checkpoint, mode, &server);
            let server = environments();
            let found = played(
                &http,
                &checkpoint,
                &service.url,
                &server,
                as_asked,
                expected.len(),
            );
            assert_eq!(found, expected, "{algorithm} on {spec_id}, {mode}");
            let mut kinds = expected.concat();
            kinds.sort_unstable();
            kinds.dedup();
            assert!(
                kinds.len() > 1,
                "{algorithm} on {spec_id}, {mode}: always {kinds:?}"
            );
        }
    }
}

/// A service with small limits and the session `mine` of two lanes.
struct Refusing {
    http: Http,
    service: Served,
    _folder: tempfile::TempDir,
}

impl Refusing {
    fn start() -> Self {
        let server = environments();
        let folder = tempfile::tempdir().unwrap();
        let path = saved(&small_agent(&server), folder.path());
        let refusing = Self {
            http: Http::new(),
            service: Served::start(&path, "--max-body-bytes 16384 --max-lanes-per-session 8"),
            _folder: folder,
        };
        let made = || {
            let body = br#"{"num_envs":2}"#.into();
            let url = refusing.at("/v1/sessions/mine");
            refusing
                .http
                .send(Method::PUT, &url, "application/json", body)
        };
        assert_eq!([made().status, made().status], [201, 200]);
        refusing
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.service.url)
    }

    /// A request to act in the session, which the service accepts.
    fn good() -> Json {
        json!({"session_id": "mine", "seq": 0, "observations": [[1,0,0],[0,1,0]], "is_first": [true, true]})
    }

    /// Sends a request and checks status, code and pointer of the problem that it gets.
    fn assert_problem(&self, method: Method, path: &str, body: &Json, expected: (u16, &str, &str)) {
        let problem = self.http.refused(method, &self.at(path), body);
        let pointer = problem.errors.first().map_or("", |error| &error.pointer);
        let code = problem.code.as_str();
        assert_eq!((problem.status, code, pointer), expected, "{problem}");
        assert_eq!(problem.expected_seq, (code == "seq-conflict").then_some(0));
    }

    /// Checks that the session has not advanced: its first operation is still to come.
    fn assert_unchanged(&self) {
        let act = self.at("/v1/act");
        let good = Self::good();
        let reply: ActReply = self.http.ask(Method::POST, &act, Encoding::Json, &good);
        assert_eq!(reply.seq, Some(1));
    }
}

#[test]
fn a_wrong_request_for_actions_gets_a_problem_document() {
    let service = Refusing::start();
    let with = |name: &str, value: Json| {
        let mut body = Refusing::good();
        body[name] = value;
        body
    };
    let few = json!([[1, 0, 0]]);
    let state = json!({"state": "AAAA", "observations": few, "is_first": [true]});
    for (body, status, code, pointer) in [
        (
            with("session_id", json!("other")),
            404,
            "unknown-session",
            "",
        ),
        (with("seq", json!(7)), 409, "seq-conflict", "/seq"),
        (with("mode", json!("lucky")), 422, "invalid-body", "/mode"),
        (with("extra", json!(1)), 422, "invalid-body", "/extra"),
        (
            with("observations", few),
            422,
            "invalid-observation",
            "/observations",
        ),
        (state, 422, "invalid-state", "/state"),
        (
            with("observations", json!(vec![0; 8200])),
            413,
            "body-too-large",
            "",
        ),
    ] {
        service.assert_problem(Method::POST, "/v1/act", &body, (status, code, pointer));
    }
    let act = service.at("/v1/act");
    for (content_type, body, status) in [
        ("text/plain", "{}", 415),
        ("application/json", "{\"seq\":", 400),
        ("application/json", "[]", 422),
    ] {
        let answer = service
            .http
            .send(Method::POST, &act, content_type, body.into());
        assert_eq!(answer.status, status, "{content_type}: {body}");
    }
    service.assert_unchanged();
}

#[test]
fn wrong_sessions_and_paths_get_a_problem_document() {
    let service = Refusing::start();
    let session = "/v1/sessions/mine";
    for (method, path, body, status, code, pointer) in [
        (
            Method::PUT,
            session,
            json!({"num_envs": 1}),
            409,
            "session-exists",
            "",
        ),
        (
            Method::PUT,
            "/v1/sessions/more",
            json!({"num_envs": 9}),
            422,
            "invalid-num-envs",
            "/num_envs",
        ),
        (
            Method::DELETE,
            "/v1/sessions/none",
            json!({}),
            404,
            "unknown-session",
            "",
        ),
        (
            Method::PUT,
            "/v1/act",
            json!({}),
            405,
            "method-not-allowed",
            "",
        ),
        (Method::GET, "/nothing", json!({}), 404, "unknown-route", ""),
    ] {
        service.assert_problem(method, path, &body, (status, code, pointer));
    }
    service.assert_unchanged();
}

#[test]
fn a_web_page_of_another_origin_may_not_ask_for_actions() {
    let service = Refusing::start();
    let from_a_page = |headers: &[(&str, &str)]| {
        let request = service.http.client.post(service.at("/v1/act"));
        let mut request = request.body(Refusing::good().to_string());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = service.http.runtime.block_on(request.send()).unwrap();
        response.status().as_u16()
    };
    let json = ("content-type", "application/json");
    assert_eq!(from_a_page(&[]), 415);
    assert_eq!(from_a_page(&[json, ("origin", "http://evil.example")]), 403);
    assert_eq!(from_a_page(&[json, ("host", "evil.example")]), 421);
    service.assert_unchanged();
}

#[test]
fn the_service_shows_its_health_and_explains_problems() {
    let Refusing { http, service, .. } = &Refusing::start();
    let at = |path: &str| format!("{}{path}", service.url);
    for path in ["/healthz", "/readyz"] {
        let health: Json = http.ask(Method::GET, &at(path), Encoding::Json, &json!({}));
        assert_eq!(health, json!({"status": "ok"}));
    }
    let get = |path: &str| http.send(Method::GET, &at(path), "text/plain", Vec::new());
    assert_eq!(get("/").status, 200);
    let page = String::from_utf8(get("/problems/invalid-state").body).unwrap();
    assert!(
        page.contains("status 422") && page.contains("null starts afresh"),
        "{page}"
    );
}

#[test]
fn every_token_has_its_own_sessions_and_limits() {
    let server = environments();
    let folder = tempfile::tempdir().unwrap();
    let path = saved(&small_agent(&server), folder.path());
    let tokens = folder.path().join("tokens.toml");
    let [alice, bob] = ["alice-0123456789abcdef", "bob-0123456789abcdef"];
    std::fs::write(
        &tokens,
        format!("[alice]\ntoken = \"{alice}\"\n[bob]\ntoken = \"{bob}\"\nmax_lanes = 1\n"),
    )
    .unwrap();
    let service = Served::start(&path, &format!("--token-file {}", tokens.display()));
    let http = Http::new();
    let put = |id: &str, num_envs: u64, token: Option<&str>| {
        let url = format!("{}/v1/sessions/{id}", service.url);
        let mut request = http
            .client
            .put(url)
            .header("content-type", "application/json");
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let body = json!({"num_envs": num_envs}).to_string();
        let response = http.runtime.block_on(request.body(body).send()).unwrap();
        response.status().as_u16()
    };
    assert_eq!(put("hers", 2, None), 401);
    assert_eq!(put("hers", 2, Some("mallory-0123456789abcdef")), 401);
    assert_eq!(put("hers", 2, Some(alice)), 201);
    assert_eq!(put("his", 2, Some(bob)), 429);
    assert_eq!(put("hers", 1, Some(bob)), 201, "his ids are his own");
    let health = http.send(
        Method::GET,
        &format!("{}/healthz", service.url),
        "text/plain",
        Vec::new(),
    );
    assert_eq!(health.status, 200);
}

#[cfg(unix)]
#[test]
fn interrupt_and_terminate_end_the_service() {
    let server = environments();
    let folder = tempfile::tempdir().unwrap();
    let path = saved(&small_agent(&server), folder.path());
    for signal in ["INT", "TERM"] {
        let mut service = Served::start(&path, "");
        let id = service.process.id();
        let kill = Command::new("kill")
            .args([format!("-{signal}"), id.to_string()])
            .status();
        assert!(kill.unwrap().success());
        let status = service.process.wait().unwrap();
        let mut said = String::new();
        std::io::Read::read_to_string(&mut service.stderr, &mut said).unwrap();
        assert_eq!((status.code(), said.as_str()), (Some(0), ""), "{signal}");
    }
}

#[test]
fn wrong_flags_and_checkpoints_are_explained() {
    let server = environments();
    let folder = tempfile::tempdir().unwrap();
    let path = saved(&small_agent(&server), folder.path());
    let path = path.display();
    std::fs::write(folder.path().join("notes.safetensors"), "shopping list").unwrap();
    let taken = server.strip_prefix("http://").unwrap();
    for (flags, code, said) in [
        (
            format!("--checkpoint {path} --listen 0.0.0.0:0"),
            1,
            "--token-file FILE, or --insecure",
        ),
        (
            format!("--checkpoint {path} --listen {taken}"),
            1,
            "127.0.0.1:0 takes a free port",
        ),
        (
            format!("--checkpoint {path} --ttl-s 9 --max-ttl-s 8"),
            1,
            "--ttl-s 9 is longer",
        ),
        (format!("--checkpoint {path} --max-lanes 0"), 2, "from 1 to"),
        (format!("--checkpoint {path} --tls-cert x"), 2, "--tls-key"),
        (
            format!("--checkpoint {path} --token-file none.toml"),
            1,
            "none.toml",
        ),
        ("--checkpoint nowhere".into(), 1, "no checkpoint nowhere"),
        (
            "--checkpoint notes.safetensors".into(),
            1,
            "notes.safetensors: it is not a checkpoint",
        ),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_agent"))
            .arg("serve")
            .args(flags.split_whitespace())
            .current_dir(folder.path())
            .output()
            .unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{flags}: {error}");
        assert!(error.contains(said), "{flags}: {error}");
    }
}
