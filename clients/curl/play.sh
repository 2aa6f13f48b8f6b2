#!/bin/sh
# Plays whole episodes of MemoryTask-v0 with nothing but sh, curl and sed, and remembers the cue in a variable.
# Usage: play.sh [-s URL] [-n EPISODES] [-d DELAY] [-p remember|forget]
# Sends $STRATEGIC_MEMORY_TOKEN if it is set. The exit status is 1 if the server refuses or cannot be reached.
set -eu

server=http://127.0.0.1:7878 episodes=5 delay=4 policy=remember most_tries=30
direct=localhost,127.0.0.1,::1,${no_proxy:-${NO_PROXY:-}}
while getopts s:n:d:p: option; do
    case $option in
        s) server=$OPTARG ;;
        n) episodes=$OPTARG ;;
        d) delay=$OPTARG ;;
        p) policy=$OPTARG ;;
        *) sed -n 's/^# Usage: //p' "$0" >&2; exit 2 ;;
    esac
done

# A proxy is usually on another machine, which cannot reach a server on this one.
no_proxy=${no_proxy:-${NO_PROXY:-}}
export no_proxy="${no_proxy:+$no_proxy,}localhost,127.0.0.1,::1"

# ask METHOD PATH [BODY]: sends a request until there is an answer, and puts its body into $reply. Repeating it is
# safe: the body carries a seq, and the server applies each seq once.
ask() {
    tries=0
    while :; do
        # The token goes through a pipe, because all users can see the list of processes. The last line is the status.
        # A server on this machine is reached without a proxy, and the size of a reply is limited.
        if reply=$(
            printf '%s' "${STRATEGIC_MEMORY_TOKEN:+header = \"Authorization: Bearer $STRATEGIC_MEMORY_TOKEN\"}" |
                curl -K - -sS --max-time 30 --max-filesize 1000000 --noproxy "$direct" -X "$1" \
                    -H 'Content-Type: application/json' ${3:+-d "$3"} -w '\n%{http_code}' "$server$2"
        ); then
            status=${reply##*
}
            reply=${reply%?"$status"}
            case $status in
                2*) return ;;
                408 | 429 | 502 | 503 | 504) ;; # Try again.
                *) echo "$1 $2 was refused: $reply" >&2; exit 1 ;;
            esac
        fi
        tries=$((tries + 1))
        [ $tries -lt $most_tries ] || { echo "no answer from $server in $tries tries" >&2; exit 1; }
        sleep 1
    done
}

# field NAME: prints the number or word after "NAME": in $reply, or the first one of a list.
field() {
    printf '%s\n' "$reply" | sed -n 's/.*"'"$1"'":\[*\([^],}]*\).*/\1/p'
}

env=/v1/envs/curl-$$-$(date +%s)
ask PUT "$env" '{"spec_id":"MemoryTask-v0","kwargs":{"delay":'"$delay"',"difficulty":1}}'
trap 'most_tries=1; ask DELETE "$env"' EXIT
trap 'exit 130' INT
seq=$(field seq)

episode=0 total=0
while [ $episode -lt "$episodes" ]; do
    ask POST "$env/reset" '{"seq":'"$seq"',"seed":'$episode'}'
    seq=$(field seq) cue=$(field observation) return=0 terminated=false
    cue=${cue%.0}
    action=$cue
    [ "$policy" = remember ] || action=0
    while [ "$terminated" = false ]; do
        ask POST "$env/step" '{"seq":'"$seq"',"action":'"$action"'}'
        seq=$(field seq) reward=$(field reward) terminated=$(field terminated)
        return=$((return + ${reward%.0}))
    done
    echo "episode $episode: the cue was $cue, return $return"
    episode=$((episode + 1)) total=$((total + return))
done
echo "$episodes episodes, sum of returns $total"
