//! The input of a process that speaks frames, and what the process holds.

use std::io;
use std::process::ChildStdin;

use crate::frame::{self, Frame};
use crate::share::Shared;

/// The open end of a process's standard input.
#[derive(Debug)]
pub(crate) struct Input {
    /// Closed to tell the process to stop.
    stream: Option<ChildStdin>,
    /// Id of the share that the process has received last; it keeps no other.
    holds: Option<String>,
}

impl Input {
    /// The input of a process that holds nothing.
    pub(crate) fn new(stream: ChildStdin) -> Self {
        Self {
            stream: Some(stream),
            holds: None,
        }
    }

    /// Sends a call, and before it the share that it names, unless the process holds that.
    ///
    /// # Errors
    /// As [`Input::send`].
    pub(crate) fn call(&mut self, call: &Frame, shared: Option<&Shared>) -> Result<(), String> {
        if let Some(shared) = shared
            && self.holds.as_deref() != Some(shared.id())
        {
            self.send(&Frame::Share(shared.clone()))?;
            self.holds = Some(shared.id().to_owned());
        }
        self.send(call)
    }

    /// Sends a frame. If the process has ended, its output says so.
    ///
    /// # Errors
    /// The reason why the frame is too long; nothing of it is sent.
    pub(crate) fn send(&mut self, frame: &Frame) -> Result<(), String> {
        let Some(stream) = &mut self.stream else {
            return Ok(());
        };
        match frame::write(stream, frame) {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Err(error.to_string()),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Ends the input.
    pub(crate) fn close(&mut self) {
        self.stream = None;
    }
}
