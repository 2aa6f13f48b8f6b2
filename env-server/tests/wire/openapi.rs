//! The OpenAPI document: committed, so that a change of the wire is visible in review.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use env_server::{Access, Limits, ServerConfig, ServiceConfig};
use serde_json::{Value, json};

use crate::client::Client;

/// Returns every operation of the document by its id.
fn operations(document: &Value) -> BTreeMap<&str, &Value> {
    let paths = document["paths"].as_object().unwrap().values();
    let operations = paths.flat_map(|methods| methods.as_object().unwrap().values());
    operations
        .map(|operation| (operation["operationId"].as_str().unwrap(), operation))
        .collect()
}

#[test]
fn the_committed_document_is_the_served_one() {
    let served = Client::new().get("/openapi.json").json();
    let generated = serde_json::to_value(env_server::openapi_document()).unwrap();
    assert_eq!(served, generated);
    let pretty = serde_json::to_string_pretty(&generated).unwrap();
    insta::assert_snapshot!("openapi", pretty);
}

#[test]
fn every_reference_has_a_target() {
    let document = serde_json::to_value(env_server::openapi_document()).unwrap();
    let mut references = BTreeSet::new();
    collect(&document, &mut references);
    assert!(references.len() > 20, "{references:?}");
    for reference in references {
        let pointer = reference.trim_start_matches('#');
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

fn collect(node: &Value, references: &mut BTreeSet<String>) {
    match node {
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get("$ref") {
                references.insert(reference.clone());
            }
            fields.values().for_each(|field| collect(field, references));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, references)),
        _ => {}
    }
}

/// Every operation has its own id, and all but the simplest describe their failures.
#[test]
fn operations_are_complete() {
    let document = serde_json::to_value(env_server::openapi_document()).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    let mut ids = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id.to_owned()), "{id} twice");
            assert!(operation["summary"].is_string(), "{method} {path}");
            let responses = operation["responses"].as_object().unwrap();
            let is_problem = |r: &Value| r["content"].get("application/problem+json").is_some();
            assert!(
                responses.values().any(is_problem) || path == "/healthz",
                "{method} {path}"
            );
        }
    }
    assert_eq!(ids.len(), 37);
}

/// Links name existing operations and parameters, and fields of their bodies.
#[test]
fn every_link_has_a_target() {
    let document = serde_json::to_value(env_server::openapi_document()).unwrap();
    let operations = operations(&document);
    let mut count = 0;
    for (id, operation) in &operations {
        let responses = operation["responses"].as_object().unwrap().values();
        for link in responses.filter_map(|response| response["links"].as_object()) {
            for link in link.values() {
                let target = operations[link["operationId"].as_str().unwrap()];
                let parameters = target["parameters"].as_array().unwrap();
                for name in link["parameters"].as_object().unwrap().keys() {
                    assert!(
                        parameters.iter().any(|p| p["name"] == **name),
                        "{id} {link}"
                    );
                }
                if let Some(fields) = link["requestBody"].as_object() {
                    let body = &target["requestBody"]["content"]["application/json"]["schema"];
                    let pointer = body["$ref"].as_str().unwrap().trim_start_matches('#');
                    let schema = document.pointer(pointer).unwrap();
                    for name in fields.keys() {
                        assert!(schema["properties"][name].is_object(), "{id} {link}");
                    }
                }
                count += 1;
            }
        }
    }
    assert_eq!(count, 176);
    let reset = &operations["reset_vector_env"]["responses"]["200"]["links"];
    assert_eq!(
        reset["step_vector_env"],
        json!({
            "operationId": "step_vector_env",
            "parameters": {"env_id": "$request.path.env_id"},
            "requestBody": {"seq": "$response.body#/seq"},
        })
    );
    let oracle = &operations["oracle_env"]["responses"]["200"]["links"];
    assert_eq!(
        oracle["step_env"]["requestBody"],
        json!({"seq": "$response.body#/seq", "action": "$response.body#/action"})
    );
    let refused = &operations["oracle_env"]["responses"]["403"];
    assert_eq!(
        refused["description"],
        "oracle-not-allowed or forbidden; cross-origin"
    );
}

/// A server's document reflects its settings.
#[test]
fn the_document_follows_the_settings() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("tokens.toml");
    std::fs::write(&tokens, "[a]\ntoken = \"a-0123456789abcdef\"").unwrap();
    let document = |access| {
        let client = Client::with(ServerConfig {
            service: ServiceConfig {
                access,
                ..ServiceConfig::default()
            },
            limits: Limits {
                max_lanes_per_env: 5,
                max_ttl_s: 7,
                ..Limits::default()
            },
            ..ServerConfig::default()
        });
        client.get("/openapi.json").json()
    };
    let open = document(None);
    let create = &open["components"]["schemas"]["CreateVectorEnv"]["properties"];
    let maxima = [&create["num_envs"]["maximum"], &create["ttl_s"]["maximum"]];
    assert_eq!(maxima, [&json!(5), &json!(7)]);
    assert_eq!(open["security"], json!([{}, {"bearer": []}]));
    let guarded = document(Some(Arc::new(Access::from_file(&tokens).unwrap())));
    assert_eq!(guarded["security"], json!([{"bearer": []}]));
    let operations = operations(&guarded);
    assert_eq!(operations["get_health"]["security"], json!([]));
    assert!(operations["get_health"]["responses"]["401"].is_null());
    assert!(operations["step_env"]["responses"]["401"].is_object());
}
