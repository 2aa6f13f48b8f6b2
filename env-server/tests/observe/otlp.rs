//! Traces arrive at a collector.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Sender, channel};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use prost::Message;
use serde_json::json;
use service::observe::{LogFormat, logging};

use crate::client::Client;

/// Receives posts on a connection and answers each with success.
fn collect(stream: TcpStream, exports: &Sender<(String, ExportTraceServiceRequest)>) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = Vec::new();
        let mut len = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if line == "\r\n" {
                break;
            }
            let lower = line.to_ascii_lowercase();
            if let Some(digits) = lower.strip_prefix("content-length:") {
                len = digits.trim().parse().expect("a number");
            }
            head.push(line);
        }
        let mut body = vec![0; len];
        reader.read_exact(&mut body).expect("the body");
        let export = ExportTraceServiceRequest::decode(&body[..]).expect("protobuf");
        // The test may have ended already.
        let _ = exports.send((head[0].clone(), export));
        let reply =
            "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
        if reader.get_mut().write_all(reply.as_bytes()).is_err() {
            return;
        }
    }
}

fn text<'a>(attributes: &'a [KeyValue], key: &str) -> &'a str {
    let found = attributes.iter().find(|attribute| attribute.key == key);
    let value = found.and_then(|attribute| attribute.value.as_ref()?.value.as_ref());
    match value {
        Some(Value::StringValue(text)) => text,
        other => panic!("{key} is {other:?}"),
    }
}

/// The only test of this process that sets up logging, which applies to all tests.
#[test]
fn a_steps_span_arrives_with_its_route_and_parent() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let (sender, exports) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let sender = sender.clone();
            std::thread::spawn(move || collect(stream, &sender));
        }
    });
    let logging = logging::set_up("env-server", "off", LogFormat::Text, Some(&endpoint))
        .expect("a good address");

    let client = Client::new();
    client.put("/v1/envs/e", json!({"spec_id": "MemoryTask-v0"}));
    client.post("/v1/envs/e/reset", json!({}));
    let headers = [
        "content-type: application/json",
        "x-request-id: the-step",
        "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ];
    let body = json!({"action": 0}).to_string().into_bytes();
    let reply = client.send("POST", "/v1/envs/e/step", &headers, body);
    assert_eq!(reply.status, 200);
    drop(logging);

    let mut spans = Vec::new();
    for (head, export) in exports.try_iter() {
        assert_eq!(head, "POST /v1/traces HTTP/1.1\r\n");
        for of_resource in export.resource_spans {
            let resource = of_resource.resource.expect("a resource");
            assert_eq!(text(&resource.attributes, "service.name"), "env-server");
            let scopes = of_resource.scope_spans.into_iter();
            spans.extend(scopes.flat_map(|scope| scope.spans));
        }
    }
    let step = spans
        .iter()
        .find(|span| text(&span.attributes, "request_id") == "the-step")
        .expect("the step's span");
    assert_eq!(step.name, "POST /v1/envs/{env_id}/step");
    assert_eq!(
        text(&step.attributes, "http.route"),
        "/v1/envs/{env_id}/step"
    );
    assert_eq!(text(&step.attributes, "url.path"), "/v1/envs/e/step");
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    assert_eq!(hex(&step.trace_id), "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(hex(&step.parent_span_id), "b7ad6b7169203331");
    let reset = spans.iter().find(|span| span.name.ends_with("/reset"));
    assert!(reset.expect("the reset's span").parent_span_id.is_empty());
}
