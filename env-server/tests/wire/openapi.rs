//! The OpenAPI document: committed, so that a change of the wire is seen in review.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::client::Client;

#[test]
fn the_committed_document_is_the_served_one() {
    let served = Client::new().get("/openapi.json").json();
    let generated = serde_json::to_value(env_server::openapi_document()).unwrap();
    assert_eq!(served, generated);
    let pretty = serde_json::to_string_pretty(&generated).unwrap();
    insta::assert_snapshot!("openapi", pretty);
}

#[test]
fn every_reference_leads_somewhere() {
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

/// Every operation has an id of its own, and all but the simplest describe their failures.
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
    assert_eq!(ids.len(), 36);
}
