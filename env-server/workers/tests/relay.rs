//! A pool behind a relay that follows a script. It loses workers, misbehaves, and is killed.
#![cfg(target_os = "linux")]

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use workers::{CallError, Part, Pool as _, RelayError, RelayPool, Request, Shared};

static GO_ON: AtomicBool = AtomicBool::new(false);

fn command(script: &str) -> Command {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.push("examples/scripted_relay");
    assert!(path.exists(), "cargo builds examples with all tests");
    let mut command = Command::new(path);
    command.arg(script);
    command
}

fn pool() -> RelayPool {
    RelayPool::start(command(""), "abc", |_| ()).unwrap()
}

fn request(name: &str, body: &[u8]) -> Request {
    Request {
        name: name.to_owned(),
        body: body.to_vec(),
        checkpoint: None,
        shared: None,
    }
}

fn call(pool: &RelayPool, name: &str) -> Result<Vec<u8>, CallError> {
    pool.call(&request(name, b"body"), &mut |_| (), &GO_ON)
}

#[test]
fn it_says_what_the_relay_has_found() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = Arc::clone(&told);
    let warn = move |text: &str| tell.lock().unwrap().push(text.to_owned());
    let pool = RelayPool::start(command(""), "abc", warn).unwrap();
    assert_eq!((pool.ready().slots, pool.ready().nodes), (3, 2));
    assert_eq!(call(&pool, "warn").unwrap(), b"body");
    assert_eq!(*told.lock().unwrap(), ["slow", "another CPU"]);
}

#[test]
fn calls_are_made_at_once_and_answers_reach_their_own() {
    let pool = pool();
    std::thread::scope(|scope| {
        let held: Vec<_> = (0..8_u8)
            .map(|number| {
                let pool = &pool;
                scope.spawn(move || {
                    let mut parts = Vec::new();
                    let mut on_part = |part: Part<'_>| match part {
                        Part::Sent(body) => parts.extend_from_slice(body),
                        other => panic!("{other:?}"),
                    };
                    let result = pool.call(&request("hold", &[number]), &mut on_part, &GO_ON);
                    (result.unwrap(), parts)
                })
            })
            .collect();
        // A call may reach the relay after the first release; they are released until all are done.
        while !held.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            assert_eq!(call(&pool, "release").unwrap(), b"body");
        }
        for (number, held) in (0..8_u8).zip(held) {
            assert_eq!(held.join().unwrap(), (vec![number], vec![number]));
        }
    });
}

#[test]
fn a_relay_gets_shared_bytes_once_and_calls_know_their_seat() {
    let pool = pool();
    let [first, second] = [b"first", b"other"].map(|body| Shared::new(body.to_vec()));
    let needs = |shared: &Shared| Request {
        shared: Some(shared.clone()),
        ..request("shared", b"")
    };
    let mut calls = [&first, &first, &second, &second, &first].into_iter();
    for expected in [1, 1, 2, 2, 3] {
        let shared = calls.next().unwrap();
        let answer = pool.call(&needs(shared), &mut |_| (), &GO_ON).unwrap();
        assert_eq!((answer[0], answer[1]), (expected, 0));
        assert_eq!(&answer[2..], shared.body());
    }
    let seats = [4, 7].map(|number| pool.seat(number));
    for (seat, number) in seats.iter().zip([4, 7]) {
        let answer = seat.call(&needs(&first), &mut |_| (), &GO_ON).unwrap();
        assert_eq!(answer, [&[3, number][..], b"first"].concat());
    }
    // This one needs no bytes and has no seat.
    assert_eq!(call(&pool, "shared").unwrap(), [3, 0]);
}

/// The relay of this test ends if a call names other bytes than came last.
#[test]
fn calls_of_many_threads_have_their_own_shared_bytes() {
    let pool = pool();
    std::thread::scope(|scope| {
        for number in 0..8_u8 {
            let seat = pool.seat(u64::from(number));
            scope.spawn(move || {
                let shared = Shared::new(vec![number; 1_000]);
                let call = Request {
                    shared: Some(shared.clone()),
                    ..request("shared", b"")
                };
                for _ in 0..50 {
                    let answer = seat.call(&call, &mut |_| (), &GO_ON).unwrap();
                    assert_eq!((answer[1], &answer[2..]), (number, shared.body()));
                }
            });
        }
    });
}

