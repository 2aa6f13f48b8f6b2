//! A relay without machines. The tests of the pool ask it to lose workers, and to misbehave.
//!
//! The name of a call says what happens to it.

use std::io::{self, Write as _};

use workers::frame::{self, Frame};
use workers::{PROTOCOL, Ready, Shared};

fn main() -> io::Result<()> {
    let first = match std::env::args().nth(1).as_deref() {
        Some("refuse") => Frame::Refused {
            reason: "there is no cluster".to_owned(),
        },
        Some("other-program") => ready(PROTOCOL, "def"),
        Some("other-protocol") => ready(PROTOCOL + 1, "abc"),
        Some("odd") => Frame::Stop { id: 1 },
        Some("exit") => std::process::exit(4),
        _ => ready(PROTOCOL, "abc"),
    };
    send(&first)?;
    let mut held = Vec::new();
    let mut shares = 0;
    let mut latest: Option<Shared> = None;
    while let Some(frame) = frame::read(&mut io::stdin())? {
        match frame {
            Frame::Share(shared) => {
                shares += 1;
                latest = Some(shared);
            }
            Frame::Call {
                id,
                name,
                shared,
                seat,
                ..
            } if name == "shared" => {
                let latest = latest.as_ref().filter(|_| shared.is_some());
                if latest.map(Shared::id) != shared.as_deref() {
                    std::process::exit(6);
                }
                // How often something was shared, whose call it is, and what it needs.
                let seat = seat.map_or(0, |seat| seat as u8);
                let body = latest.map_or(&[][..], Shared::body);
                let body = [&[shares, seat], body].concat();
                send(&Frame::Done { id, body })?;
            }
            Frame::Call { id, name, body, .. } if name == "hold" => held.push((id, body)),
            Frame::Call { id, name, body, .. } if name == "release" => {
                // The last call first.
                while let Some((id, body)) = held.pop() {
                    part(id, false, &body)?;
                    send(&Frame::Done { id, body })?;
                }
                send(&Frame::Done { id, body })?;
            }
            Frame::Call { id, name, body, .. } => answer(id, &name, body)?,
            Frame::Stop { id } => {
                part(id, true, b"the last checkpoint")?;
                send(&Frame::Stopped { id })?;
            }
            _ => std::process::exit(5),
        }
    }
    Ok(())
}

fn answer(id: u64, name: &str, body: Vec<u8>) -> io::Result<()> {
    let lose = |reason: &str| {
        send(&Frame::Lost {
            id,
            reason: reason.to_owned(),
        })
    };
    match name {
        // Until it is stopped.
        "wait" => part(id, false, b"waiting"),
        "lose" => {
            part(id, true, b"1")?;
            lose("its node died")?;
            part(id, true, b"2")?;
            send(&Frame::Done { id, body })
        }
        "lose-all" => ["one", "two", "three"].into_iter().try_for_each(lose),
        "fail" => send(&Frame::Failed {
            id,
            reason: "a failure on request".to_owned(),
        }),
        "strangers" => {
            let stranger = id + 1_000;
            part(stranger, true, b"for nobody")?;
            send(&Frame::Lost {
                id: stranger,
                reason: "for nobody".to_owned(),
            })?;
            send(&Frame::Done { id, body })
        }
        "warn" => {
            send(&Frame::Warning {
                text: "another CPU".to_owned(),
            })?;
            send(&Frame::Done { id, body })
        }
        "damage" => {
            let mut out = io::stdout();
            out.write_all(&[0xff; 8])?;
            out.flush()
        }
        "odd" => send(&Frame::Stop { id }),
        "exit" => std::process::exit(3),
        name => send(&Frame::Failed {
            id,
            reason: format!("there is no call {name:?}"),
        }),
    }
}

fn ready(protocol: u32, program: &str) -> Frame {
    Frame::Ready(Ready {
        protocol,
        slots: 3,
        nodes: 2,
        warnings: vec!["slow".to_owned()],
        program: program.to_owned(),
    })
}

fn part(id: u64, is_checkpoint: bool, body: &[u8]) -> io::Result<()> {
    send(&Frame::Part {
        id,
        is_checkpoint,
        body: body.to_vec(),
    })
}

fn send(frame: &Frame) -> io::Result<()> {
    frame::write(&mut io::stdout(), frame)
}
