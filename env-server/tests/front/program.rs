//! The program: errors at the start, and signals.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use crate::tls::certify;

/// Returns the program's command, without variables from the environment.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_env-server"));
    command.env_clear();
    command
}

/// A running program, ended when dropped.
struct Running {
    child: Child,
    /// URL as printed: scheme, address and port.
    url: String,
    stderr: BufReader<std::process::ChildStderr>,
}

impl Running {
    fn start(args: &[&str]) -> Self {
        let mut command = program();
        command
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let Some(url) = line.trim_end().strip_prefix("listening on ") else {
            let mut errors = String::new();
            stderr.read_to_string(&mut errors).unwrap();
            panic!("{line:?} {errors}");
        };
        let url = url.to_owned();
        Running { child, url, stderr }
    }

    fn health(&self, more: &[&str]) -> Result<(), String> {
        let mut command = program();
        let output = command
            .args(["health", "--url", &self.url])
            .args(more)
            .output();
        let output = output.unwrap();
        match output.status.success() {
            true => Ok(()),
            false => Err(String::from_utf8(output.stderr).unwrap()),
        }
    }

    #[cfg(unix)]
    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Reads the log up to a line that contains `part`.
    fn await_log(&mut self, part: &str) {
        let mut log = String::new();
        while !log.contains(part) {
            let len = self.stderr.read_line(&mut log).unwrap();
            assert!(len > 0, "{part:?} is not in {log}");
        }
    }

    fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the error of a program that does not start.
fn refused(args: &[&str]) -> String {
    let output = program().arg("serve").args(args).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{args:?} {output:?}");
    assert!(output.stdout.is_empty(), "{args:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

const TOKENS: &str = "[alice]\ntoken = \"alice-0123456789abcdef\"\n";

#[test]
fn wrong_settings_keep_it_from_starting() {
    let folder = tempfile::tempdir().unwrap();
    let (_, cert, key) = certify(folder.path());
    let tokens = folder.path().join("tokens.toml");
    std::fs::write(&tokens, TOKENS).unwrap();
    let empty = folder.path().join("empty");
    std::fs::write(&empty, "").unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let (cert, key, empty) = (text(&cert), text(&key), text(&empty));
    for (args, said) in [
        (&["--listen", "0.0.0.0:0"][..], "--token-file"),
        (
            &[
                "--listen",
                "0.0.0.0:0",
                "--tls-cert",
                cert,
                "--tls-key",
                key,
            ],
            "--insecure",
        ),
        (&["--listen", "[::]:0"], "other machines"),
        (&["--token-file", "/nowhere"], "/nowhere: cannot be read"),
        (&["--token-file", empty], "holds no token"),
        (&["--tls-cert", cert], "go together"),
        (
            &["--tls-cert", "/nowhere", "--tls-key", key],
            "/nowhere: cannot be read",
        ),
        (
            &["--tls-cert", empty, "--tls-key", key],
            "holds no certificate",
        ),
        (
            &["--tls-cert", cert, "--tls-key", cert],
            "holds no private key",
        ),
        (&["--log", "a=b=c"], "the log filter \"a=b=c\" is malformed"),
        (&["--listen", &taken], "cannot listen on"),
    ] {
        let error = refused(args);
        assert!(error.contains(said), "{args:?}: {error}");
    }
}

#[test]
fn an_unusable_data_directory_is_reported_once() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let inside = file.path().join("data");
    let output = program()
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(&inside)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(error.matches("os error").count(), 1, "{error}");
    assert!(output.stdout.is_empty(), "it never listened");
}

#[cfg(unix)]
#[test]
fn sighup_reloads_tokens_and_certificates() {
    use rustix::process::Signal;
    let folder = tempfile::tempdir().unwrap();
    let (_, cert, key) = certify(folder.path());
    let tokens = folder.path().join("tokens.toml");
    std::fs::write(&tokens, TOKENS).unwrap();
    let args = [
        "--tls-cert",
        text(&cert),
        "--tls-key",
        text(&key),
        "--token-file",
        text(&tokens),
    ];
    let mut server = Running::start(&args);
    assert!(
        server.url.starts_with("https://127.0.0.1:"),
        "{}",
        server.url
    );
    let mine = ["--tls-cert", text(&cert)];
    server.health(&mine).unwrap();
    let other = tempfile::tempdir().unwrap();
    let (_, others, _) = certify(other.path());
    assert!(server.health(&["--tls-cert", text(&others)]).is_err());
    assert!(server.health(&[]).unwrap_err().contains("--tls-cert"));

    std::fs::write(&tokens, "[alice").unwrap();
    std::fs::write(&key, "").unwrap();
    server.signal(Signal::HUP);
    server.await_log("tokens stay as they were");
    server.await_log("the certificate stays as it was");
    server.health(&mine).unwrap();

    std::fs::write(&tokens, TOKENS).unwrap();
    certify(folder.path());
    server.signal(Signal::HUP);
    server.await_log("tokens have been read again");
    server.await_log("the certificate has been read again");
    server.health(&mine).unwrap();
    server.signal(Signal::TERM);
    assert!(server.wait().success());
}

#[cfg(unix)]
#[test]
fn interrupt_and_terminate_end_it() {
    use rustix::process::Signal;
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = Running::start(&[]);
        server.health(&[]).unwrap();
        server.signal(signal);
        assert!(server.wait().success());
        assert!(server.health(&[]).is_err());
    }
    let mut server = Running::start(&["--drain-delay-ms", "3600000"]);
    server.signal(Signal::INT);
    server.await_log("draining");
    assert!(server.health(&[]).unwrap_err().contains("not ready"));
    server.signal(Signal::INT);
    assert_eq!(server.wait().code(), Some(130));
}

/// With huge pages an idle server grows, because the kernel fills up the memory that it has
/// returned.
#[cfg(target_os = "linux")]
#[test]
fn it_disables_huge_pages() {
    let server = Running::start(&[]);
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.child.id())).unwrap();
    assert!(status.contains("THP_enabled:\t0\n"), "{status}");
}

/// Returns a pipe whose reading end is closed.
fn closed() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

#[test]
fn a_closed_pipe_stops_the_output_and_nothing_else() {
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/memory_task.jsonl");
    for (args, code) in [
        (&["specs"][..], 0),
        (&["specs", "--json"], 0),
        (&["serve", "--print-config"], 0),
        (&["verify", data], 0),
        // The exit status still reports the result.
        (&["verify", data, "/nowhere"], 1),
        (&["replay", "/nowhere"], 1),
        (&["--help"], 0),
    ] {
        let output = program().args(args).stdout(closed()).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?} {output:?}");
        let told = String::from_utf8(output.stderr).unwrap();
        let lines = told.lines().count();
        assert_eq!(lines, usize::from(code == 1), "{args:?}: {told}");
        let silent = program()
            .args(args)
            .stdout(closed())
            .stderr(closed())
            .status();
        assert_eq!(silent.unwrap().code(), Some(code), "{args:?}");
    }
}

/// A closed log does not keep the server from answering.
#[test]
fn a_server_whose_log_is_closed_keeps_answering() {
    let mut command = program();
    command.args(["serve", "--listen", "127.0.0.1:0", "--log", "debug"]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(closed())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut line).unwrap();
    let url = line.trim_end().strip_prefix("listening on ").unwrap();
    for _ in 0..3 {
        let health = program().args(["health", "--url", url]).status().unwrap();
        assert!(health.success());
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Starts the program like `nohup`: it must survive a hangup until another signal ends it.
#[cfg(unix)]
#[test]
fn a_signal_that_is_ignored_stays_ignored() {
    use std::os::unix::process::ExitStatusExt as _;
    for signal in ["HUP", "TERM"] {
        let mut command = Command::new("sh");
        let serve = format!("trap '' {signal}; exec \"$0\" serve --listen 127.0.0.1:0");
        command.args(["-c", &serve, env!("CARGO_BIN_EXE_env-server")]);
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        let url = line.trim_end().strip_prefix("listening on ").unwrap();
        let id = child.id().to_string();
        let kill = |name| {
            let sent = Command::new("kill").args(["-s", name, &id]).status();
            assert!(sent.unwrap().success());
        };
        kill(signal);
        let health = program().args(["health", "--url", url]).status();
        assert!(health.unwrap().success());
        kill("KILL");
        // Not by the other signal, which came first.
        assert_eq!(child.wait().unwrap().signal(), Some(9), "{signal}");
    }
}
