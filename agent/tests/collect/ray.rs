//! `agent train --pool ray`: what is refused before a run has a folder, and the agent of one process, also when workers or the
//! relay are lost. Each test is made with a relay to processes of this machine, and with Ray where there is one.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, mpsc};

use agent::run::checkpoint::Checkpoint;
use workers::frame::{self, Frame};
use workers::{
    CallError, Hello, LocalPool, PROTOCOL, Part, Pool as _, Program, Ready, Request, Shared, sha256,
};

use crate::assert_equal;
use crate::children::{children, kill};
use crate::cluster::{PYTHON, is_worker, python, turn, with_ray, workers};

const RUN: &str = "train --algorithm tracerl --env-arg delay=5 --no-early-stop --num-envs 16 --num-steps 12 --update-epochs 1 \
                   --num-minibatches 2 --hidden-size 16 --no-progress --seed 3 --out";

fn command(folder: &Path, flags: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_agent"));
    command
        .args(flags.split_whitespace())
        .current_dir(folder)
        .env_remove("STRATEGIC_MEMORY_TOKEN")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs the program, which must succeed.
fn succeed(mut command: Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", said(&output));
}

fn script(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
    path
}

/// What carries the calls.
enum Relay {
    /// [`local_relay`].
    Local,
    /// The relay of this repository, with this Python.
    Ray(PathBuf),
}

impl Relay {
    fn command(&self, folder: &Path, flags: &str) -> Command {
        let mut command = command(folder, &format!("{flags} --pool ray"));
        match self {
            Self::Ray(python) => _ = with_ray(&mut command, python),
            Self::Local => {
                let tests = std::env::current_exe().unwrap();
                let text = format!(
                    "[ \"$1\" = -c ] && exit 0\n\
                     RELAY=\"$*\" exec '{}' --ignored --exact ray::local_relay --nocapture 3>&1 >/dev/null",
                    tests.display()
                );
                command.env(PYTHON, script(folder, "python", &text));
            }
        }
        command
    }
}

/// Not a test but a program that other tests start: a relay whose seats are processes of this machine. It sends its frames
/// to the third file, for the first has what this harness prints.
#[test]
#[ignore = "other tests start it"]
fn local_relay() {
    let arguments = std::env::var("RELAY").unwrap();
    let words: Vec<&str> = arguments.split(' ').collect();
    let of = |flag: &str| words[words.iter().position(|word| *word == flag).unwrap() + 1];
    let cpu = agent::nn::cpu_class();
    assert_eq!(of("--cpu"), cpu);
    let path = PathBuf::from(of("--program"));
    let hello = Hello {
        protocol: PROTOCOL,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        program: sha256(&std::fs::read(&path).unwrap()),
        cpu,
    };
    let program = Program {
        path,
        arguments: vec!["worker".into()],
        hello,
    };
    let out = File::options().write(true).open("/dev/fd/3").unwrap();
    let out = Arc::new(Mutex::new(out));
    send(
        &out,
        &Frame::Ready(Ready {
            protocol: PROTOCOL,
            slots: 3,
            nodes: 1,
            warnings: Vec::new(),
            program: program.hello.program.clone(),
        }),
    );
    let mut latest: Option<Shared> = None;
    let mut seats = HashMap::new();
    while let Some(frame) = frame::read(&mut std::io::stdin()).unwrap() {
        match frame {
            Frame::Share(shared) => latest = Some(shared),
            Frame::Call {
                id,
                name,
                body,
                checkpoint,
                shared,
                seat,
            } => {
                assert_eq!(latest.as_ref().map(Shared::id), shared.as_deref());
                let request = Request {
                    name,
                    body,
                    checkpoint,
                    shared: latest.clone(),
                };
                let calls = seats.entry(seat.expect("training has seats"));
                let calls = calls.or_insert_with(|| local_seat(&program, &out));
                calls.send((id, request)).unwrap();
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Answers the calls of one seat in a thread.
fn local_seat(program: &Program, out: &Arc<Mutex<File>>) -> mpsc::Sender<(u64, Request)> {
    let (sender, calls) = mpsc::channel();
    let (pool, out) = (LocalPool::new(program.clone()), Arc::clone(out));
    std::thread::spawn(move || {
        for (id, request) in calls {
            let mut on_part = |part: Part<'_>| {
                if let Part::Lost(reason) = part {
                    let reason = reason.to_owned();
                    send(&out, &Frame::Lost { id, reason });
                }
            };
            match pool.call(&request, &mut on_part, &AtomicBool::new(false)) {
                Ok(body) => send(&out, &Frame::Done { id, body }),
                // The last loss was told.
                Err(CallError::Lost(_)) => {}
                Err(error) => {
                    let reason = error.to_string();
                    send(&out, &Frame::Failed { id, reason });
                }
            }
        }
    });
    sender
}

fn send(out: &Mutex<File>, frame: &Frame) {
    frame::write(&mut *out.lock().unwrap(), frame).unwrap();
}

/// A run's checkpoint. A file has no order of arrays, so they are put into that of their names.
fn checkpoint(folder: &Path, run: &str) -> Checkpoint {
    let file = folder.join(run).join("checkpoint.safetensors");
    let mut checkpoint = Checkpoint::load(&file).unwrap();
    let learner = &mut checkpoint.learner;
    for arrays in [
        &mut checkpoint.params,
        &mut learner.arrays,
        &mut learner.adam.arrays,
    ] {
        arrays.sort_by(|one, other| one.name.cmp(&other.name));
    }
    checkpoint
}

/// Waits until a run has measured so many updates.
fn await_updates(child: &mut Child, run: &Path, updates: usize) {
    let measured = || std::fs::read_to_string(run.join("metrics.jsonl")).unwrap_or_default();
    while measured().lines().count() < updates {
        assert_eq!(child.try_wait().unwrap(), None, "ended early");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}

#[test]
fn what_is_refused_leaves_no_folder() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // Pythons without the relay, and with a relay that ends at once.
    let bare = script(folder, "bare", "exit 3");
    let broken = script(folder, "broken", "[ \"$1\" = -c ] || exit 7");
    let nowhere = PathBuf::from("/nowhere/python3");
    let ray = "--algorithm ppo --pool ray";
    let token = format!("{ray} --server http://127.0.0.1:1 --token-file token");
    std::fs::write(folder.join("token"), "Yt3rJ0kM5sGq8ZcW1nUe7A").unwrap();
    for (flags, python, code, reason) in [
        ("--algorithm nec --workers 2", &nowhere, 1, "tables"),
        (
            "--algorithm nec --pool ray",
            &nowhere,
            1,
            "train it without --workers and --pool",
        ),
        (
            "--algorithm dt --dataset data --workers 2",
            &nowhere,
            1,
            "recorded episodes",
        ),
        (ray, &nowhere, 1, "export STRATEGIC_MEMORY_PYTHON="),
        (ray, &bare, 1, "-m pip install clients/cluster"),
        (ray, &broken, 1, "the relay ended with exit status: 7"),
        (&token, &nowhere, 1, "get no token"),
        ("--algorithm ppo --insecure", &nowhere, 2, "--pool"),
        ("--algorithm ppo --pool-wait-s 5", &nowhere, 2, "--pool"),
    ] {
        let flags = format!("train --out run {flags}");
        let output = command(folder, &flags).env(PYTHON, python).output();
        let output = output.unwrap();
        let said = said(&output);
        assert_eq!(output.status.code(), Some(code), "{flags}: {said}");
        assert!(said.contains(reason), "{flags}: {said}");
        assert!(!folder.join("run").exists(), "{flags}");
    }
}

/// Trains with several numbers of seats, at last with workers that are killed.
fn seats_train_the_agent_of_one_process(relay: &Relay) {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let budget = "--total-timesteps 20000";
    succeed(command(folder, &format!("{RUN} alone {budget}")));
    let alone = checkpoint(folder, "alone");
    for (run, seats) in [("all", ""), ("one", "--workers 1"), ("two", "--workers 2")] {
        let flags = format!("{RUN} {run} {budget} {seats}");
        succeed(relay.command(folder, &flags));
        assert_equal(&checkpoint(folder, run), &alone, run);
    }
    let flags = format!("{RUN} hurt {budget}");
    let mut hurt = relay.command(folder, &flags).spawn().unwrap();
    await_updates(&mut hurt, &folder.join("hurt"), 3);
    let found = workers(hurt.id());
    assert!(!found.is_empty());
    found.into_iter().for_each(kill);
    let ended = hurt.wait_with_output().unwrap();
    assert!(ended.status.success(), "{}", said(&ended));
    assert_equal(&checkpoint(folder, "hurt"), &alone, "hurt");
}

/// Kills the relay of a run and interrupts another, and resumes them.
fn a_run_is_resumed_with_a_cluster_or_without(relay: &Relay) {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let budget = "--total-timesteps 40000";
    succeed(command(folder, &format!("{RUN} alone {budget}")));
    let alone = checkpoint(folder, "alone");
    for (run, code) in [("severed", 1), ("stopped", 130)] {
        let flags = format!("{RUN} {run} {budget}");
        let mut child = relay.command(folder, &flags).spawn().unwrap();
        await_updates(&mut child, &folder.join(run), 3);
        let found = workers(child.id());
        assert!(!found.is_empty());
        if code == 1 {
            children(child.id()).into_iter().for_each(kill);
        } else {
            let id = child.id().to_string();
            let asked = Command::new("kill").args(["-INT", &id]).status();
            assert!(asked.unwrap().success());
        }
        let ended = child.wait_with_output().unwrap();
        let said = said(&ended);
        assert_eq!(ended.status.code(), Some(code), "{said}");
        let lost = "the relay to the cluster is lost: the relay ended with signal: 9";
        assert_eq!(said.contains(lost), code == 1, "{said}");
        let steps = checkpoint(folder, run).run.statistics.timesteps;
        assert!(steps > 0 && steps < alone.run.statistics.timesteps);
        let resumed = format!("train --no-progress --resume {run}");
        succeed(match code {
            1 => relay.command(folder, &resumed),
            _ => command(folder, &resumed),
        });
        let whole = checkpoint(folder, run);
        match code {
            // As after every error of an environment, the resumed run began new episodes.
            1 => assert_eq!(
                whole.run.statistics.timesteps,
                alone.run.statistics.timesteps
            ),
            _ => assert_equal(&whole, &alone, run),
        }
        let lives = |id: &u32| is_worker(*id);
        assert!(!found.iter().any(lives), "workers of a lost relay end");
    }
}

#[test]
fn seats_train_the_agent_of_one_process_also_when_workers_are_killed() {
    seats_train_the_agent_of_one_process(&Relay::Local);
}

#[test]
fn seats_on_ray_train_the_agent_of_one_process_also_when_workers_are_killed() {
    let Some(python) = python() else { return };
    let _turn = turn();
    seats_train_the_agent_of_one_process(&Relay::Ray(python));
}

#[test]
fn a_run_without_its_relay_or_interrupted_is_resumed() {
    a_run_is_resumed_with_a_cluster_or_without(&Relay::Local);
}

#[test]
fn a_run_on_ray_without_its_relay_or_interrupted_is_resumed() {
    let Some(python) = python() else { return };
    let _turn = turn();
    a_run_is_resumed_with_a_cluster_or_without(&Relay::Ray(python));
}
