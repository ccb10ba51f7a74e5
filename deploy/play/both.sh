#!/usr/bin/env bash
# Plays parcel histories against the pair on real servers (KAFKA_BROKERS, MONGO_URI, REDIS_ADDR) and against rastro, both new.
# Each must give what the contract says, and both must print the same table.   both.sh [FILE]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
file=${1:-$here/sample.ndjson}
# shellcheck source=deploy/bench/systems.sh
source "$here/../bench/systems.sh"
: "${KAFKA_BROKERS:?}" "${MONGO_URI:?}" "${REDIS_ADDR:?}"

build_systems
code=0
for system in pair rastro; do
  say "playing $file against $system"
  "start_$system"
  "$programs/play" --expect --url "$url" "$file" >"$work/$system.table" || { code=1; echo "$system: the run failed" >&2; }
  stop_system
done

cat "$work/pair.table"
if diff -u --label pair --label rastro "$work/pair.table" "$work/rastro.table" >&2; then
  say 'both tables are the same'
else
  code=1
fi
exit "$code"
