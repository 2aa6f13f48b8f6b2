//! Tests of the program's surroundings: proxies, tokens, closed pipes, names that are not text,
//! full disks.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use env_server::{Access, ServerConfig, ServiceConfig};

const TRAIN: &str = "train --algorithm ppo --env-arg delay=1 --total-timesteps 2000 --no-progress";
const TOKEN: &str = "a-token-of-the-tests";

fn agent(words: &str, folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_agent"));
    command
        .args(words.split_whitespace())
        .current_dir(folder)
        .env_remove("STRATEGIC_MEMORY_TOKEN");
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", said(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Starts a server that requires [`TOKEN`] and runs until the tests end; returns its URL.
fn guarded_server(folder: &Path) -> String {
    let tokens = folder.join("tokens.toml");
    fs::write(&tokens, format!("[me]\ntoken = \"{TOKEN}\"\n")).unwrap();
    let access = Access::from_file(&tokens).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0");
    let listener = runtime.block_on(listener).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let config = ServerConfig {
            service: ServiceConfig {
                access: Some(Arc::new(access)),
                ..ServiceConfig::default()
            },
            ..ServerConfig::default()
        };
        runtime.block_on(env_server::run(listener, config, std::future::pending()))
    });
    url
}

/// No program listens at the proxy's address, so a request through it would fail.
#[test]
fn the_programs_own_server_is_never_reached_through_a_proxy() {
    let folder = tempfile::tempdir().unwrap();
    let mut train = agent(
        &format!("{TRAIN} --out run --give-up-after-s 1"),
        folder.path(),
    );
    for variable in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        train.env(variable, "http://127.0.0.1:9");
    }
    train.env_remove("NO_PROXY").env_remove("no_proxy");
    succeed(&mut train);
}

/// The name of the server does not resolve, so only the proxy can receive the request.
#[test]
fn a_server_on_another_machine_is_reached_through_the_proxy() {
    let proxy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", proxy.local_addr().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let server = "--server http://elsewhere.invalid:7878 --give-up-after-s 0";
    let mut train = agent(&format!("{TRAIN} {server} --out run"), folder.path());
    train.env_remove("NO_PROXY").env_remove("no_proxy");
    train.env("HTTP_PROXY", &url).env("http_proxy", &url);
    let asked = std::thread::spawn(move || {
        use std::io::{BufRead, BufReader, Write};
        let (mut stream, _) = proxy.accept().unwrap();
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line).unwrap();
        let refusal = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        stream.write_all(refusal).unwrap();
        line
    });
    let output = train.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let asked = asked.join().unwrap();
    assert!(
        asked.starts_with("PUT http://elsewhere.invalid:7878/v1/"),
        "{asked}"
    );
}

#[test]
fn a_token_comes_from_a_file_or_from_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let url = guarded_server(folder);
    let server = format!("--server {url}");

    let refused = agent(&format!("{TRAIN} {server} --out run"), folder).output();
    let refused = refused.unwrap();
    assert_eq!(refused.status.code(), Some(1));
    for way in ["--token-file", "STRATEGIC_MEMORY_TOKEN"] {
        assert!(said(&refused).contains(way), "{}", said(&refused));
    }
    let mut wrong = agent(&format!("{TRAIN} {server} --out run"), folder);
    let wrong = wrong
        .env("STRATEGIC_MEMORY_TOKEN", "not-the-token-of-it")
        .output();
    let wrong = said(&wrong.unwrap());
    assert!(
        wrong.contains("STRATEGIC_MEMORY_TOKEN") && !wrong.contains("not-the-token"),
        "{wrong}"
    );
    assert!(!folder.join("run").exists());

    fs::write(folder.join("token"), format!("{TOKEN}\n")).unwrap();
    let told = succeed(&mut agent(
        &format!("{TRAIN} {server} --token-file token --out run"),
        folder,
    ));
    let next = format!("agent evaluate --checkpoint run --server {url} --token-file token");
    assert!(told.contains(&next), "{told}");
    for command in [
        "evaluate --checkpoint run --episodes 4 --no-progress",
        "inspect --checkpoint run --out pictures",
        "play --env-arg delay=1",
    ] {
        let by_file = format!("{command} {server} --token-file token");
        succeed(agent(&by_file, folder).stdin(Stdio::null()));
        let by_variable = format!("{command} {server}");
        let mut by_variable = agent(&by_variable, folder);
        succeed(
            by_variable
                .env("STRATEGIC_MEMORY_TOKEN", TOKEN)
                .stdin(Stdio::null()),
        );
    }
    for file in fs::read_dir(folder.join("run")).unwrap() {
        let bytes = fs::read(file.unwrap().path()).unwrap();
        assert!(
            !bytes
                .windows(TOKEN.len())
                .any(|bytes| bytes == TOKEN.as_bytes())
        );
    }
}

