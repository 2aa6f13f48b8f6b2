//! Processes that a test has started, and theirs: to find and to kill them.

/// Process ids of a process's children.
pub fn children(pid: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter();
    let files = tasks
        .flatten()
        .flatten()
        .map(|task| task.path().join("children"));
    let lists = files.map(|file| std::fs::read_to_string(file).unwrap_or_default());
    let text: String = lists.collect();
    text.split_whitespace()
        .map(|id| id.parse().unwrap())
        .collect()
}

pub fn kill(pid: u32) {
    let mut kill = std::process::Command::new("kill");
    let killed = kill.args(["-KILL", &pid.to_string()]).status();
    assert!(killed.unwrap().success());
}
