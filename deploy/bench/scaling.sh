#!/usr/bin/env bash
# Runs 1, 2, 4 and 8 processors on 12 and 48 partitions of the servers of KAFKA_BROKERS, MONGO_URI and REDIS_ADDR, and prints for each how fast
# a backlog is worked off, how long a member that joins, leaves or is killed keeps partitions without an owner, and when the lag is gone.
# Nothing else should run on the machine meanwhile. Topics and databases are its own, and removed.
#   PROCESSORS, PARTITIONS   what is tried, each with each           ["1 2 4 8", "12 48"]
#   SHIPMENTS                of the backlog; each has five records   [20000]
#   RATE                     events a second while members come and go [1000]
#   PROGRAM                  a processor-service; none: it is built  []
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
repository=$(cd "$here/../.." && pwd -P)
: "${KAFKA_BROKERS:?}" "${MONGO_URI:?}" "${REDIS_ADDR:?}"

if [ -z "${PROGRAM:-}" ]; then
  cargo build --quiet --release --locked --manifest-path "$repository/Cargo.toml" -p processor-service --features servers
  target=${CARGO_TARGET_DIR:-$repository/target}
  PROGRAM=$target/release/processor-service
fi

STAGES=$(mktemp)
export STAGES
# A stage is a topic with its two companions, a group and a database.
finish() {
  local stage mongo=${MONGO_URI#*://}
  mongo=${mongo##*@}
  mongo=${mongo%%[/,]*}
  while read -r stage; do
    "$repository/deploy/local/kafka-tools.sh" topics --delete --if-exists --topic "$stage\\..*" >&2 || true
    python3 "$here/scaling.py" drop "$mongo" "$stage" || echo "the database $stage is still there" >&2
  done <"$STAGES"
  rm -f "$STAGES"
}
trap finish EXIT
python3 "$here/scaling.py" "$PROGRAM"
