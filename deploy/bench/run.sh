#!/usr/bin/env bash
# The whole comparison in one run: the pair on real servers (KAFKA_BROKERS, MONGO_URI, REDIS_ADDR), rastro, and the bare MongoDB
# that neither needs to beat. Each is new, alone on the machine, and gets the same load; what is measured prints as it comes, and
# one table at the end.
#   SECONDS_EACH   how long each is loaded at most   [20]
#   SHIPMENTS      registered beforehand; each takes 4 events, so 60000 last for 20 s at 12,000 events a second   [60000]
#   RATE           events a second; 0: as many as go   [0]
#   BATCH, CONNECTIONS   events in a request, connections   [100, 16]
#   RESULTS        a file that keeps the JSON lines   []
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
# shellcheck source=deploy/bench/systems.sh
source "$here/systems.sh"
: "${KAFKA_BROKERS:?}" "${MONGO_URI:?}" "${REDIS_ADDR:?}"

results=$work/results
code=0

measure() {
  local process watched=()
  for process in "${processes[@]}"; do watched+=(--pid "$process"); done
  "$programs/bench" events --url "$url" --label "$1" --seconds "${SECONDS_EACH:-20}" --shipments "${SHIPMENTS:-60000}" \
    --rate "${RATE:-0}" --batch "${BATCH:-100}" --connections "${CONNECTIONS:-16}" "${watched[@]}" >>"$results" ||
    { code=1; echo "$1: the measurement failed" >&2; }
}

say 'building'
build_systems
for system in pair rastro; do
  say "$system: ${SHIPMENTS:-60000} shipments, then ${SECONDS_EACH:-20} s of load"
  "start_$system"
  measure "$system"
  stop_system
done
say 'bare MongoDB'
"$programs/bench" ceiling-mongo >>"$results" || code=1

say 'in one table'
"$programs/bench" compare "$results"
[ -z "${RESULTS:-}" ] || cp "$results" "$RESULTS"
exit "$code"
