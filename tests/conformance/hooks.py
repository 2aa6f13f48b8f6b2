"""Teaches Schemathesis this server's second encoding, data that fits a live environment, and rules for every refusal.
scripts/conformance loads it."""

import atexit
import json
import math
import os
import random
import struct
from collections import Counter, defaultdict

import msgpack
import requests
import schemathesis
from schemathesis.transport.serialization import Binary

URL = os.environ["CONFORMANCE_URL"]
# The token of the principal that sends the requests; a server without tokens ignores it.
HEADERS = {"Authorization": f"Bearer {os.environ['CONFORMANCE_TOKEN']}"}


# --- MessagePack. The document's schemas describe values; typed arrays are a matter of the encoding.

MESSAGEPACK = "application/vnd.msgpack"
DTYPES = {
    "bool": "?", "uint8": "B", "int8": "b", "int16": "h", "uint16": "H", "int32": "i", "uint32": "I", "int64": "q",
    "uint64": "Q", "float32": "f", "float64": "d",
}  # fmt: skip


@schemathesis.serializer(MESSAGEPACK)
def to_messagepack(ctx, value):
    if isinstance(value, bytes):
        return value
    return msgpack.packb(value, default=unpackable, unicode_errors="surrogatepass")


def unpackable(value):
    if isinstance(value, Binary):
        return value.data
    if isinstance(value, int):
        # The encoding has no integers wider than 64 bits.
        return float(value)
    raise TypeError(type(value).__name__)


@schemathesis.deserializer(MESSAGEPACK)
def from_messagepack(ctx, response):
    return plain(msgpack.unpackb(response.content))


def plain(value):
    """Returns the value with typed arrays as nested lists, as in JSON."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() != {"dtype", "shape", "data"}:
        return {key: plain(item) for key, item in value.items()}
    shape = value["shape"]
    size = math.prod(shape)
    return nested(shape, list(struct.unpack(f"<{size}{DTYPES[value['dtype']]}", value["data"])))


def nested(shape, flat):
    if len(shape) <= 1:
        return flat
    stride = len(flat) // shape[0] if shape[0] else 0
    return [nested(shape[1:], flat[i * stride : (i + 1) * stride]) for i in range(shape[0])]


# --- Data that fits. By the schema, any action and any id are valid; most would be refused, and the code behind the
# refusal would not be tested. So most valid requests are adapted to existing environments, by rules and by chance drawn
# from the request itself: an unknown id becomes that of an environment, an action one of the environment's. Invalid
# requests, and every fourth valid one, stay as they are.


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    asked = [case.operation.label, case.path_parameters, case.body if isinstance(case.body, dict) else None]
    chance = random.Random(json.dumps(asked, sort_keys=True, default=repr))
    if chance.random() < 0.25:
        return
    if "{env_id}" in case.operation.path and case.operation.method != "put":
        fit_id(case, chance)
    if isinstance(case.body, dict):
        case.body = fitting_body(case, chance)


# Ids of environments that were created, by the path of their collection.
created = defaultdict(list)


def collection(operation):
    return "/v1/vector-envs" if "/vector-envs" in operation.path else "/v1/envs"


def fit_id(case, chance):
    path = collection(case.operation)
    known = created[path]
    if case.path_parameters["env_id"] in known:
        # Follow the link, with the next number.
        return
    # Sometimes use a closed or expired environment, to test the answer. But only sometimes, so that no operation is left
    # without success by chance.
    is_any = known and chance.random() < 0.25
    case.path_parameters = {"env_id": chance.choice(known[-8:] if is_any else living(path))}
    # Operations that need a running episode get one in half of the cases.
    if case.operation.path.endswith(("/oracle", "/step")) and chance.random() < 0.5:
        send("POST", path_of(case, "/reset"), {})


def living(path):
    """Returns the ids of existing environments: at least one, which is created if necessary."""
    page = get(f"{path}?limit=20")
    ids = [env["env_id"] for env in page.get("envs", page.get("vector_envs"))]
    if not ids:
        lanes = {"num_envs": 2} if "vector" in path else {}
        ids = [send("POST", path, {"spec_id": "MemoryTask-v0", **lanes})["env_id"]]
    return ids


def fitting_body(case, chance):
    body = dict(case.body)
    path = case.operation.path
    if path.endswith("/step"):
        fit_actions(body, case)
    elif path.endswith("/restore"):
        body["snapshot"] = get(path_of(case, "/snapshot")) or body["snapshot"]
    elif isinstance(body.get("kwargs"), dict):
        spec_id = body.get("spec_id") or (case.path_parameters or {}).get("spec_id")
        body["kwargs"] = fitting_kwargs(PARAMETERS.get(spec_id, []), chance)
    return body


def send(method, path, body=None):
    """Returns the server's answer, if it is a success."""
    reply = requests.request(method, URL + path, json=body, headers=HEADERS, timeout=10)
    return reply.json() if reply.ok else None