#[test]
fn a_lost_worker_is_told_and_the_relay_goes_on() {
    let pool = pool();
    let mut came = Vec::new();
    let mut on_part = |part: Part<'_>| {
        came.push(match part {
            Part::Checkpoint(body) => String::from_utf8(body.to_vec()).unwrap(),
            Part::Lost(reason) => reason.to_owned(),
            Part::Sent(_) => panic!("the script sends no progress"),
        });
    };
    let result = pool.call(&request("lose", b"body"), &mut on_part, &GO_ON);
    assert_eq!(result.unwrap(), b"body");
    assert_eq!(came, ["1", "its node died", "2"]);
}

#[test]
fn the_last_loss_and_a_failure_end_their_call_alone() {
    let pool = pool();
    let lost = call(&pool, "lose-all").unwrap_err();
    assert_eq!(
        lost.to_string(),
        "its worker was lost 3 times; the last time: three"
    );
    let failed = call(&pool, "fail").unwrap_err();
    assert!(
        matches!(&failed, CallError::Failed(why) if why == "a failure on request"),
        "{failed}"
    );
    assert_eq!(call(&pool, "strangers").unwrap(), b"body");
}

#[test]
fn stopping_brings_the_last_checkpoint() {
    let (pool, stop) = (pool(), AtomicBool::new(false));
    let mut last = Vec::new();
    let mut on_part = |part: Part<'_>| match part {
        Part::Sent(_) => stop.store(true, Ordering::Relaxed),
        Part::Checkpoint(body) => last = body.to_vec(),
        Part::Lost(reason) => panic!("{reason}"),
    };
    let stopped = pool.call(&request("wait", b""), &mut on_part, &stop);
    assert!(matches!(stopped, Err(CallError::Stopped)), "{stopped:?}");
    assert_eq!(last, b"the last checkpoint");
    let again = pool.call(&request("fail", b""), &mut |_| (), &stop);
    assert!(matches!(again, Err(CallError::Stopped)), "{again:?}");
}

#[test]
fn a_relay_that_is_lost_ends_all_calls_and_later_ones() {
    for (name, reason) in [
        ("damage", "the limit is"),
        ("odd", "a frame that relays do not send"),
        ("exit", "the relay ended with exit status: 3"),
        ("kill", "the relay ended with signal: 9"),
    ] {
        let pool = pool();
        std::thread::scope(|scope| {
            let (sender, began) = std::sync::mpsc::channel();
            let pool = &pool;
            let waiting = scope.spawn(move || {
                let mut on_part = |_: Part<'_>| sender.send(()).unwrap();
                pool.call(&request("wait", b""), &mut on_part, &GO_ON)
            });
            began.recv().unwrap();
            match name {
                "kill" => kill(pool.process_id()),
                name => check(&call(pool, name).unwrap_err(), reason),
            }
            check(&waiting.join().unwrap().unwrap_err(), reason);
        });
        let began = Instant::now();
        check(&call(&pool, "fail").unwrap_err(), reason);
        assert!(began.elapsed() < Duration::from_secs(1));
        assert!(!lives(pool.process_id()), "{name}");
    }
}

fn check(error: &CallError, reason: &str) {
    let text = error.to_string();
    assert!(matches!(error, CallError::Relay(_)), "{text}");
    assert!(
        text.starts_with("the relay to the cluster is lost: ") && text.contains(reason),
        "{text}"
    );
}

#[test]
fn a_relay_that_cannot_be_used_is_refused() {
    for (script, reason) in [
        ("refuse", "there is no cluster"),
        ("other-program", "its program is def, not abc"),
        ("other-protocol", "its protocol is 3, not 2"),
        ("odd", "its first frame is not its own"),
        ("exit", "the relay ended with exit status: 4"),
    ] {
        let refused = RelayPool::start(command(script), "abc", |_| ()).unwrap_err();
        assert!(refused.to_string().contains(reason), "{refused}");
    }
    let missing = RelayPool::start(Command::new("/bin/no-such-program"), "abc", |_| ());
    assert!(matches!(missing, Err(RelayError::Start(_))));
}

#[test]
fn the_relay_ends_with_its_pool() {
    let first = pool();
    let id = first.process_id();
    drop(first);
    assert!(!lives(id));
    let second = pool();
    second.close();
    assert!(!lives(second.process_id()));
    assert!(matches!(call(&second, "fail"), Err(CallError::Relay(_))));
    let third = pool();
    third.kill_all();
    assert!(!lives(third.process_id()));
}

/// Whether a process is there. The pool waits for processes that have ended.
fn lives(id: u32) -> bool {
    std::path::Path::new(&format!("/proc/{id}")).exists()
}

fn kill(id: u32) {
    let status = Command::new("kill").args(["-9", &id.to_string()]).status();
    assert!(status.unwrap().success());
}
