#!/bin/sh
# Tests play.sh against a real server: its output, tokens, refusals, and a server that is killed during an episode.
set -eu
cd "$(dirname "$0")"
binary=${STRATEGIC_MEMORY_ENV_SERVER:-$PWD/../../target/release/env-server}
[ -x "$binary" ] || { echo "missing: $binary. Build it with: cargo build --release -p env-server" >&2; exit 1; }
work=$(mktemp -d)
pid=
trap 'kill $pid 2>/dev/null || true; rm -rf "$work"' EXIT

# serve ADDRESS FLAGS…: starts a server, and puts its URL into $url.
serve() {
    address=$1
    shift
    : >"$work/out"
    "$binary" serve --listen "$address" --log warn "$@" >"$work/out" &
    pid=$!
    until url=$(sed -n 's/^listening on //p' "$work/out") && [ -n "$url" ]; do
        kill -0 $pid || { echo "the server did not start" >&2; exit 1; }
        sleep 0.05
    done
}

expect() {
    [ "$2" = "$3" ] || { printf '%s: expected\n%s\nbut found\n%s\n' "$1" "$2" "$3" >&2; exit 1; }
    echo "ok: $1"
}

serve 127.0.0.1:0

# Only these programs are on the PATH.
mkdir "$work/bin"
for tool in sh curl sed sleep date; do ln -s "$(command -v $tool)" "$work/bin/$tool"; done

# The cues are the first bits that the server's generator draws with seeds 0 to 9.
expected=$(
    episode=0
    for cue in 0 1 1 0 1 0 1 0 0 1; do
        echo "episode $episode: the cue was $cue, return 1"
        episode=$((episode + 1))
    done
    echo "10 episodes, sum of returns 10"
)
expect "who remembers wins" "$expected" "$(PATH=$work/bin ./play.sh -s "$url" -n 10)"
expect "who forgets is right half the time" "10 episodes, sum of returns 0" \
    "$(./play.sh -s "$url" -n 10 -p forget | sed -n '$p')"
expect "this machine is not asked through a proxy" "1 episodes, sum of returns 1" \
    "$(http_proxy=http://127.0.0.1:9 ./play.sh -s "$url" -n 1 | sed -n '$p')"
expect "its environments are closed" '{"envs":[]}' "$(curl -sS "$url/v1/envs")"
expect "no proxy stands between" "1 episodes, sum of returns 1" \
    "$(http_proxy=http://127.0.0.1:9 ALL_PROXY=http://127.0.0.1:9 ./play.sh -s "$url" -n 1 | sed -n '$p')"
expect "a refusal is told" "1 invalid-kwargs" \
    "$(./play.sh -s "$url" -d 0 2>"$work/err" && echo 0 || echo "$? $(sed -n 's/.*"code":"\([^"]*\)".*/\1/p' "$work/err")")"
kill $pid

printf '[tests]\ntoken = "a-token-of-the-tests"\n' >"$work/tokens.toml"
chmod 600 "$work/tokens.toml"
serve 127.0.0.1:0 --token-file "$work/tokens.toml"
expect "a token is sent" "1 episodes, sum of returns 1" \
    "$(STRATEGIC_MEMORY_TOKEN=a-token-of-the-tests ./play.sh -s "$url" -n 1 | sed -n '$p')"
expect "without one it is refused" 1 "$(./play.sh -s "$url" -n 1 2>/dev/null && echo 0 || echo $?)"
kill $pid

# The server is killed in the middle and restarted: no step is lost or applied twice.
serve 127.0.0.1:0 --data-dir "$work/data"
: >"$work/played"
./play.sh -s "$url" -n 40 >>"$work/played" &
player=$!
until [ "$(wc -l <"$work/played")" -ge 3 ]; do sleep 0.05; done
kill -9 $pid
wait $pid 2>/dev/null || true
kill -0 $player || { echo "play.sh had ended before the server was killed" >&2; exit 1; }
serve "${url#http://}" --data-dir "$work/data"
wait $player
expect "a server that is killed is waited for" "40 episodes, sum of returns 40" "$(sed -n '$p' "$work/played")"
expect "and every episode is whole" 40 "$(grep -c 'return 1$' "$work/played")"
