//! The cost of a step: in process, in each encoding, and over HTTP.

use std::hint::black_box;
use std::io::{Read, Write};
use std::net::TcpStream;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use env_protocol::{
    Array, AutoresetMode, CreateVectorEnv, Encoding, Kwargs, Seed, VectorStepReply,
    VectorStepRequest,
};
use env_server::ServerConfig;
use environments::Arguments;
use environments::tasks::memory_task::MemoryTask;
use environments::vector::{Reset, VectorEnvironment, VectorOf};

const ENCODINGS: [(&str, Encoding); 2] = [
    ("json", Encoding::Json),
    ("messagepack", Encoding::MessagePack),
];

fn kwargs() -> Kwargs {
    Kwargs::from([
        ("delay".to_owned(), 16.into()),
        ("difficulty".to_owned(), 1.into()),
    ])
}

fn vector(num_envs: usize) -> VectorOf<MemoryTask> {
    let arguments = Arguments::resolve(
        &environments::catalogue::parameters::<MemoryTask>(),
        &kwargs(),
    )
    .unwrap();
    let mode = AutoresetMode::SameStep;
    let mut vector = VectorOf::new(&arguments, num_envs, mode, &Seed::First(1)).unwrap();
    vector.reset(&Reset::default()).unwrap();
    vector
}

fn in_process(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("step");
    for num_envs in [1, 256] {
        let mut vector = vector(num_envs);
        let actions = vec![1.0; num_envs];
        group.throughput(Throughput::Elements(num_envs as u64));
        group.bench_function(format!("{num_envs} lanes"), |bencher| {
            bencher.iter(|| vector.step(black_box(&actions)).unwrap());
        });
    }
}

fn reply() -> VectorStepReply {
    let batch = vector(256).step(&[1.0; 256]).unwrap();
    VectorStepReply {
        observations: batch.observations,
        rewards: Array::vector(batch.rewards),
        terminations: Array::mask(batch.terminations),
        truncations: Array::mask(batch.truncations),
        infos: batch.infos,
        seq: 2,
    }
}

fn request(seq: Option<u64>) -> VectorStepRequest {
    let actions = Array::from_i64(vec![256], vec![1; 256]).unwrap();
    VectorStepRequest { seq, actions }
}

fn codec(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("codec, 256 lanes");
    for (name, encoding) in ENCODINGS {
        let reply = reply();
        let reply_bytes = encoding.encode(&reply);
        let request_bytes = encoding.encode(&request(Some(1)));
        group.bench_function(format!("{name} encode reply"), |bencher| {
            bencher.iter(|| encoding.encode(black_box(&reply)));
        });
        group.bench_function(format!("{name} decode reply"), |bencher| {
            bencher.iter(|| {
                encoding
                    .decode::<VectorStepReply>(black_box(&reply_bytes))
                    .unwrap()
            });
        });
        group.bench_function(format!("{name} decode request"), |bencher| {
            let decode = |bytes: &[u8]| encoding.decode::<VectorStepRequest>(bytes).unwrap();
            bencher.iter(|| decode(black_box(&request_bytes)));
        });
    }
}

/// Sends a request on a kept connection and reads the reply, which must fit into `buffer`.
fn exchange(stream: &mut TcpStream, request: &[u8], buffer: &mut [u8]) -> usize {
    stream.write_all(request).unwrap();
    let mut len = 0;
    loop {
        len += stream.read(&mut buffer[len..]).unwrap();
        let Some(head) = buffer[..len].windows(4).position(|w| w == b"\r\n\r\n") else {
            continue;
        };
        let text = std::str::from_utf8(&buffer[..head]).unwrap();
        assert!(text.starts_with("HTTP/1.1 20"), "{text}");
        let (_, rest) = text.split_once("content-length: ").unwrap();
        let digits = rest.split("\r\n").next().unwrap();
        if len >= head + 4 + digits.parse::<usize>().unwrap() {
            return len;
        }
    }
}

fn message(method: &str, path: &str, encoding: Encoding, body: &[u8]) -> Vec<u8> {
    let (content_type, len) = (encoding.content_type(), body.len());
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {content_type}\r\n\
         content-length: {len}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

fn http(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
        .unwrap();
    let address = listener.local_addr().unwrap();
    let server = env_server::run(listener, ServerConfig::default(), std::future::pending());
    runtime.spawn(server);
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut buffer = vec![0; 1 << 16];
    let create = CreateVectorEnv {
        spec_id: "MemoryTask-v0".to_owned(),
        num_envs: 256,
        kwargs: kwargs(),
        seed: Some(Seed::First(1)),
        autoreset_mode: AutoresetMode::SameStep,
        ttl_s: None,
    };
    let path = "/v1/vector-envs/bench";
    let body = Encoding::Json.encode(&create);
    let create = message("PUT", path, Encoding::Json, &body);
    exchange(&mut stream, &create, &mut buffer);
    let reset = message("POST", &format!("{path}/reset"), Encoding::Json, b"{}");
    exchange(&mut stream, &reset, &mut buffer);

    let mut group = criterion.benchmark_group("http step, 256 lanes");
    group.throughput(Throughput::Elements(256));
    for (name, encoding) in ENCODINGS {
        let body = encoding.encode(&request(None));
        let step = message("POST", &format!("{path}/step"), encoding, &body);
        group.bench_function(name, |bencher| {
            bencher.iter_batched_ref(
                || (),
                |()| exchange(&mut stream, &step, &mut buffer),
                BatchSize::SmallInput,
            );
        });
    }
}

criterion_group!(benches, in_process, codec, http);
criterion_main!(benches);
