//! The worker's side on pipes: calls that name shared bytes.

use std::io::{ErrorKind, PipeReader, PipeWriter};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;

use workers::frame::{self, Frame, Hello};
use workers::{PROTOCOL, Shared, serve};

/// A worker in a thread, which answers with the shared bytes.
struct Worker {
    input: PipeWriter,
    output: PipeReader,
    thread: JoinHandle<std::io::Result<()>>,
}

fn start() -> Worker {
    let (ours, input) = std::io::pipe().unwrap();
    let (mut output, theirs) = std::io::pipe().unwrap();
    let hello = Hello {
        protocol: PROTOCOL,
        version: "1".to_owned(),
        program: "abc".to_owned(),
        cpu: "any".to_owned(),
    };
    let thread = std::thread::spawn(move || {
        let stop = Arc::new(AtomicBool::new(false));
        serve(ours, theirs, &hello, &stop, &|request, _, _| {
            let shared = request.shared.as_ref();
            Ok(shared.map_or(&b"nothing"[..], Shared::body).to_vec())
        })
    });
    let hello = frame::read(&mut output).unwrap();
    assert!(matches!(hello, Some(Frame::Hello(_))));
    Worker {
        input,
        output,
        thread,
    }
}

impl Worker {
    fn send(&mut self, frame: &Frame) {
        frame::write(&mut self.input, frame).unwrap();
    }

    /// Makes a call that names this share; returns its result, or why it failed.
    fn call(&mut self, id: u64, shared: Option<&Shared>) -> Result<Vec<u8>, String> {
        self.send(&Frame::Call {
            id,
            name: "any".to_owned(),
            body: Vec::new(),
            checkpoint: None,
            shared: shared.map(|shared| shared.id().to_owned()),
            seat: Some(9),
        });
        match frame::read(&mut self.output).unwrap() {
            Some(Frame::Done { id: of, body }) if of == id => Ok(body),
            Some(Frame::Failed { id: of, reason }) if of == id => Err(reason),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_worker_keeps_the_latest_share_and_fails_calls_that_need_another() {
    let mut worker = start();
    let [first, second] = [b"first", b"other"].map(|body| Shared::new(body.to_vec()));
    let missing = |shared: &Shared| {
        let id = shared.id();
        Err(format!("the call needs the share {id}, which was not sent"))
    };
    assert_eq!(worker.call(1, Some(&first)), missing(&first));
    worker.send(&Frame::Share(first.clone()));
    assert_eq!(worker.call(2, Some(&first)).unwrap(), b"first");
    assert_eq!(worker.call(3, None).unwrap(), b"nothing");
    assert_eq!(worker.call(4, Some(&first)).unwrap(), b"first");
    worker.send(&Frame::Share(second.clone()));
    assert_eq!(worker.call(5, Some(&first)), missing(&first));
    assert_eq!(worker.call(6, Some(&second)).unwrap(), b"other");
    drop(worker.input);
    worker.thread.join().unwrap().unwrap();
}

#[test]
fn a_share_of_other_bytes_ends_the_worker() {
    let mut worker = start();
    let mut wire = Vec::new();
    frame::write(&mut wire, &Frame::Share(Shared::new(b"first".to_vec()))).unwrap();
    *wire.last_mut().unwrap() ^= 1;
    std::io::Write::write_all(&mut worker.input, &wire).unwrap();
    let error = worker.thread.join().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert!(
        error.to_string().contains("a share of the bytes"),
        "{error}"
    );
}
