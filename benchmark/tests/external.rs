//! Whole runs of external programs: the shipped examples, and programs that fail or cheat in every
//! known way. They need `python3`, `sh` and `curl`.

mod workplace;

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use workplace::{Finished, Workplace, interrupt, rows};

const PLAN: &str = r#"
    [[agents]]
    name = "ppo"
    algorithm = "ppo"
    optional = true
    [[experiments]]
    name = "delay-3-hard"
    env = "MemoryTask-v0"
    total_timesteps = 100
    env_args = { delay = 3, difficulty = 1 }
    evaluation = { episodes = 40, delays = [5], delay_episodes = 20 }
"#;

/// A program in the test's folder that trains with a given number of lanes until it is stopped, and
/// then plays as the oracle.
const GREEDY_LEARNER: &str = r#"
import json, os, sys, urllib.request, urllib.error
S, T = os.environ["STRATEGIC_MEMORY_SERVER"], os.environ["STRATEGIC_MEMORY_TOKEN"]
def api(method, path, body=None, token=T):
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    request = urllib.request.Request(S + path, data, headers, method=method)
    return json.load(urllib.request.urlopen(request))
if os.environ["STRATEGIC_MEMORY_PHASE"] == "train":
    body = {"spec_id": os.environ["STRATEGIC_MEMORY_SPEC"], "num_envs": 8, "autoreset_mode": "SameStep",
            "kwargs": json.loads(os.environ["STRATEGIC_MEMORY_KWARGS"])}
    api("PUT", "/v1/vector-envs/mine", body)
    api("POST", "/v1/vector-envs/mine/reset", {"seed": int(os.environ["STRATEGIC_MEMORY_SEED"])})
    steps = 0
    while steps < int(os.environ.get("WANTED", "1000000")):
        try:
            api("POST", "/v1/vector-envs/mine/step", {"actions": [0] * 8})
            steps += 8
        except urllib.error.HTTPError as error:
            problem = json.load(error)
            assert problem["code"] == "budget-exceeded" and not problem["retryable"], problem
            if os.environ.get("COPES") == "no":
                raise
            break
    with open(os.environ["STRATEGIC_MEMORY_WORKDIR"] + "/training", "w") as file:
        file.write(S + " " + T)
    sys.exit()
exec(os.environ.get("BEFORE", ""))
exec(open(os.environ["ORACLE"]).read())
exec(os.environ.get("AFTER", ""))
"#;

fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("external");
    path.join(name).display().to_string()
}

/// Runs external programs on the plan and returns the rows as JSON.
fn run(place: &Workplace, contenders: &[(&str, String)], more: &[&str]) -> (Finished, Vec<Value>) {
    let contenders: Vec<String> = contenders
        .iter()
        .map(|(name, command)| format!("{name}={command}"))
        .collect();
    let mut arguments = vec!["--experiments", "plan.toml", "--name", "x", "--json"];
    for contender in &contenders {
        arguments.extend(["--external", contender]);
    }
    arguments.extend(more);
    let finished = place.run(&arguments);
    let rows = rows(&finished.stdout);
    (finished, rows)
}

/// Returns the command of [`GREEDY_LEARNER`] with these variables.
fn learner(place: &Workplace, variables: &[(&str, &str)]) -> String {
    std::fs::write(place.path("learner.py"), GREEDY_LEARNER).unwrap();
    let mut words = vec!["env".to_owned(), format!("ORACLE={}", example("oracle.py"))];
    words.extend(
        variables
            .iter()
            .map(|(name, value)| format!("{name}={value}")),
    );
    words.extend(["python3".to_owned(), "learner.py".to_owned()]);
    shlex::try_join(words.iter().map(String::as_str)).unwrap()
}

/// Runs a single program and returns the reason why its row failed.
fn reason(place: &Workplace, command: &str, more: &[&str]) -> String {
    let (finished, rows) = run(place, &[("x", command.to_owned())], more);
    assert_eq!(finished.code, Some(1), "{}", finished.stderr);
    let [row] = rows.as_slice() else {
        panic!("{}", finished.stdout)
    };
    row["error"]
        .as_str()
        .unwrap_or_else(|| panic!("{row}"))
        .to_owned()
}

