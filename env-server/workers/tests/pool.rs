//! A pool of real processes. Some are killed, some misbehave.
#![cfg(target_os = "linux")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use workers::frame::{self, Frame};
use workers::{
    CallError, Hello, LocalPool, PROTOCOL, Part, Pool as _, Program, Request, Shared, TRIES,
};

fn program(name: &str) -> Program {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.push("examples/counter");
    assert!(path.exists(), "cargo builds examples with all tests");
    Program {
        path,
        arguments: vec![name.into()],
        hello: Hello {
            protocol: PROTOCOL,
            version: "1".to_owned(),
            program: "abc".to_owned(),
            cpu: "any".to_owned(),
        },
    }
}

fn pool() -> LocalPool {
    LocalPool::new(program("abc"))
}

fn request(name: &str, target: u8) -> Request {
    Request {
        name: name.to_owned(),
        body: vec![target],
        checkpoint: None,
        shared: None,
    }
}

static GO_ON: AtomicBool = AtomicBool::new(false);

#[test]
fn a_call_returns_its_parts_in_order_and_its_result() {
    let (mut counts, mut sent) = (Vec::new(), 0);
    let mut on_part = |part: Part<'_>| match part {
        Part::Checkpoint(body) => counts.extend_from_slice(body),
        Part::Sent(body) => {
            assert_eq!(body, b"counted");
            sent += 1;
        }
        Part::Lost(reason) => panic!("{reason}"),
    };
    let pool = pool();
    let mut call = request("count", 3);
    assert_eq!(pool.call(&call, &mut on_part, &GO_ON).unwrap(), [3, 0]);
    assert_eq!((counts.as_slice(), sent), (&[1, 2, 3][..], 3));
    // The same worker continues from the caller's checkpoint.
    call.checkpoint = Some(vec![2]);
    let first = pool.process_ids();
    assert_eq!(pool.call(&call, &mut |_| (), &GO_ON).unwrap(), [3, 2]);
    assert_eq!((pool.process_ids(), first.len()), (first, 1));
}

/// A pool whose workers' input is also written to a file, so that a test can see what was sent.
fn overheard(file: &Path) -> LocalPool {
    let counter = program("abc");
    let script = format!(
        "tee -a '{}' | '{}' abc",
        file.display(),
        counter.path.display()
    );
    LocalPool::new(Program {
        path: "/bin/sh".into(),
        arguments: vec!["-c".into(), script.into()],
        hello: counter.hello,
    })
}

/// The kinds of the frames in a file; of a share and of a call the shared bytes' id.
fn sent(file: &Path) -> Vec<String> {
    let bytes = std::fs::read(file).unwrap();
    let (mut rest, mut kinds) = (bytes.as_slice(), Vec::new());
    while let Some(frame) = frame::read(&mut rest).unwrap() {
        kinds.push(match frame {
            Frame::Share(shared) => format!("share {}", shared.id()),
            Frame::Call { shared, .. } => format!("call {}", shared.unwrap_or_default()),
            other => panic!("{other:?}"),
        });
    }
    kinds
}

#[test]
fn shared_bytes_are_sent_to_a_worker_before_the_first_call_that_needs_them() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sent");
    let pool = overheard(&file);
    let [first, second] = [b"first", b"other"].map(|body| Shared::new(body.to_vec()));
    let mut expected = Vec::new();
    let mut holds = None;
    for shared in [
        None,
        Some(&first),
        Some(&first),
        None,
        Some(&first),
        Some(&second),
        Some(&first),
    ] {
        let call = Request {
            shared: shared.cloned(),
            ..request("shared", 0)
        };
        let answer = pool.call(&call, &mut |_| (), &GO_ON).unwrap();
        assert_eq!(answer, shared.map_or(&[][..], Shared::body));
        if shared.is_some() && holds != shared {
            expected.extend(shared.map(|shared| format!("share {}", shared.id())));
            holds = shared;
        }
        expected.push(format!("call {}", shared.map_or("", Shared::id)));
    }
    assert_eq!(sent(&file), expected);
    assert_eq!(expected.len(), 7 + 3);
}