/// The runs start at the same time, without a name for their folders.
#[test]
fn runs_of_the_same_second_have_folders_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let runs: Vec<_> = (2..6)
        .map(|delay| {
            let mut train = agent(&format!("{TRAIN} --env-arg delay={delay}"), folder);
            train.stdout(Stdio::null()).stderr(Stdio::null());
            train.spawn().unwrap()
        })
        .collect();
    for mut run in runs {
        assert!(run.wait().unwrap().success());
    }
    let kept = fs::read_dir(folder.join("runs")).unwrap();
    let configs =
        kept.map(|run| fs::read_to_string(run.unwrap().path().join("config.toml")).unwrap());
    let delays = configs.map(|config| {
        config
            .lines()
            .find(|line| line.starts_with("delay"))
            .unwrap()
            .to_owned()
    });
    let mut delays: Vec<_> = delays.collect();
    delays.sort();
    assert_eq!(delays, ["delay = 2", "delay = 3", "delay = 4", "delay = 5"]);
}

/// `kill -9` leaves such a folder if it ends a run shortly after its start.
#[test]
fn resuming_a_run_without_a_checkpoint_starts_it_over() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    succeed(&mut agent(&format!("{TRAIN} --out whole"), folder));
    fs::create_dir(folder.join("run")).unwrap();
    fs::copy(
        folder.join("whole/config.toml"),
        folder.join("run/config.toml"),
    )
    .unwrap();
    fs::write(folder.join("run/run.lock"), "").unwrap();
    fs::write(folder.join("run/checkpoint.tmp"), "torn").unwrap();
    let mut resume = agent("train --resume run --no-progress", folder);
    let output = resume.output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("begins anew"), "{}", said(&output));
    let bytes = |run: &str| fs::read(folder.join(run).join("checkpoint.safetensors")).unwrap();
    assert!(bytes("run") == bytes("whole"));

    // --out also accepts a folder in which nothing was measured.
    fs::create_dir(folder.join("other")).unwrap();
    fs::write(folder.join("other/run.lock"), "").unwrap();
    fs::write(folder.join("other/checkpoint.tmp"), "torn").unwrap();
    succeed(&mut agent(&format!("{TRAIN} --out other"), folder));
}

/// A pipe whose reading end is closed.
fn closed() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

#[test]
fn a_closed_pipe_stops_the_output_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let train = format!("{TRAIN} --out run --verbose");
    for words in [
        &train,
        "evaluate --checkpoint run --episodes 4",
        "inspect --checkpoint run --out pictures",
        "list",
        "list tracerl",
        "play --env-arg delay=1",
        "--help",
    ] {
        let mut command = agent(words, folder);
        let output = command.stdout(closed()).stdin(Stdio::null()).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{words}: {}", said(&output));
        assert!(
            !said(&output).contains("error"),
            "{words}: {}",
            said(&output)
        );
        let mut command = agent(&words.replace("--out run", "--out silent"), folder);
        command
            .stdout(closed())
            .stderr(closed())
            .stdin(Stdio::null());
        assert!(command.status().unwrap().success(), "{words}");
    }
    assert!(folder.join("pictures/episode-0.png").exists());
    assert!(folder.join("silent/checkpoint.safetensors").exists());
}

#[cfg(target_os = "linux")]
#[test]
fn any_other_failure_to_print_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let output = agent("list", folder.path()).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output).contains("cannot write to standard output"),
        "{}",
        said(&output)
    );
}

/// The name of the folder is Latin-1 and not valid UTF-8.
#[cfg(target_os = "linux")]
#[test]
fn names_need_not_be_text() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let name = OsStr::from_bytes(b"caf\xe9");
    let mut train = agent(TRAIN, folder);
    let told = succeed(train.arg("--json").arg("--out").arg(name));
    let row: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(row["out"], "caf\u{fffd}");
    for words in [
        "evaluate --json --no-progress --episodes 4 --checkpoint",
        "inspect --checkpoint",
    ] {
        succeed(agent(words, folder).arg(name));
    }
    let told = succeed(agent("train --no-progress --resume", folder).arg(name));
    assert!(told.contains(r"--checkpoint $'caf\351'"), "{told}");
}
