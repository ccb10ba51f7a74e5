#!/usr/bin/env bash
# Starts one platform, new: with a topic and a database, or a directory, of its own, and removes them again. Sourced by run.sh
# beside it and by deploy/play/both.sh. A platform that is already running is neither used nor touched.
#
#   build_systems                  optimised programs, each with the features that it is shipped with; none when
#                                  PROGRAMS names a directory that holds them
#   start_pair | start_rastro      sets $url, and $processes to name=pid of everything that takes part
#   stop_system                    stops it and removes what it wrote
# shellcheck disable=SC2034 # read by the scripts that source this
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
target=${CARGO_TARGET_DIR:-$repository/target}
case $target in /*) ;; *) target=$PWD/$target ;; esac
programs=${PROGRAMS:-$target/release}
# Seconds until a program must be ready, and until it must have ended (both drain first).
ready_deadline=60
end_deadline=30
work=$(mktemp -d)
pids=()
processes=()
topic=
database=
systems=0

say() { printf '== %s\n' "$*" >&2; }

build_systems() {
  local package
  [ -z "${PROGRAMS:-}" ] || return 0
  say 'building'
  for package in ingest-service processor-service; do
    cargo build --quiet --release --locked --manifest-path "$repository/Cargo.toml" -p "$package" --features servers
  done
  cargo build --quiet --release --locked --manifest-path "$repository/Cargo.toml" -p rastro
  cargo build --quiet --release --locked --manifest-path "$repository/Cargo.toml" -p play
  cargo build --quiet --release --locked --manifest-path "$repository/Cargo.toml" -p bench
}

listening() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

next_port=18080
# free_port: sets $port to one that nobody listens on and that was not given out before.
free_port() {
  while listening "$next_port"; do next_port=$((next_port + 1)); done
  port=$next_port
  next_port=$((next_port + 1))
}

is_ready() {
  (
    exec 3<>"/dev/tcp/127.0.0.1/$1"
    printf 'GET /readyz HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n' >&3
    timeout 5 head -n 1 <&3 | grep -q ' 200 '
  ) 2>/dev/null
}

# launch NAME PORT COMMAND…: starts a program, its output in a file.
launch() {
  local name=$1 port=$2 until
  shift 2
  PORT=$port "$@" >"$work/$name.log" 2>&1 </dev/null &
  pids+=($!)
  processes+=("$name=$!")
  until=$((SECONDS + ready_deadline))
  until is_ready "$port"; do
    if [ "$SECONDS" -ge "$until" ] || ! kill -0 "${pids[-1]}" 2>/dev/null; then
      echo "$name is not ready. The end of its output:" >&2
      tail -n 20 "$work/$name.log" >&2
      return 1
    fi
    sleep 0.1
  done
}

# watch_server NAME ADDRESS: adds the process that listens at host:port, when it is one of this machine.
watch_server() {
  local pid
  pid=$(ss -Hltnp "sport = :${2##*:}" 2>/dev/null | sed -n 's/.*pid=\([0-9]*\).*/\1/p' | head -n 1)
  [ -z "$pid" ] || processes+=("$1=$pid")
}

start_pair() {
  local port ingest
  systems=$((systems + 1))
  topic=rastro_measured_$$_$systems.events
  database=rastro_measured_$$_$systems
  processes=()
  export KAFKA_TOPIC=$topic KAFKA_GROUP=$database MONGO_DB=$database ENV=development LOG_LEVEL=${LOG_LEVEL:-warn}
  free_port
  ingest=$port
  free_port
  launch processor "$port" "$programs/processor-service"
  launch ingest "$ingest" "$programs/ingest-service"
  local mongo=${MONGO_URI#*://}
  mongo=${mongo##*@}
  mongo=${mongo%%[/,]*}
  watch_server kafka "${KAFKA_BROKERS%%,*}"
  watch_server mongod "$mongo"
  watch_server redis "$REDIS_ADDR"
  url=http://127.0.0.1:$ingest
}

start_rastro() {
  local port
  processes=()
  free_port
  mkdir "$work/data"
  export DATA_DIR=$work/data ENV=development LOG_LEVEL=${LOG_LEVEL:-warn}
  launch rastro "$port" "$programs/rastro"
  url=http://127.0.0.1:$port
}

stop_system() {
  local pid until=$((SECONDS + end_deadline))
  for pid in "${pids[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do
    while kill -0 "$pid" 2>/dev/null && [ "$SECONDS" -lt "$until" ]; do sleep 0.1; done
    if kill -KILL "$pid" 2>/dev/null; then echo "process $pid did not end by itself" >&2; fi
    wait "$pid" || true
  done
  pids=()
  rm -rf "$work/data"
  if [ -n "$topic" ]; then
    "$repository/deploy/local/kafka-tools.sh" topics --delete --if-exists --topic "${topic%.events}\..*" >&2 ||
      echo "the topics ${topic%.events}.* are still there" >&2
    "$programs/bench" drop-database "$database" || echo "the database $database is still there" >&2
    topic=
  fi
}

finish() {
  [ "${#pids[@]}" -eq 0 ] || stop_system
  rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM
