//! Programs from outside, as whole runs: the shipped examples, and everything that can go wrong with one. They need
//! `python3`, `sh` and `curl`.

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

/// A program in the tests' folder that trains by stepping so many lanes until it is stopped, and then plays as the
/// oracle.
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
    with open(os.environ["STRATEGIC_MEMORY_WORKDIR"] + "/token", "w") as file:
        file.write(T)
    sys.exit()
exec(os.environ.get("BEFORE", ""))
exec(open(os.environ["ORACLE"]).read())
exec(os.environ.get("AFTER", ""))
"#;

fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("external");
    path.join(name).display().to_string()
}

/// A run of programs from outside on the plan; the rows as JSON.
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

/// The command of [`GREEDY_LEARNER`] with these variables.
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

/// The reason for which a single program's row failed.
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
    // Forty fair guesses leave ±0.8 once in 10^7 runs or so; and its seed is fixed, only the cues are not.
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
    // With nothing kept, it answers with what it sees: a fair bit that is not the cue.
    let emptied = driven["emptied_return"].as_f64().unwrap();
    assert!(emptied.abs() < 0.8, "{emptied}");

    let records = place.records("x");
    let of = |name: &str| {
        records
            .iter()
            .find(|record| record["agent"]["name"] == *name)
            .unwrap()
    };
    let modes = |name| -> Vec<(u64, String, f64)> {
        let judged = of(name)["result"]["evaluations"]
            .as_array()
            .unwrap()
            .clone();
        let row = |judged: &Value| {
            let (delay, mode) = (
                judged["delay"].as_u64().unwrap(),
                judged["mode"].as_str().unwrap(),
            );
            (delay, mode.to_owned(), judged["episodes"].as_f64().unwrap())
        };
        judged.iter().map(row).collect()
    };
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
    let report = place.read("runs/x/report.html");
    assert!(report.contains("memory not tested") && report.contains(">external<"));
}

#[test]
fn the_program_of_the_guide_is_the_example() {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/bring-your-own-agent.md");
    let guide = std::fs::read_to_string(guide).unwrap();
    let oracle = std::fs::read_to_string(example("oracle.py")).unwrap();
    assert!(guide.contains(&format!("```python\n{oracle}```")));
}

#[test]
fn steps_are_the_servers_and_a_budget_that_is_spent_is_noted() {
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
fn whoever_breaks_the_rules_has_no_score() {
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
    let train_on = r#"
token = open(os.environ["STRATEGIC_MEMORY_WORKDIR"] + "/token").read()
try: api("POST", "/v1/vector-envs/mine/step", {"actions": [0] * 8}, token)
except urllib.error.HTTPError as error: assert json.load(error)["code"] == "forbidden"
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
        (
            "BEFORE",
            train_on,
            "it tried to step training environments while it was judged (1 request)",
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
fn whoever_does_not_play_it_all_has_no_score() {
    let place = Workplace::new(PLAN);
    let reason_of = |command: &str| reason(&place, command, &[]);
    assert_eq!(
        reason_of("true"),
        "it played 0 of 40 evaluation episodes at delay 3 to their end"
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

/// Plays the environments that it is given, notes which answer was right in which lane, and then asks to be asked.
#[test]
fn what_was_seen_in_playing_is_worth_nothing_in_being_asked() {
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
    // It answers as it pleases, whatever it is shown: half of forty cues are what it says, give or take.
    for mode in ["mean_return", "scrambled_return", "emptied_return"] {
        let score = row[mode].as_f64().unwrap();
        assert!(score.abs() < 0.8, "{mode}: {score}");
    }
}

#[test]
fn a_plan_may_be_of_programs_from_outside_alone() {
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
fn an_episode_that_is_left_counts_with_what_it_had() {
    let place = Workplace::new(PLAN);
    let leave = r#"
id = os.environ["STRATEGIC_MEMORY_ENV_IDS"].split()[0]
api("POST", f"/v1/vector-envs/{id}/reset", {})
"#;
    let command = learner(&place, &[("WANTED", "0"), ("BEFORE", leave)]);
    let (finished, rows) = run(&place, &[("x", command)], &[]);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert_eq!(rows[0]["mean_return"], 0.0);
    let note = "40 of 40 episodes were left by a reset and count with what they had then";
    assert_eq!(rows[0]["notes"], serde_json::json!([note]));
}

/// A program that starts another one, writes down its number, and waits for it.
const SLEEPER: &str = "sleep 600 & echo $! >pid; wait";

#[test]
fn whoever_takes_too_long_is_ended_with_all_it_has_started() {
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
    // It takes connections and never answers.
    let silent = r#"
import os, socket, time
if os.environ["STRATEGIC_MEMORY_PHASE"] == "evaluate":
    listener = socket.create_server(("127.0.0.1", 0))
    print(f"listening on http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    time.sleep(600)
"#;
    assert_eq!(
        reason_of(&shlex::try_join(["python3", "-c", silent]).unwrap()),
        "evaluation took longer than 1 s (--external-timeout)"
    );
}

#[test]
fn an_interrupted_run_ends_its_programs_and_goes_on() {
    let place = Workplace::new(PLAN);
    // In its first evaluation it waits; in its second it plays. It trains once.
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

/// The process whose number the sleeper wrote down is no more.
fn assert_gone(place: &Workplace) {
    let pid = place.read("pid");
    let alive = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
    // One that has ended and that nobody has waited for yet is a `Z`.
    let is_gone = alive.map_or(true, |stat| stat.contains(") Z "));
    assert!(is_gone, "process {pid} lives");
}

#[test]
fn what_is_wrong_with_a_program_is_told_before_anything_is_run() {
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
