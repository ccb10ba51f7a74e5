#!/usr/bin/env bash
# The whole comparison in one run: the pair on real servers (KAFKA_BROKERS, MONGO_URI, REDIS_ADDR), rastro, and the bare MongoDB,
# which is the pair's ceiling. Both are new and are loaded three times: with as many events as go under either policy, and with half
# of what became visible then; and one shipment gets a long history. One table at the end. Nothing else should run on the machine meanwhile.
#   SECONDS_EACH   how long each is loaded at most   [20]
#   SHIPMENTS      registered beforehand; each takes 4 events, so 60000 last for 20 s at 12,000 events a second   [60000]
#   BATCH, CONNECTIONS   events in a request, connections   [100, 16]
#   LONG_SCANS     scans of the one shipment with the long history; 0 for none   [100000]
#   RESULTS        a file that keeps the JSON lines   []
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
# shellcheck source=deploy/bench/systems.sh
source "$here/systems.sh"
: "${KAFKA_BROKERS:?}" "${MONGO_URI:?}" "${REDIS_ADDR:?}"

results=$work/results
code=0

# watched: sets $watched to the options that report $processes.
watched() {
  local process
  watched=()
  for process in "${processes[@]}"; do watched+=(--pid "$process"); done
}

# measure LABEL RATE POLICY
measure() {
  watched
  "$programs/bench" events --url "$url" --label "$1" --rate "$2" --policy "$3" --seconds "${SECONDS_EACH:-20}" \
    --shipments "${SHIPMENTS:-60000}" --batch "${BATCH:-100}" --connections "${CONNECTIONS:-16}" "${watched[@]}" >>"$results" ||
    { code=1; echo "$1: the measurement failed" >&2; }
}

build_systems
for system in pair rastro; do
  say "$system: ${SHIPMENTS:-60000} shipments, then as many events as go"
  "start_$system"
  measure "$system" 0 strict
  # Flat out, a queue builds up, and an event's time to its outcome is the length of that queue. So once more with room.
  rate=$(tail -n 1 "$results" | sed -n 's/.*"visible_per_second":\([0-9]*\).*/\1/p')
  if [ "${rate:-0}" -gt 1 ]; then
    say "$system: half as many"
    measure "$system, half" $((rate / 2)) strict
  fi
  say "$system: as many as go under the field policy"
  measure "$system, field" 0 field
  if [ "${LONG_SCANS:-100000}" -gt 0 ]; then
    say "$system: one shipment with ${LONG_SCANS:-100000} scans"
    watched
    "$programs/bench" long --url "$url" --scans "${LONG_SCANS:-100000}" "${watched[@]}" >&2 || code=1
  fi
  stop_system
done
say 'bare MongoDB'
"$programs/bench" ceiling-mongo >>"$results" || code=1

say 'in one table'
"$programs/bench" compare "$results"
[ -z "${RESULTS:-}" ] || cp "$results" "$RESULTS"
exit "$code"