#[test]
fn the_examples_compete() {
    let place = Workplace::new(PLAN);
    let contenders = [
        ("random", example("random.sh")),
        ("oracle", format!("python3 {}", example("oracle.py"))),
        ("driven", format!("python3 {}", example("driven_oracle.py"))),
    ];
    let (finished, mut rows) = run(&place, &contenders, &["--jobs", "2"]);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    rows.sort_by_key(|row| row["agent"].to_string());
    let [driven, oracle, random] = rows.as_slice() else {
        panic!("{}", finished.stdout)
    };
    for row in &rows {
        assert_eq!(
            (&row["external"], &row["episodes"]),
            (&true.into(), &40.into())
        );
        assert_eq!(row["trained_steps"], 0);
    }
    // Forty fair guesses exceed ±0.8 about once in 10^7 runs. The program's seed is fixed, only the
    // cues vary.
    let guessed = random["mean_return"].as_f64().unwrap();
    assert!(guessed.abs() < 0.8, "{guessed}");
    assert_eq!(oracle["mean_return"], 1.0);
    for alone in [random, oracle] {
        assert_eq!(alone["scrambled_return"], Value::Null);
        assert_eq!(alone["emptied_return"], Value::Null);
    }
    assert_eq!(
        (&driven["mean_return"], &driven["scrambled_return"]),
        (&1.0.into(), &1.0.into())
    );
    // Without memory, it answers with the bit that it sees: a fair bit that is not the cue.
    let emptied = driven["emptied_return"].as_f64().unwrap();
    assert!(emptied.abs() < 0.8, "{emptied}");

    assert_records_of_the_examples(&place);
    let report = place.read("runs/x/report.html");
    assert!(report.contains("memory not tested") && report.contains(">external<"));
}

/// Checks which modes were evaluated over how many episodes, at each delay.
fn assert_records_of_the_examples(place: &Workplace) {
    let records = place.records("x");
    let of = |name: &str| {
        records
            .iter()
            .find(|record| record["agent"]["name"] == *name)
            .unwrap()
    };
    let modes = |name| evaluations(of(name));
    let expected = |rows: &[(u64, &str, f64)]| -> Vec<_> {
        rows.iter()
            .map(|(delay, mode, episodes)| (*delay, (*mode).to_owned(), *episodes))
            .collect()
    };
    assert_eq!(
        modes("oracle"),
        expected(&[(3, "greedy", 40.0), (5, "greedy", 20.0)])
    );
    assert_eq!(
        modes("driven"),
        expected(&[
            (3, "greedy", 40.0),
            (3, "sampled", 40.0),
            (3, "scrambled", 40.0),
            (3, "emptied", 40.0),
            (5, "greedy", 20.0),
            (5, "scrambled", 20.0),
        ])
    );
    let command = of("oracle")["result"]["hyperparameters"]["command"]
        .as_str()
        .unwrap();
    assert!(command.contains("oracle.py"));
}

#[test]
fn the_guide_shows_the_example_program() {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/bring-your-own-agent.md");
    let guide = std::fs::read_to_string(guide).unwrap();
    let oracle = std::fs::read_to_string(example("oracle.py")).unwrap();
    assert!(guide.contains(&format!("```python\n{oracle}```")));
}

#[test]
fn the_server_counts_steps_and_a_spent_budget_is_noted() {
    let place = Workplace::new(PLAN);
    let thrifty = learner(&place, &[("WANTED", "40")]);
    let (finished, rows) = run(
        &place,
        &[("thrifty", thrifty), ("greedy", learner(&place, &[]))],
        &["--jobs", "1"],
    );
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    let row = |name: &str| rows.iter().find(|row| row["agent"] == *name).unwrap();
    assert_eq!(row("thrifty")["trained_steps"], 40);
    assert_eq!(row("thrifty").get("notes"), None);
    // Twelve steps of eight lanes are 96 of 100; a thirteenth does not fit.
    assert_eq!(row("greedy")["trained_steps"], 96);
    assert_eq!(row("greedy")["mean_return"], 1.0);
    let note = "it asked for more than its budget of 100 steps: 1 request was refused in training";
    assert_eq!(row("greedy")["notes"], serde_json::json!([note]));
    let place = Workplace::new(PLAN);
    let reason = reason(&place, &learner(&place, &[("COPES", "no")]), &[]);
    assert!(
        reason.starts_with("training ended with exit status: 1; its last words: "),
        "{reason}"
    );
    assert!(
        reason.contains("HTTP Error 403") && reason.ends_with(note),
        "{reason}"
    );
}