#[test]
fn a_new_worker_gets_the_shared_bytes_again() {
    let pool = pool();
    let shared = Some(Shared::new(b"weights".to_vec()));
    let call = Request {
        shared,
        ..request("shared", 0)
    };
    let counting = Request {
        name: "count".to_owned(),
        body: vec![20],
        ..call.clone()
    };
    let mut lost = 0;
    let mut kill_at = |part: Part<'_>| match part {
        Part::Checkpoint([3]) if lost == 0 => kill(&pool.process_ids()),
        Part::Lost(_) => lost += 1,
        Part::Checkpoint(_) | Part::Sent(_) => {}
    };
    assert_eq!(pool.call(&call, &mut |_| (), &GO_ON).unwrap(), b"weights");
    let counted = pool.call(&counting, &mut kill_at, &GO_ON).unwrap();
    assert_eq!((counted[0], lost), (20, 1));
    assert_eq!(pool.call(&call, &mut |_| (), &GO_ON).unwrap(), b"weights");
}

#[test]
fn a_call_continues_elsewhere_when_its_worker_is_killed() {
    let pool = pool();
    let (mut counts, mut lost) = (Vec::new(), Vec::new());
    let mut kill_at = |part: Part<'_>| match part {
        Part::Checkpoint(body) => {
            counts.push(body[0]);
            if body == [5] && lost.is_empty() {
                kill(&pool.process_ids());
            }
        }
        Part::Sent(_) => {}
        Part::Lost(reason) => lost.push(reason.to_owned()),
    };
    let result = pool.call(&request("count", 40), &mut kill_at, &GO_ON);
    let result = result.unwrap();
    // It may have sent more before the signal reached it.
    assert!(
        result[0] == 40 && (5..40).contains(&result[1]),
        "{result:?}"
    );
    assert_eq!(counts, (1..=40).collect::<Vec<u8>>(), "no count twice");
    assert_eq!(lost.len(), 1);
    assert!(lost[0].contains("signal: 9"), "{lost:?}");
}

#[test]
fn workers_that_end_between_calls_cost_no_try() {
    let pool = pool();
    for _ in 0..=TRIES {
        let mut on_part = |part: Part<'_>| assert!(!matches!(part, Part::Lost(_)));
        let result = pool.call(&request("count", 1), &mut on_part, &GO_ON);
        assert_eq!(result.unwrap(), [1, 0]);
        let ids = pool.process_ids();
        assert_eq!(ids.len(), 1);
        kill(&ids);
        // Killed, it is a zombie until the pool looks at it, once all of its threads have ended.
        let has_ended = || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", ids[0])).unwrap();
            let threads = std::fs::read_dir(format!("/proc/{}/task", ids[0])).unwrap();
            stat.contains(") Z") && threads.count() == 1
        };
        while !has_ended() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

#[test]
fn a_call_that_loses_every_worker_fails_with_the_last_reason() {
    let mut lost = 0;
    let mut on_part = |part: Part<'_>| lost += usize::from(matches!(part, Part::Lost(_)));
    let pool = pool();
    let error = pool.call(&request("exit", 0), &mut on_part, &GO_ON);
    let message = error.unwrap_err().to_string();
    assert!(
        message.ends_with("the worker ended with exit status: 3"),
        "{message}"
    );
    assert_eq!(lost, TRIES);
    assert_eq!(pool.process_ids(), []);
}

#[test]
fn a_reason_of_the_worker_itself_is_not_tried_again() {
    let pool = pool();
    for (name, reason) in [
        ("fail", "a failure on request"),
        ("panic", "the worker panicked: a panic on request"),
        ("other", "there is no call \"other\""),
    ] {
        let error = pool
            .call(&request(name, 0), &mut |_| (), &GO_ON)
            .unwrap_err();
        assert!(
            matches!(&error, CallError::Failed(why) if why == reason),
            "{error}"
        );
    }
    assert_eq!(pool.process_ids().len(), 1, "the worker lives on");
}

#[test]
fn stopping_brings_the_last_checkpoint_and_ends_the_worker() {
    let (pool, stop) = (pool(), AtomicBool::new(false));
    let mut last = 0;
    let mut on_part = |part: Part<'_>| {
        if let Part::Checkpoint(body) = part {
            last = body[0];
            stop.store(last >= 3, Ordering::Relaxed);
        }
    };
    let began = Instant::now();
    let stopped = pool.call(&request("count", 255), &mut on_part, &stop);
    assert!(matches!(stopped, Err(CallError::Stopped)));
    assert!((3..100).contains(&last) && began.elapsed() < Duration::from_secs(2));
    assert_eq!(pool.process_ids(), []);
    let again = pool.call(&request("count", 1), &mut |_| (), &stop);
    assert!(matches!(again, Err(CallError::Stopped)));
}

