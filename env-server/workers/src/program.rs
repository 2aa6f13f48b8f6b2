//! The program of a pool's workers; mostly this one.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use crate::frame::{Hello, PROTOCOL};
use crate::share::sha256;

/// The program of a pool's workers.
#[derive(Clone, Debug)]
pub struct Program {
    /// Path of the program.
    pub path: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Its hello; a worker with another one is refused.
    pub hello: Hello,
}

impl Program {
    /// Returns this program, of this version, which computes as a `cpu` of this class does.
    ///
    /// # Errors
    /// When the program's file cannot be read.
    pub fn own(arguments: Vec<OsString>, version: &str, cpu: String) -> io::Result<Self> {
        // A child may look at itself where others may not.
        let path = own_file("self");
        let hello = Hello {
            protocol: PROTOCOL,
            version: version.to_owned(),
            program: sha256(&std::fs::read(&path)?),
            cpu,
        };
        Ok(Self {
            path,
            arguments,
            hello,
        })
    }

    /// Returns the file of this program, as processes see it that run another program.
    pub fn own_file_for_others() -> PathBuf {
        own_file(&std::process::id().to_string())
    }
}

/// The file of this program. On Linux, replacing the file does not change it: `process` is how the reader
/// names this process there.
fn own_file(process: &str) -> PathBuf {
    if cfg!(target_os = "linux") {
        return format!("/proc/{process}/exe").into();
    }
    std::env::current_exe().unwrap_or_default()
}
