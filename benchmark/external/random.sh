#!/bin/sh
# A contender that guesses, written with sh, curl and awk. It does not train. In its evaluation it takes random actions of
# a Discrete space that starts at 0, until the first episode of every lane is over.
set -eu
[ "$STRATEGIC_MEMORY_PHASE" = evaluate ] || exit 0

ask() { # METHOD PATH [BODY]
    # Never through a proxy: the server is the benchmark's own, on this machine.
    curl --silent --show-error --fail --noproxy '*' --request "$1" --header "Authorization: Bearer $STRATEGIC_MEMORY_TOKEN" \
        --header 'Content-Type: application/json' ${3:+--data "$3"} "$STRATEGIC_MEMORY_SERVER/v1/vector-envs/$2"
}

for id in $STRATEGIC_MEMORY_ENV_IDS; do
    about=$(ask GET "$id")
    lanes=$(echo "$about" | sed 's/.*"num_envs":\([0-9]*\).*/\1/')
    choices=$(echo "$about" | sed 's/.*"single_action_space":{[^}]*"n":\([0-9]*\).*/\1/')
    ask POST "$id/reset" '{}' >/dev/null
    case $choices in *[!0-9]*) echo "random.sh plays Discrete action spaces only" >&2; exit 1 ;; esac
    ended= step=0
    while :; do
        step=$((step + 1))
        actions=$(awk -v seed="$STRATEGIC_MEMORY_SEED$step" -v lanes="$lanes" -v choices="$choices" 'BEGIN {
            srand(seed)
            for (i = 1; i <= lanes; i++) printf "%s%d", (i > 1 ? "," : ""), int(rand() * choices)
        }')
        # A digit for each lane: 1 once its first episode is over.
        ended=$(ask POST "$id/step" "{\"actions\":[$actions]}" | awk -v before="$ended" '
            function list(name, text) { text = $0; sub(".*\"" name "\":\\[", "", text); sub("].*", "", text); return text }
            {
                n = split(list("terminations"), terminated, ",")
                split(list("truncations"), cut, ",")
                for (i = 1; i <= n; i++)
                    printf "%d", substr(before, i, 1) == 1 || terminated[i] == "true" || cut[i] == "true"
            }')
        case $ended in *0*) ;; *) break ;; esac
    done
done
