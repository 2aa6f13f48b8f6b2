//! A worker that counts. The tests of the pool kill it, and ask it to misbehave.
//!
//! The body of a call is the number to count to. It counts from its checkpoint, sends every number as
//! a checkpoint, and answers with the number and the number it began from. The call `shared` is answered
//! with the shared bytes.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use workers::{Ended, Hello, PROTOCOL, Parts, Request, serve_on_standard_streams};

fn main() -> std::io::Result<()> {
    let hello = Hello {
        protocol: PROTOCOL,
        version: "1".to_owned(),
        program: std::env::args().nth(1).unwrap_or_default(),
        cpu: "any".to_owned(),
    };
    let stop = Arc::new(AtomicBool::new(false));
    serve_on_standard_streams(&hello, &stop, &answer)
}

fn answer(request: &Request, parts: &Parts, stop: &AtomicBool) -> Result<Vec<u8>, Ended> {
    let number = |bytes: &[u8]| bytes.first().copied().unwrap_or(0);
    let (target, first) = (
        number(&request.body),
        number(request.checkpoint.as_deref().unwrap_or(&[])),
    );
    match request.name.as_str() {
        "count" => {}
        "shared" => {
            let shared = request.shared.as_ref();
            return Ok(shared.map_or_else(Vec::new, |shared| shared.body().to_vec()));
        }
        "fail" => return Err(Ended::Failed("a failure on request".to_owned())),
        "panic" => panic!("a panic on request"),
        "exit" => std::process::exit(3),
        // Behind the frames' back: an oversized length.
        "damage" => {
            let _ = std::fs::File::options()
                .write(true)
                .open(format!("/proc/self/fd/{target}"))
                .and_then(|mut out| out.write_all(&[0xff; 8]));
        }
        "litter" => {
            println!("this is not a frame");
            std::fs::write(std::env::temp_dir().join("litter"), "").expect("TMPDIR is writable");
        }
        name => return Err(Ended::Failed(format!("there is no call {name:?}"))),
    }
    for count in first + 1..=target {
        if stop.load(Ordering::Relaxed) {
            return Err(Ended::Stopped);
        }
        parts.send_checkpoint(vec![count]);
        parts.send(b"counted".to_vec());
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(vec![target, first])
}