#[test]
fn breaking_the_rules_fails_the_row() {
    let look = r#"
id = os.environ["STRATEGIC_MEMORY_ENV_IDS"].split()[0]
try: api("GET", f"/v1/vector-envs/{id}/snapshot")
except urllib.error.HTTPError as error: assert error.code == 403
"#;
    let choose = r#"
id = os.environ["STRATEGIC_MEMORY_ENV_IDS"].split()[0]
try: api("POST", f"/v1/vector-envs/{id}/reset", {"seed": 1})
except urllib.error.HTTPError as error: assert error.code == 403
"#;
    let crash = format!("{look}\nsys.exit(7)");
    for (when, cheat, expected) in [
        (
            "BEFORE",
            look,
            "it asked for what an evaluation token may not do: GET /v1/vector-envs/judged-",
        ),
        (
            "AFTER",
            look,
            "it asked for what an evaluation token may not do: GET /v1/vector-envs/judged-",
        ),
        (
            "BEFORE",
            &crash,
            "it asked for what an evaluation token may not do: GET /v1/vector-envs/judged-",
        ),
        (
            "BEFORE",
            choose,
            "it asked for what an evaluation token may not do: a reset with a seed or options (1 request in all)",
        ),
    ] {
        let place = Workplace::new(PLAN);
        let reason = reason(
            &place,
            &learner(&place, &[("WANTED", "40"), (when, cheat)]),
            &[],
        );
        assert!(reason.starts_with(expected), "{reason}");
    }
}

#[test]
fn training_leaves_nothing_behind_for_evaluation() {
    let place = Workplace::new(PLAN);
    let train_on = r#"
server, token = open(os.environ["STRATEGIC_MEMORY_WORKDIR"] + "/training").read().split()
assert token != T and server != S
try: api("POST", "/v1/vector-envs/mine/step", {"actions": [0] * 8}, token); sys.exit(8)
except urllib.error.HTTPError as error: assert error.code == 401, error
try: urllib.request.urlopen(server + "/healthz"); sys.exit(9)
except urllib.error.URLError as error: assert isinstance(error.reason, ConnectionRefusedError), error
"#;
    let contender = learner(&place, &[("WANTED", "40"), ("BEFORE", train_on)]);
    let (finished, rows) = run(&place, &[("x", contender)], &[]);
    assert_eq!(finished.code, Some(0), "{}{rows:?}", finished.stderr);
    assert_eq!(rows[0]["trained_steps"], 40);
    assert_eq!(rows[0]["mean_return"], 1.0);
}

#[test]
fn a_program_that_fails_has_no_score() {
    let place = Workplace::new(PLAN);
    let reason_of = |command: &str| reason(&place, command, &[]);
    assert_eq!(
        reason_of("true"),
        "it left 40 of 40 evaluation episodes at delay 3 unfinished"
    );
    assert_eq!(
        reason_of("no-such-program --fast"),
        "cannot start \"no-such-program\": No such file or directory (os error 2)"
    );
    assert_eq!(
        reason_of("sh -c 'echo out; echo one >&2; echo two >&2; exit 3'"),
        "training ended with exit status: 3; its last words: one | two"
    );
    assert_eq!(
        reason_of("sh -c 'kill -9 $$'"),
        "training ended with signal: 9 (SIGKILL), without a word"
    );
    assert_eq!(
        reason_of("sh -c 'test $STRATEGIC_MEMORY_PHASE = train || exit 4'"),
        "evaluation ended with exit status: 4, without a word"
    );
    let dies =
        "test $STRATEGIC_MEMORY_PHASE = train || { echo listening on http://127.0.0.1:9; exit 5; }";
    assert_eq!(
        reason_of(&shlex::try_join(["sh", "-c", dies]).unwrap()),
        "evaluation ended with exit status: 5; its last words: listening on http://127.0.0.1:9"
    );
}

/// Returns delay, mode and number of episodes of a record's evaluations.
fn evaluations(record: &Value) -> Vec<(u64, String, f64)> {
    let judged = record["result"]["evaluations"].as_array().unwrap();
    let row = |judged: &Value| {
        let mode = judged["mode"].as_str().unwrap().to_owned();
        let episodes = judged["episodes"].as_f64().unwrap();
        (judged["delay"].as_u64().unwrap(), mode, episodes)
    };
    judged.iter().map(row).collect()
}

