//! The program itself.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_env-server"))
}

fn reference() -> String {
    format!(
        "{}/tests/data/memory_task.jsonl",
        env!("CARGO_MANIFEST_DIR")
    )
}

#[test]
fn verify_reports_how_much_was_equal() {
    let output = program().args(["verify", &reference()]).output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.ends_with("memory_task.jsonl: 40 episodes, 440 steps, all equal\n"),
        "{text}"
    );
}

#[test]
fn verify_fails_on_files_that_are_no_records() {
    let empty = if cfg!(windows) { "NUL" } else { "/dev/null" };
    let manifest = format!("{}/Cargo.toml", env!("CARGO_MANIFEST_DIR"));
    for (file, reason) in [
        ("no/such/file", "cannot be read"),
        (empty, "holds nothing to play"),
        (&manifest, ":1: "),
    ] {
        let output = program()
            .args(["verify", &reference(), file])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{file}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains(reason), "{text}");
    }
}

#[test]
fn specs_as_json_are_the_catalogue() {
    let output = program().args(["specs", "--json"]).output().unwrap();
    let specs: Vec<env_protocol::Spec> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(specs[0].id, "MemoryTask-v0");
}

#[cfg(unix)]
#[test]
fn serve_prints_its_address_and_ends_on_sigterm() {
    let mut server = program()
        .args(["serve", "--listen", "127.0.0.1:0", "--log", "off"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut stdout = BufReader::new(server.stdout.take().unwrap());
    stdout.read_line(&mut line).unwrap();
    let address = line
        .trim_end()
        .strip_prefix("listening on http://")
        .unwrap();

    let second = program()
        .args(["serve", "--listen", address])
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1));
    let text = String::from_utf8(second.stderr).unwrap();
    assert!(
        text.contains("--listen 127.0.0.1:0 takes a free port"),
        "{text}"
    );

    let pid = server.id().to_string();
    assert!(Command::new("kill").arg(pid).status().unwrap().success());
    assert!(server.wait().unwrap().success());
}