def get(path):
    return send("GET", path)


def path_of(case, below=""):
    """Returns the path of the environment that the case is about, or of a resource below it."""
    env_id = requests.utils.quote(str(case.path_parameters["env_id"]), safe="")
    return f"{collection(case.operation)}/{env_id}{below}"


PARAMETERS = {spec["id"]: spec["parameters"] for spec in get("/v1/specs")["specs"]}


# Arguments that every spec accepts: most of the environments created should be ordinary ones, without wrappers.
WRAPPERS = set.intersection(*({p["name"] for p in parameters} for parameters in PARAMETERS.values()))


def fitting_kwargs(parameters, chance):
    """Draws a few arguments, and for one environment in three a few wrappers."""
    wraps = chance.random() < 1 / 3
    shares = {p["name"]: 0.3 if wraps or p["name"] not in WRAPPERS else 0.0 for p in parameters}
    return {p["name"]: draw(p, chance) for p in parameters if chance.random() < shares[p["name"]]}


def draw(parameter, chance):
    """Draws an argument for the parameter: not a large one, because large environments cost memory."""
    kind = parameter["type"]
    if kind == "boolean":
        return chance.random() < 0.5
    if kind == "choice":
        return chance.choice(parameter["choices"])
    least, most = parameter["minimum"], parameter["maximum"]
    if kind == "number":
        return chance.uniform(least, most)
    most = min(most, least + 12)
    if kind == "integer":
        return chance.randint(least, most)
    length = chance.randint(parameter["min_items"], min(parameter["max_items"], 4))
    return [chance.randint(least, most) for _ in range(length)]


def fit_actions(body, case):
    described = get(path_of(case))
    numbers = list(integers(body.get("action", body.get("actions")))) or [0]
    if described is None:
        return
    if "action" in body:
        body["action"] = action_in(described["action_space"], numbers)
    elif "actions" in body:
        lanes = range(described["num_envs"])
        rotated = (numbers[i % len(numbers) :] + numbers for i in lanes)
        body["actions"] = [action_in(described["single_action_space"], numbers) for numbers in rotated]


def action_in(space, numbers):
    if space["type"] == "Discrete":
        return space["start"] + numbers[0] % space["n"]
    if space["type"] == "Box":
        low, high = space["low"], space["high"]
        return [low + (high - low) * (numbers[i % len(numbers)] % 5) / 4 for i in range(math.prod(space["shape"]))]
    assert space["type"] == "MultiDiscrete", space
    return [numbers[i % len(numbers)] % n for i, n in enumerate(space["nvec"])]


def integers(value):
    if isinstance(value, list):
        for item in value:
            yield from integers(item)
    elif isinstance(value, int):
        yield value


# --- Our own checks.

# Errors in the form of a request. The document defines the form, so a request that follows it never causes one.
FORMAL = {
    "malformed-body",
    "malformed-request",
    "invalid-body",
    "unsupported-media-type",
    "not-acceptable",
    "body-too-large",
    "slow-request",
    "method-not-allowed",
    "unknown-route",
}


@schemathesis.check
def refusal_is_meant(ctx, response, case):
    """A refusal has consistent fields, a Retry-After if retryable, and a reason that the document cannot express."""
    if response.status_code < 400:
        return
    problem = response.json()
    assert problem["status"] == response.status_code, "the document's status is not the reply's"
    assert problem["type"] == f"/problems/{problem['code']}", "type and code do not agree"
    if problem["retryable"]:
        assert int(response.headers["retry-after"][0]) >= 1, "retryable, without a Retry-After"
    meta = case.meta
    if meta is None or not meta.generation.mode.is_positive or problem["code"] not in FORMAL:
        return
    # A schema cannot express that lists have the same length.
    assert "ragged" in problem["detail"], f"a request that follows the document is {problem['code']}"


# --- The tally of answers.

tally = defaultdict(Counter)


@schemathesis.hook
def after_call(context, case, response):
    if response.status_code == 201:
        created[collection(case.operation)].append(response.headers["location"][0].rpartition("/")[2])
    tally[case.operation.label][response.status_code] += 1


@atexit.register
def write_tally():
    with open(os.environ["CONFORMANCE_TALLY"], "w", encoding="utf-8") as out:
        json.dump(tally, out)