/// A program that plays the environments it is given, notes the right answer of each lane, and then
/// listens for requests gains nothing by it.
#[test]
fn playing_first_tells_nothing_about_driven_evaluations() {
    let peek = r#"
seen = []
for id in os.environ["STRATEGIC_MEMORY_ENV_IDS"].split():
    path = f"/v1/vector-envs/{id}"
    lanes = api("GET", path)["num_envs"]
    api("POST", path + "/reset", {})
    sums, over = [0] * lanes, [False] * lanes
    while not all(over):
        reply = api("POST", path + "/step", {"actions": [0] * lanes})
        sums = [s + (0 if o else r) for s, o, r in zip(sums, over, reply["rewards"])]
        over = [o or t for o, t in zip(over, reply["terminations"])]
    seen.append([int(s < 0) for s in sums])
text = open(os.environ["DRIVEN"]).read().replace("list(session[\"cues\"])", "answers(session)")
def answers(session):
    return next(right for right in seen if len(right) == len(session["cues"]))
exec(text)
"#;
    let place = Workplace::new(PLAN);
    let driven = example("driven_oracle.py");
    let cheat = learner(
        &place,
        &[("WANTED", "0"), ("DRIVEN", &driven), ("BEFORE", peek)],
    );
    let (finished, rows) = run(&place, &[("peek", cheat)], &[]);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    let [row] = rows.as_slice() else {
        panic!("{}", finished.stdout)
    };
    // Its answers do not depend on the cue, so about half of the forty are right.
    for mode in ["mean_return", "scrambled_return", "emptied_return"] {
        let score = row[mode].as_f64().unwrap();
        assert!(score.abs() < 0.8, "{mode}: {score}");
    }
}

#[test]
fn a_plan_may_have_only_external_programs() {
    let rows = PLAN.find("[[experiments]]").unwrap();
    let place = Workplace::new(&PLAN[rows..]);
    let contender = ("random", example("random.sh"));
    let (finished, rows) = run(&place, &[contender], &[]);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert_eq!(rows.len(), 1, "{}", finished.stdout);
    let alone = place.run(&["--experiments", "plan.toml", "--name", "y"]);
    assert_ne!(alone.code, Some(0));
    assert!(
        alone.stderr.contains("agents: the plan has none"),
        "{}",
        alone.stderr
    );
}

#[test]
fn unfinished_episodes_fail_the_row() {
    // Random play loses on this task, and doing nothing would beat most players.
    let place = Workplace::new(
        r#"
        [[experiments]]
        name = "fleet"
        env = "Battleship-v0"
        total_timesteps = 100
        env_args = { level = "easy" }
        evaluation = { episodes = 10 }
    "#,
    );
    let leave = r#"
id = os.environ["STRATEGIC_MEMORY_ENV_IDS"].split()[0]
api("POST", f"/v1/vector-envs/{id}/reset", {})
"#;
    let idle = format!("{leave}sys.exit()");
    for (does, expected) in [
        (
            idle.clone(),
            "it left 10 of 10 evaluation episodes unfinished",
        ),
        (
            format!("{leave}{idle}"),
            "it reset them, and left 10 of 10 evaluation episodes unfinished",
        ),
    ] {
        let command = learner(&place, &[("WANTED", "0"), ("BEFORE", &does)]);
        assert_eq!(reason(&place, &command, &[]), expected);
    }
}

/// A program that starts another process, writes down its id, and waits for it.
const SLEEPER: &str = "sleep 600 & echo $! >pid; wait";

