//! Settings from flags, variables and a file, as the program resolves them.

use std::path::PathBuf;
use std::process::Output;

use crate::program::program;

struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Files { folder }
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

fn print_config(args: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = program();
    command.args(["serve", "--print-config"]).args(args);
    command.envs(variables.iter().copied());
    command.output().unwrap()
}

fn printed(args: &[&str], variables: &[(&str, &str)]) -> String {
    let output = print_config(args, variables);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

fn refused(args: &[&str], variables: &[(&str, &str)]) -> String {
    let output = print_config(args, variables);
    assert!(!output.status.success(), "{args:?} {output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn flags_override_variables_and_variables_override_the_file() {
    let files = Files::new();
    let text = "max_envs = 1\nmax_lanes = 2\nmax_body_bytes = 3\nlisten = \"127.0.0.1:1\"\ninsecure = true\n";
    let file = files.write("s.toml", text);
    let config = ["--config", file.to_str().unwrap()];
    let variables = [
        ("ENV_SERVER_MAX_LANES", "20"),
        ("ENV_SERVER_MAX_ENVS", "10"),
    ];
    let text = printed(&[&config[..], &["--max-envs", "100"]].concat(), &variables);
    for line in [
        "listen = \"127.0.0.1:1\"  # \"".to_owned() + config[1] + "\"",
        "max_envs = 100  # --max-envs".to_owned(),
        "max_lanes = 20  # ENV_SERVER_MAX_LANES".to_owned(),
        format!("max_body_bytes = 3  # {:?}", config[1]),
        format!("insecure = true  # {:?}", config[1]),
        "drain_delay_ms = 0  # default".to_owned(),
        "# token_file is not set".to_owned(),
        "durability = \"process\"  # default".to_owned(),
    ] {
        assert!(text.lines().any(|l| l == line), "{line}\n{text}");
    }
    let named_by_variable = printed(&[], &[("ENV_SERVER_CONFIG", config[1])]);
    assert!(
        named_by_variable.contains("max_envs = 1  #"),
        "{named_by_variable}"
    );
    let unset = printed(&[&config[..], &["--insecure=false"]].concat(), &[]);
    assert!(unset.contains("insecure = false  # --insecure"), "{unset}");
    let set = printed(&["--insecure", "--log", "a=\"b\""], &[]);
    assert!(set.contains("insecure = true  # --insecure"), "{set}");
}

#[test]
fn printed_settings_can_be_read_back() {
    let files = Files::new();
    let args = [
        "--listen=[::1]:0",
        "--insecure",
        "--log=a \"quoted\" \\ filter",
        "--log-format=json",
        "--data-dir=/a/b c",
        "--durability=disk",
        "--tls-cert=c",
        "--tls-key=k",
        "--token-file=t",
        "--openenv=MemoryTask-v0",
        "--allowed-hosts=x,lab.example",
        "--allowed-origins=http://localhost:8000",
        "--otlp-endpoint=http://127.0.0.1:4318",
        "--max-memory-bytes=1099511627776",
        "--idle-timeout-ms=1",
        "--host-variables=A,B",
        "--host=gym=python3 -m \"a b\"",
    ];
    let first = printed(&args, &[]);
    assert!(!first.contains("is not set"), "{first}");
    let file = files.write("printed.toml", &first);
    let second = printed(&["--config", file.to_str().unwrap()], &[]);
    let parse = |text: &str| text.parse::<toml::Table>().unwrap();
    assert_eq!(parse(&first), parse(&second));
    assert!(!second.contains("# default"), "{second}");
}

#[test]
fn errors_name_their_place() {
    let files = Files::new();
    for (text, said) in [
        (
            "max_envs = 1\n\nmax_env = 2\n",
            &["s.toml", "line 3", "unknown field `max_env`"][..],
        ),
        ("max_envs = 1\nmax_envs = 1\n", &["line 2", "duplicate key"]),
        ("max_envs = -1\n", &["line 1", "max_envs = -1"]),
        ("max_envs = \"many\"\n", &["line 1", "expected usize"]),
        (
            "[limits]\nmax_envs = 1\n",
            &["line 1", "unknown field `limits`"],
        ),
        (
            "listen = \"localhost\"\n",
            &["line 1", "invalid socket address"],
        ),
        (
            "durability = \"none\"\n",
            &["line 1", "unknown variant `none`"],
        ),
        ("max_envs\n", &["line 1"]),
        ("max_envs = 0\n", &["max_envs must be from 1 to", "s.toml"]),
        (
            "request_timeout_ms = 0\n",
            &["request_timeout_ms must be from 1 to"],
        ),
        (
            "simulate_lane_us = 1000001\n",
            &["simulate_lane_us must be from 0 to 1000000", "s.toml"],
        ),
        (
            "simulate_lane_us = -1\n",
            &["line 1", "simulate_lane_us = -1"],
        ),
        ("tls_cert = \"c\"\n", &["tls_cert and tls_key go together"]),
        ("durability = \"disk\"\n", &["there is no data_dir"]),
        ("default_ttl_s = 700000\n", &["longer than max_ttl_s"]),
    ] {
        let file = files.write("s.toml", text);
        let error = refused(&["--config", file.to_str().unwrap()], &[]);
        for part in said {
            assert!(error.contains(part), "{text}: {error}");
        }
    }
    let missing = refused(&["--config", "/nowhere/s.toml"], &[]);
    assert!(
        missing.contains("/nowhere/s.toml cannot be read"),
        "{missing}"
    );
    let error = refused(&["--max-envs", "0"], &[]);
    assert!(
        error.contains("max_envs must be from 1") && error.contains("--max-envs"),
        "{error}"
    );
    let error = refused(&[], &[("ENV_SERVER_MAX_ENVS", "x")]);
    assert!(
        error.contains("--max-envs") && error.contains("'x'"),
        "{error}"
    );
    let error = refused(&["--max-env", "1"], &[]);
    assert!(error.contains("--max-env"), "{error}");
}
