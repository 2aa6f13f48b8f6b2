//! The cost of observation: of measuring a request, and of a scrape.

use std::hint::black_box;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use env_server::ServerConfig;
use service::observe::{Metrics, Observe, Work};
use tower::ServiceExt;
use tracing_subscriber::layer::SubscriberExt;

/// A handler that answers at once and does nothing.
fn nothing(request: Request) -> Response {
    black_box(request);
    Response::new(Body::empty())
}

fn request() -> Request {
    let request = Request::post("/v1/envs/bench/step");
    request.body(Body::empty()).expect("a request")
}

fn request_with_id() -> Request {
    let mut request = request();
    let id = "run-7.step_12".parse().expect("a header");
    request.headers_mut().insert("x-request-id", id);
    request
}

fn layer(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("request");
    let metrics = Arc::<Metrics>::default();
    let observe = Observe::new(metrics, ["/v1/envs/{env_id}/step"]);
    let observed = |request| {
        let mut observed = observe.begin(&request);
        let mut response = observed.span().in_scope(|| nothing(request));
        observed.end(&mut response);
        response
    };
    let size = BatchSize::SmallInput;
    group.bench_function("bare", |bencher| {
        bencher.iter_batched(request, nothing, size);
    });
    group.bench_function("observed", |bencher| {
        bencher.iter_batched(request, observed, size);
    });
    group.bench_function("observed, client's id", |bencher| {
        bencher.iter_batched(request_with_id, observed, size);
    });
    let logs = |level: &str| {
        let layer = tracing_subscriber::fmt::layer().with_writer(std::io::sink);
        let filter = tracing_subscriber::EnvFilter::new(level);
        tracing_subscriber::registry().with(filter).with(layer)
    };
    for level in ["info", "debug"] {
        tracing::subscriber::with_default(logs(level), || {
            group.bench_function(format!("observed, logging {level}"), |bencher| {
                bencher.iter_batched(request, observed, size);
            });
        });
    }
}

fn instruments(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("instruments");
    let metrics = Metrics::default();
    let steps = metrics.steps("MemoryTask-v0");
    group.bench_function("a step", |bencher| {
        bencher.iter(|| {
            steps.add(black_box(256));
            metrics.done(black_box(Work::Step));
        });
    });
    group.bench_function("two clock readings", |bencher| {
        bencher.iter(|| std::time::Instant::now().elapsed());
    });
}

fn scrape(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let app = env_server::app(&ServerConfig::default()).expect("a server");
    let exchange = |request: Request| {
        let reply = runtime.block_on(app.clone().oneshot(request));
        let reply = reply.expect("infallible");
        assert!(reply.status().is_success());
        reply
    };
    for i in 0..10_000 {
        let body = Body::from(r#"{"spec_id":"MemoryTask-v0"}"#);
        let request = Request::put(format!("/v1/envs/{i}")).body(body);
        exchange(request.expect("a request"));
    }
    criterion.bench_function("scrape, 10,000 environments", |bencher| {
        let request = || Request::get("/metrics").body(Body::empty());
        bencher.iter_batched(
            || request().expect("a request"),
            exchange,
            BatchSize::SmallInput,
        );
    });
}

criterion_group!(benches, layer, instruments, scrape);
criterion_main!(benches);
