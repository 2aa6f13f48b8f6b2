//! Links: which operation can follow a reply, and which parts of the reply it uses.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use utoipa::openapi::link::{Link, LinkBuilder};
use utoipa::openapi::{OpenApi, RefOr};

use super::items::operations;

/// The id in a reply that contains one.
const IN_REPLY: &str = "$response.body#/env_id";
/// The id in the path of the request.
const IN_PATH: &str = "$request.path.env_id";

/// Operations without a number, by the prefixes of their ids.
const UNNUMBERED: [&str; 7] = [
    "get",
    "snapshot",
    "trajectory",
    "render",
    "oracle",
    "renew",
    "close",
];
/// Operations that take the next number. The rest of their bodies is up to the client.
const NUMBERED: [&str; 3] = ["reset", "step", "fork"];

/// Adds the links.
pub(super) fn add(document: &mut OpenApi) {
    for item in document.paths.paths.values_mut() {
        for operation in operations(item) {
            let id = operation.operation_id.clone().unwrap_or_default();
            for (status, response) in &mut operation.responses.responses {
                if let RefOr::T(response) = response {
                    let links = after(&id, status).into_iter();
                    let links = links.map(|(name, link)| (name, RefOr::T(link)));
                    response.links.extend(links);
                }
            }
        }
    }
}

/// Returns the operations that can follow a reply, by name.
fn after(operation_id: &str, status: &str) -> BTreeMap<String, Link> {
    let of_one = |kind| {
        let verb = operation_id.strip_suffix(kind)?.strip_suffix('_')?;
        Some((verb, kind))
    };
    match (operation_id, status) {
        ("list_envs", "200") => after_list("list_envs", "get_env", "envs"),
        ("list_vector_envs", "200") => {
            after_list("list_vector_envs", "get_vector_env", "vector_envs")
        }
        _ => match of_one("vector_env").or_else(|| of_one("env")) {
            Some((verb, kind)) => after_verb(verb, kind, status),
            None => BTreeMap::new(),
        },
    }
}

/// Returns the operations that can follow a page of a list.
fn after_list(list: &str, get: &str, field: &str) -> BTreeMap<String, Link> {
    let first = format!("$response.body#/{field}/0/env_id");
    BTreeMap::from([
        (list.to_owned(), link(list, "after", "$response.body#/next")),
        (get.to_owned(), link(get, "env_id", &first)),
    ])
}

/// Returns the operations that can follow an operation on one environment.
fn after_verb(verb: &str, kind: &str, status: &str) -> BTreeMap<String, Link> {
    let mut links = BTreeMap::new();
    let mut add = |then: &str, env_id: &str, body: Option<Value>| {
        let id = format!("{then}_{kind}");
        let mut link = link(&id, "env_id", env_id);
        link.request_body = body;
        links.insert(id, link);
    };
    let next_seq = json!({"seq": "$response.body#/seq"});
    let is_there = match (verb, status) {
        ("create" | "put", "201") | ("put" | "get", "200") => Some((IN_REPLY, next_seq)),
        ("reset" | "step" | "restore", "200") => Some((IN_PATH, next_seq)),
        // Its `seq` is that of the original environment.
        ("fork", "201") => Some((IN_REPLY, json!({"seq": 0}))),
        ("renew", "200") => {
            add("get", IN_PATH, None);
            None
        }
        ("snapshot", "200") => {
            add(
                "restore",
                IN_PATH,
                Some(json!({"snapshot": "$response.body"})),
            );
            None
        }
        ("oracle", "200") => {
            // The oracle's action can be taken: its reply names the actions as a step does.
            let field = if kind == "env" { "action" } else { "actions" };
            let mut body = next_seq;
            body[field] = Value::from(format!("$response.body#/{field}"));
            add("step", IN_PATH, Some(body));
            None
        }
        ("trajectory", "200") => {
            add("trajectory", IN_PATH, None);
            let next = Value::from("$response.body#/next");
            let id = format!("trajectory_{kind}");
            if let Some(link) = links.get_mut(&id) {
                link.parameters.insert("from".to_owned(), next);
            }
            return links;
        }
        // To check that it is closed, and that closing it again is not an error.
        ("close", "204") => {
            add("get", IN_PATH, None);
            add("close", IN_PATH, None);
            None
        }
        _ => None,
    };
    if let Some((env_id, seq)) = is_there {
        for then in UNNUMBERED {
            add(then, env_id, None);
        }
        for then in NUMBERED {
            add(then, env_id, Some(seq.clone()));
        }
    }
    links
}

fn link(operation_id: &str, parameter: &str, value: &str) -> Link {
    LinkBuilder::new()
        .operation_id(operation_id)
        .parameter(parameter, value)
        .build()
}
