//! The command of a host, and what its processes are given.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};

/// Variables that a host gets from the server, where they are set.
const VARIABLES: [&str; 8] = [
    "PATH",
    "LANG",
    "LC_ALL",
    "TZ",
    "PYTHONPATH",
    "VIRTUAL_ENV",
    "LD_LIBRARY_PATH",
    "SYSTEMROOT",
];

/// A program, its arguments, and the variables that it is given.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HostCommand {
    program: OsString,
    arguments: Vec<String>,
    variables: Vec<(String, OsString)>,
}

impl HostCommand {
    /// Reads a command line as a shell would, without variables and patterns. `further` are names
    /// of variables to pass on in addition.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub(crate) fn read(line: &str, further: &[String]) -> Result<Self, String> {
        let mut words =
            shlex::split(line).ok_or("a quotation mark is not closed, or a \\ ends it")?;
        if words.is_empty() {
            return Err("it is empty".to_owned());
        }
        let program = words.remove(0);
        // The process has another working directory.
        let program = match program.contains(std::path::is_separator) {
            true => std::path::absolute(&program)
                .map_err(|error| format!("{program}: {error}"))?
                .into_os_string(),
            false => program.into(),
        };
        let names = VARIABLES
            .into_iter()
            .chain(further.iter().map(String::as_str));
        let variables = names.filter_map(|name| Some((name.to_owned(), std::env::var_os(name)?)));
        Ok(Self {
            program,
            arguments: words,
            variables: variables.collect(),
        })
    }

    /// Returns the command of a process with a folder of its own.
    pub(crate) fn in_folder(&self, folder: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .env_clear()
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .env("HOME", folder)
            .env("TMPDIR", folder)
            .current_dir(folder)
            .stderr(Stdio::piped());
        command
    }

    /// Returns the program, for messages.
    pub(crate) fn program(&self) -> String {
        self.program.to_string_lossy().into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_split_as_a_shell_splits_it() {
        let command = HostCommand::read("python -m 'my host' A-v0", &[]).unwrap();
        assert_eq!(command.program, "python");
        assert_eq!(command.arguments, ["-m", "my host", "A-v0"]);
        assert!(HostCommand::read("python 'A", &[]).is_err());
        assert!(HostCommand::read("  ", &[]).is_err());
    }

    #[test]
    fn a_path_does_not_depend_on_the_working_directory() {
        let command = HostCommand::read("./a b", &[]).unwrap();
        assert!(Path::new(&command.program).is_absolute());
        assert_eq!(command.arguments, ["b"]);
    }

    #[test]
    fn a_process_gets_named_variables_only() {
        let command = HostCommand::read("a", &["CARGO_PKG_NAME".to_owned()]).unwrap();
        let command = command.in_folder(Path::new("/folder"));
        let given: Vec<_> = command
            .get_envs()
            .map(|(name, _)| name.to_owned())
            .collect();
        assert!(given.contains(&"CARGO_PKG_NAME".into()));
        assert!(given.contains(&"HOME".into()));
        assert!(!given.contains(&"CARGO_PKG_VERSION".into()));
    }
}
