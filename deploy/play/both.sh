#!/usr/bin/env bash
# Plays parcel histories against the pair on real servers (KAFKA_BROKERS, MONGO_URI, REDIS_ADDR) and against rastro, both new.
# Each must give what the contract says, and both must print the same table.   both.sh [FILE]
#
#   POLICY=strict|field    how the shipments are judged                                        [strict]
#   ORDERS='ORDER…'        time, listed, shuffled: each of them is played against both         [time]
#   SEED=N                 which shuffled order
#   AT_LEAST=PERCENT       so many of the histories must end right
#
# Under the field policy the tables of all orders must be the same too.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
file=${1:-$here/sample.ndjson}
policy=${POLICY:-strict}
read -ra orders <<<"${ORDERS:-time}"
options=(--expect --policy "$policy" ${SEED:+--seed "$SEED"} ${AT_LEAST:+--at-least "$AT_LEAST"})
# shellcheck source=deploy/bench/systems.sh
source "$here/../bench/systems.sh"
: "${KAFKA_BROKERS:?}" "${MONGO_URI:?}" "${REDIS_ADDR:?}"

build_systems
code=0
for system in pair rastro; do
  "start_$system"
  for order in "${orders[@]}"; do
    say "playing $file against $system: $policy policy, $order order"
    "$programs/play" "${options[@]}" --order "$order" --url "$url" "$file" >"$work/$system.$order.table" ||
      { code=1; echo "$system, $order order: the run failed" >&2; }
  done
  stop_system
done

# same ONE OTHER: compares the tables of two runs.
same() {
  diff -u --label "${1/./, }" --label "${2/./, }" "$work/$1.table" "$work/$2.table" >&2 || code=1
}

first=${orders[0]}
for order in "${orders[@]}"; do
  if [ "$order" = "$first" ] || [ "$policy" = strict ]; then cat "$work/pair.$order.table"; fi
  same "pair.$order" "rastro.$order"
  if [ "$policy" = field ]; then same "pair.$first" "pair.$order"; fi
done
runs="$((2 * ${#orders[@]})) runs, $policy policy, orders: ${orders[*]}"
if [ "$code" -eq 0 ]; then
  say "$runs: each gave what the contract says, and the tables are the same"
else
  say "$runs: one failed, or tables differ that must be the same"
fi
exit "$code"