#[test]
fn a_damaged_frame_costs_the_worker() {
    let pool = pool();
    let mut reasons = Vec::new();
    let mut on_part = |part: Part<'_>| {
        if let Part::Lost(reason) = part {
            reasons.push(reason.to_owned());
        }
    };
    // The copy of standard output that frames are written to is the first free number.
    let error = pool.call(&request("damage", 3), &mut on_part, &GO_ON);
    assert!(matches!(error, Err(CallError::Lost(_))), "{error:?}");
    assert!(reasons[0].contains("the limit is"), "{reasons:?}");
    assert_eq!(
        pool.call(&request("count", 1), &mut |_| (), &GO_ON)
            .unwrap(),
        [1, 0]
    );
}

#[test]
fn prints_do_not_damage_frames_and_temporary_files_end_with_the_worker() {
    let pool = pool();
    let mut folder = None;
    let result = pool.call(
        &request("litter", 1),
        &mut |_| folder = scratch(&pool),
        &GO_ON,
    );
    assert_eq!(result.unwrap(), [1, 0]);
    let folder = folder.expect("TMPDIR is in the worker's environment");
    assert!(folder.join("litter").exists());
    drop(pool);
    assert!(!folder.exists());
}

#[test]
fn another_program_is_refused() {
    let pool = LocalPool::new(program("def"));
    let error = pool
        .call(&request("count", 1), &mut |_| (), &GO_ON)
        .unwrap_err();
    let message = error.to_string();
    assert!(message.contains("it is another program"), "{message}");
    assert_eq!(pool.process_ids(), []);
}

#[test]
fn workers_that_end_before_their_hello_cost_tries() {
    let mut mute = program("abc");
    mute.path = "/bin/false".into();
    let (mut lost, pool) = (0, LocalPool::new(mute));
    let mut on_part = |part: Part<'_>| lost += usize::from(matches!(part, Part::Lost(_)));
    let error = pool.call(&request("count", 1), &mut on_part, &GO_ON);
    assert!(matches!(error, Err(CallError::Lost(_))), "{error:?}");
    assert_eq!(lost, TRIES);
    let mut missing = program("abc");
    missing.path = "/bin/no-such-program".into();
    let pool = LocalPool::new(missing);
    let error = pool.call(&request("count", 1), &mut |_| (), &GO_ON);
    assert!(matches!(error, Err(CallError::Start(_))), "{error:?}");
}

#[test]
fn all_workers_can_be_killed_at_once() {
    let pool = pool();
    let mut folders = Vec::new();
    let mut on_part = |part: Part<'_>| {
        if let Part::Checkpoint([2]) = part {
            folders.extend(scratch(&pool));
            pool.kill_all();
        }
    };
    assert_eq!(
        pool.call(&request("count", 4), &mut on_part, &GO_ON)
            .unwrap()[0],
        4
    );
    assert!(!folders.is_empty() && folders.iter().all(|folder| !folder.exists()));
}

/// The directory of the pool's only worker.
fn scratch(pool: &LocalPool) -> Option<PathBuf> {
    let environment = std::fs::read(format!("/proc/{}/environ", pool.process_ids()[0])).ok()?;
    let mut variables = environment.split(|byte| *byte == 0);
    let found = variables.find_map(|variable| variable.strip_prefix(b"TMPDIR="))?;
    Some(PathBuf::from(String::from_utf8(found.to_vec()).ok()?))
}

fn kill(ids: &[u32]) {
    for id in ids {
        let status = std::process::Command::new("kill")
            .args(["-9", &id.to_string()])
            .status();
        assert!(status.unwrap().success());
    }
}
