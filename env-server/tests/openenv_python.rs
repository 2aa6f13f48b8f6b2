//! OpenEnv's own clients work, unmodified.
//!
//! Needs the feature `python-tests` and a Python with the package `openenv-core`.

#[path = "../../tests/python/run.rs"]
mod python;

use env_server::{ServerConfig, run};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Returns the results that the package's clients see.
fn play(url: &str) -> Value {
    let printed = python::run("play_openenv.py", "openenv-core requests", &[url], &[]);
    serde_json::from_slice(&printed).expect("the script prints JSON")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_packages_clients_play() {
    let config = ServerConfig {
        openenv: Some("MemoryTask-v0?delay=3&difficulty=1".to_owned()),
        ..ServerConfig::default()
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(run(listener, config, std::future::pending()));
    let seen = tokio::task::spawn_blocking(move || play(&url))
        .await
        .unwrap();
    assert_eq!(seen["async"], seen["sync"]);
    let episodes = seen["async"].as_array().unwrap();
    assert_eq!(episodes.len(), 2);
    assert_eq!(episodes[0], episodes[1]);
    let steps = episodes[0].as_array().unwrap();
    assert_eq!(steps.len(), 4);
    assert_eq!(steps[0]["reward"], json!(null));
    let ends: Vec<_> = steps.iter().map(|step| step["done"] == true).collect();
    assert_eq!(ends, [false, false, false, true]);
    let is_observation = |step: &Value| step["observation"].as_array().unwrap().len() == 3;
    assert!(steps.iter().all(is_observation), "{seen}");
}