#[test]
fn a_program_that_takes_too_long_is_ended_with_its_processes() {
    let place = Workplace::new(PLAN);
    let sleeper = shlex::try_join(["sh", "-c", SLEEPER]).unwrap();
    let reason_of = |command: &str| reason(&place, command, &["--external-timeout", "1"]);
    assert_eq!(
        reason_of(&sleeper),
        "training took longer than 1 s (--external-timeout)"
    );
    assert_gone(&place);
    let later = format!("test $STRATEGIC_MEMORY_PHASE = train || {{ {SLEEPER}; }}");
    assert_eq!(
        reason_of(&shlex::try_join(["sh", "-c", &later]).unwrap()),
        "evaluation took longer than 1 s (--external-timeout)"
    );
    assert_gone(&place);
    // Accepts connections and never answers.
    let silent = r#"
import os, socket, time
listener = socket.create_server(("127.0.0.1", 0))
print(f"listening on http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
time.sleep(600)
"#;
    let silent = python(&place, "silent.py", silent);
    assert_eq!(
        reason_of(&phases("true", &format!("exec {silent}"))),
        "evaluation took longer than 1 s (--external-timeout)"
    );
}

#[test]
fn an_interrupted_run_ends_its_programs_and_can_be_resumed() {
    let place = Workplace::new(PLAN);
    // Its first evaluation waits, its second plays. It trains once.
    let waits = format!(
        "test $STRATEGIC_MEMORY_PHASE = train && {{ echo once >>trained; exit; }}; test -e pid || {{ {SLEEPER}; }}; \
         exec python3 {}",
        example("oracle.py")
    );
    let contender = format!("x={}", shlex::try_join(["sh", "-c", &waits]).unwrap());
    let child = place.spawn(&[
        "--experiments",
        "plan.toml",
        "--name",
        "x",
        "--external",
        &contender,
    ]);
    let began = Instant::now();
    while std::fs::read_to_string(place.path("pid")).map_or(true, |pid| pid.is_empty()) {
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "it is not judged"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    interrupt(&child);
    let stopped = Finished::of(child.wait_with_output().unwrap());
    assert_eq!(stopped.code, Some(130), "{}", stopped.stderr);
    assert_gone(&place);
    assert!(place.records("x").is_empty());

    let resumed = place.run(&["resume", "runs/x", "--json"]);
    assert_eq!(resumed.code, Some(0), "{}", resumed.stderr);
    assert_eq!(rows(&resumed.stdout)[0]["mean_return"], 1.0);
    assert_eq!(place.read("trained"), "once\n");
}

/// Asserts that the process in the file `pid` has ended.
fn assert_gone(place: &Workplace) {
    let pid = place.read("pid");
    let alive = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
    // A process that has ended but was not reaped yet is a `Z`.
    let is_gone = alive.map_or(true, |stat| stat.contains(") Z "));
    assert!(is_gone, "process {pid} lives");
}

#[test]
fn invalid_programs_are_refused_before_anything_runs() {
    let place = Workplace::new(PLAN);
    for (contender, code, message) in [
        (
            "mine",
            2,
            "a program is given as NAME='command and arguments'",
        ),
        ("mine=", 1, "agents[1] \"mine\": \"\" is not a command"),
        (
            "mine=sh 'x",
            1,
            "agents[1] \"mine\": \"sh 'x\" is not a command",
        ),
        ("a b=true", 1, "a name is made of letters"),
        ("ppo=true", 1, "the name is taken by an earlier entry"),
    ] {
        let finished = place.run(&["--experiments", "plan.toml", "--external", contender]);
        assert_eq!(
            finished.code,
            Some(code),
            "{contender}: {}",
            finished.stderr
        );
        assert!(
            finished.stderr.contains(message),
            "{contender}: {}",
            finished.stderr
        );
        assert!(!place.path("runs").exists(), "{contender}");
    }
}

/// Returns a shell command that runs one script in training and another in evaluation.
fn phases(train: &str, evaluate: &str) -> String {
    let script =
        format!("if test $STRATEGIC_MEMORY_PHASE = train; then {train}; else {evaluate}; fi");
    shlex::try_join(["sh", "-c", &script]).unwrap()
}

/// Returns a shell script that plays as the oracle.
fn play() -> String {
    format!("exec python3 {}", example("oracle.py"))
}

/// Writes a Python program into the test's folder and returns its command.
fn python(place: &Workplace, name: &str, text: &str) -> String {
    std::fs::write(place.path(name), text).unwrap();
    format!("python3 {name}")
}

fn finished_row(place: &Workplace, command: String, more: &[&str]) -> Value {
    let (finished, rows) = run(place, &[("x", command)], more);
    assert_eq!(finished.code, Some(0), "{}{rows:?}", finished.stderr);
    rows[0].clone()
}

#[test]
fn no_proxy_is_asked_for_servers_of_this_machine() {
    let place = Workplace::new(PLAN);
    // Nothing listens at this port.
    let proxy = "http://127.0.0.1:9";
    let oracle = example("oracle.py");
    let command = format!("env HTTP_PROXY={proxy} http_proxy={proxy} python3 {oracle}");
    let row = finished_row(&place, command, &[]);
    assert_eq!(row["mean_return"], 1.0);
}

/// Returns the folder of the only job.
fn job_folder(place: &Workplace) -> std::path::PathBuf {
    let mut jobs = std::fs::read_dir(place.path("runs/x/checkpoints")).unwrap();
    let job = jobs.next().unwrap().unwrap().path();
    assert!(jobs.next().is_none());
    job
}

#[test]
fn all_output_is_read_and_a_part_is_kept() {
    let place = Workplace::new(PLAN);
    let says = "yes 'step 17: observation [0, 1, 0] action 1' | head -c 30000000";
    let talks = phases(&format!("{says} >&2"), &format!("{says}; {}", play()));
    let row = finished_row(&place, talks, &["--external-timeout", "120"]);
    assert_eq!(row["mean_return"], 1.0);
    for log in ["train.err", "evaluate.out"] {
        let text = std::fs::read_to_string(job_folder(&place).join(log)).unwrap();
        assert!(
            (1_000_000..9_000_000).contains(&text.len()),
            "{log}: {}",
            text.len()
        );
        assert!(text.contains("bytes are left out"));
    }
    // An endless answer.
    let reason = reason(
        &place,
        &phases("true", "exec yes"),
        &["--external-timeout", "1"],
    );
    assert_eq!(
        reason,
        "evaluation took longer than 1 s (--external-timeout)"
    );
}

#[cfg(unix)]
#[test]
fn pipes_and_links_in_place_of_files_block_nothing() {
    let place = Workplace::new(PLAN);
    let files = "evaluate.out evaluate.err trained.json";
    let train = format!("cd $STRATEGIC_MEMORY_WORKDIR/.. && mkfifo {files}");
    let replaced =
        "train.out train.err evaluate.out evaluate.err trained.json ../../report.partial";
    let evaluate = format!(
        "(cd $STRATEGIC_MEMORY_WORKDIR/.. && rm -f {replaced} && mkfifo {replaced} && ln -sf ../../records.jsonl train.out); {}",
        play()
    );
    let row = finished_row(&place, phases(&train, &evaluate), &[]);
    assert_eq!(row["mean_return"], 1.0);
    assert_eq!(place.records("x").len(), 1);
    assert!(place.read("runs/x/report.html").contains(">external<"));
    let resumed = place.run(&["resume", "runs/x"]);
    assert_eq!(resumed.code, Some(0), "{}", resumed.stderr);
}

#[test]
fn endless_answers_fail_the_row_and_not_the_run() {
    let place = Workplace::new(PLAN);
    let answers = |loops: &str| {
        let text = format!(
            r#"
import socket, time
listener = socket.create_server(("127.0.0.1", 0))
print(f"listening on http://127.0.0.1:{{listener.getsockname()[1]}}", flush=True)
peer, _ = listener.accept()
peer.recv(65536)
head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
try:
    {loops}
except OSError: time.sleep(60)
"#
        );
        phases(
            "true",
            &format!("exec {}", python(&place, "endless.py", &text)),
        )
    };
    let chunks = answers(
        "peer.sendall(head + b'Transfer-Encoding: chunked\\r\\n\\r\\n')\n    while True: peer.sendall(b'10000\\r\\n' + b' ' * 0x10000 + b'\\r\\n')",
    );
    let reason_of = |command: &str, more: &[&str]| reason(&place, command, more);
    let reason = reason_of(&chunks, &[]);
    assert!(
        reason.starts_with("the answer to PUT /v1/sessions/judged-")
            && reason.contains("is not understood: it is longer than "),
        "{reason}"
    );
    let drip = answers(
        "peer.sendall(head + b'Content-Length: 60000\\r\\n\\r\\n')\n    while True: peer.sendall(b' '); time.sleep(0.01)",
    );
    assert_eq!(
        reason_of(&drip, &["--external-timeout", "1"]),
        "evaluation took longer than 1 s (--external-timeout)"
    );
}

/// Leaves a process outside the program's process groups, and writes down its id.
const LEAVE: &str = r#"
import os, sys, time
def leave(act):
    if os.fork():
        return os.wait()
    os.setsid()
    if os.fork():
        os._exit(0)
    for fd in range(3): os.close(fd)
    for fd in range(3): os.open("/dev/null", os.O_RDWR)
    with open("pid", "w") as file: file.write(str(os.getpid()))
    act()
    os._exit(0)
"#;

#[cfg(target_os = "linux")]
#[test]
fn processes_outside_the_group_end_with_the_phase() {
    let place = Workplace::new(PLAN);
    let deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); ";
    for deaf in ["", deaf] {
        let text = format!(
            r#"{LEAVE}
{deaf}
if os.environ["STRATEGIC_MEMORY_PHASE"] == "train":
    leave(lambda: time.sleep(600))
    while not (os.path.exists("pid") and open("pid").read()): time.sleep(0.01)
    sys.exit()
stat = f"/proc/{{open('pid').read()}}/stat"
if os.path.exists(stat) and ") Z " not in open(stat).read(): sys.exit(9)
exec(open({:?}).read())
"#,
            example("oracle.py")
        );
        let row = finished_row(&place, python(&place, "daemon.py", &text), &[]);
        assert_eq!(row["mean_return"], 1.0);
        assert_gone(&place);
        std::fs::remove_file(place.path("pid")).unwrap();
        std::fs::remove_dir_all(place.path("runs")).unwrap();
    }
    // The same after a timeout.
    let leaves = "(setsid sh -c 'echo $$ >pid; exec sleep 600' &); exec sleep 600";
    let more = ["--external-timeout", "1"];
    let reason = reason(&place, &phases(leaves, "true"), &more);
    assert_eq!(reason, "training took longer than 1 s (--external-timeout)");
    assert_gone(&place);
}

#[cfg(target_os = "linux")]
#[test]
fn programs_cannot_read_the_benchmarks_memory() {
    let place = Workplace::new(PLAN);
    let text = format!(
        r#"
import os, sys
for name in ["mem", "environ", "maps", "auxv", "cwd"]:
    path = f"/proc/{{os.getppid()}}/{{name}}"
    try:
        if name == "cwd": os.readlink(path)
        else: open(path, "rb").read(1)
        sys.exit(f"{{path}} is open")
    except PermissionError:
        pass
if os.environ["STRATEGIC_MEMORY_PHASE"] == "evaluate":
    exec(open({:?}).read())
"#,
        example("oracle.py")
    );
    let row = finished_row(&place, python(&place, "thief.py", &text), &[]);
    assert_eq!(row["mean_return"], 1.0);
}

#[test]
fn forged_records_are_detected_and_undone() {
    let place = Workplace::new(PLAN);
    let forge = phases(
        "sed -i s/1.0/0.5/g runs/x/records.jsonl; echo '[run]' >runs/x/config.toml",
        &play(),
    );
    let contenders = [
        ("honest", phases("true", &play())),
        ("forger", forge),
        ("late", phases("true", &play())),
    ];
    let (finished, rows) = run(&place, &contenders, &["--jobs", "1"]);
    assert_eq!(finished.code, Some(1), "{}", finished.stderr);
    let row = |name: &str| rows.iter().find(|row| row["agent"] == *name).unwrap();
    assert_eq!(row("honest")["mean_return"], 1.0);
    assert_eq!(
        row("forger")["error"],
        "the run's own records.jsonl and config.toml changed while it ran"
    );
    assert_eq!(row("late")["mean_return"], 1.0);
    let records = place.records("x");
    let of = |name: &str| {
        records
            .iter()
            .find(|record| record["agent"]["name"] == *name)
    };
    assert_eq!(
        of("honest").unwrap()["result"]["evaluations"][0]["mean_return"],
        1.0
    );
    assert_eq!(of("forger").unwrap()["result"]["status"], "failed");
    assert!(
        place
            .read("runs/x/config.toml")
            .contains("name = \"honest\"")
    );
}

#[test]
fn uncounted_trainings_are_ignored() {
    let forged = r#"{"steps":77,"duration_s":1.0,"refused":0}"#;
    let write = format!("echo '{forged}' >$STRATEGIC_MEMORY_WORKDIR/../trained.json");
    // Files of its own job, from a program that fails.
    let place = Workplace::new(PLAN);
    let fails = phases(
        &format!(
            "echo stale >$STRATEGIC_MEMORY_WORKDIR/stale; {write}; test -e failed || {{ touch failed; exit 1; }}"
        ),
        &format!(
            "cat $STRATEGIC_MEMORY_WORKDIR/../trained.json >seen; {}",
            play()
        ),
    );
    let (first, _) = run(&place, &[("x", fails)], &[]);
    assert_eq!(first.code, Some(1), "{}", first.stderr);
    let resumed = place.run(&["resume", "runs/x", "--json"]);
    assert_eq!(resumed.code, Some(0), "{}", resumed.stderr);
    assert_eq!(rows(&resumed.stdout)[0]["trained_steps"], 0);
    assert!(
        place.read("seen").contains("\"steps\":0"),
        "{}",
        place.read("seen")
    );

    // Files of jobs that have not begun.
    let place = Workplace::new(PLAN);
    let plant = format!(
        "test $STRATEGIC_MEMORY_SEED = 0 && test -e plant && for job in $(cat plant); do mkdir -p runs/y/checkpoints/$job/work; \
         touch runs/y/checkpoints/$job/work/planted; echo '{forged}' >runs/y/checkpoints/$job/trained.json; done"
    );
    let contender = phases(
        &format!("{plant}; true"),
        &format!(
            "! test -e $STRATEGIC_MEMORY_WORKDIR/planted || exit 9; {}",
            play()
        ),
    );
    let more = ["--seeds", "2", "--jobs", "1"];
    let (finished, _) = run(&place, &[("x", contender.clone())], &more);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    let jobs = std::fs::read_dir(place.path("runs/x/checkpoints")).unwrap();
    let jobs = jobs.map(|job| job.unwrap().file_name().into_string().unwrap());
    let later = jobs
        .filter(|job| job.contains("-seed1-"))
        .collect::<Vec<_>>();
    std::fs::write(place.path("plant"), later.join(" ")).unwrap();
    let contender = format!("x={contender}");
    let mut arguments = vec![
        "--experiments",
        "plan.toml",
        "--name",
        "y",
        "--json",
        "--external",
        &contender,
    ];
    arguments.extend(more);
    let finished = place.run(&arguments);
    assert_eq!(
        finished.code,
        Some(0),
        "{}{}",
        finished.stderr,
        finished.stdout
    );
    for row in rows(&finished.stdout) {
        assert_eq!(row["trained_steps"], 0, "{row}");
    }
}

#[test]
fn output_with_control_characters_is_escaped() {
    let place = Workplace::new(PLAN);
    let says = r"printf '\033]0;owned\007\033[1A\033[2Kx, seed 0: 1.00 remembers\n' >&2; exit 9";
    let contender = format!("x={}", phases(says, "true"));
    let finished = place.run(&[
        "--experiments",
        "plan.toml",
        "--name",
        "x",
        "--external",
        &contender,
    ]);
    assert_eq!(finished.code, Some(1));
    let log = std::fs::read_to_string(job_folder(&place).join("train.err")).unwrap();
    assert!(
        !finished.stdout.contains(['\u{1b}', '\u{7}']),
        "{}",
        finished.stdout
    );
    for text in [finished.stderr, place.read("runs/x/report.html"), log] {
        assert!(!text.contains(['\u{1b}', '\u{7}']), "{text}");
        assert!(text.contains("u{1b}[2K"), "{text}");
    }
}

#[test]
fn programs_take_turns() {
    let place = Workplace::new(PLAN);
    // A program fails if it finds the other one running.
    let alone = "mkdir busy || exit 9; sleep 0.1; rmdir busy";
    let program = phases(
        alone,
        &format!("mkdir busy || exit 9; sleep 0.1; rmdir busy; {}", play()),
    );
    let contenders = [("a", program.clone()), ("b", program)];
    let (finished, rows) = run(&place, &contenders, &["--jobs", "2"]);
    assert_eq!(finished.code, Some(0), "{}{rows:?}", finished.stderr);
}

/// A contender that notes how many sessions precede the sampled one finds no fixed order.
#[test]
fn the_order_of_modes_is_random() {
    let place = Workplace::new(&PLAN.replace(
        "episodes = 40, delays = [5], delay_episodes = 20",
        "episodes = 2",
    ));
    let driven = std::fs::read_to_string(example("driven_oracle.py")).unwrap();
    let notes = r#"
    if asked["mode"] == "sampled" and not os.path.exists(os.environ["STRATEGIC_MEMORY_WORKDIR"] + "/seen"):
        open(os.environ["STRATEGIC_MEMORY_WORKDIR"] + "/seen", "w").close()
        with open("order", "a") as file: file.write(f"{len(sessions)} {begun}\n")
"#;
    let program = driven
        .replace(
            "    session = sessions.get(",
            &format!("{}    session = sessions.get(", &notes[1..]),
        )
        .replace(
            "sessions: dict[str, dict] = {}",
            "sessions: dict[str, dict] = {}\nbegun = 0",
        )
        .replace(
            "        lanes = self.read()",
            "        global begun\n        begun += 1\n        lanes = self.read()",
        );
    let command = python(&place, "driven.py", &program);
    let (finished, rows) = run(&place, &[("x", command)], &["--seeds", "8"]);
    assert_eq!(
        (finished.code, rows.len()),
        (Some(0), 8),
        "{}",
        finished.stderr
    );
    let order = place.read("order");
    let mut places: Vec<&str> = order.lines().collect();
    assert_eq!(places.len(), 8);
    places.sort_unstable();
    places.dedup();
    // The chance of the same of four places every time is one in 16,384.
    assert!(places.len() > 1, "{order}");
}

#[test]
fn settings_of_other_servers_are_not_passed_on() {
    let place = Workplace::new(PLAN);
    let says = "env >seen; exit 1";
    let mut command = place.command(&[
        "--experiments",
        "plan.toml",
        "--external",
        &format!("x={}", phases(says, "true")),
    ]);
    command
        .env("STRATEGIC_MEMORY_TOKEN_FILE", "secret")
        .env("ENV_SERVER_TOKEN_FILE", "secret")
        .env("CUDA_VISIBLE_DEVICES", "0");
    Finished::of(command.output().unwrap());
    let seen = place.read("seen");
    assert!(!seen.contains("secret"), "{seen}");
    assert!(seen.contains("CUDA_VISIBLE_DEVICES=0"), "{seen}");
}
