#!/usr/bin/env bash
# Both services on this machine, ingest-service on 8080 and processor-service on 8081, against the servers that
# KAFKA_BROKERS, MONGO_URI and REDIS_ADDR name. Ctrl-C stops both; when one ends, the other is stopped too.
#   RELEASE=1                          optimised
#   INGEST_PORT, PROCESSOR_PORT        other ports
set -euo pipefail

profile=()
[ -z "${RELEASE:-}" ] || profile=(--release)
services=(ingest-service processor-service)
ports=("${INGEST_PORT:-8080}" "${PROCESSOR_PORT:-8081}")
export ENV=${ENV:-development}

for service in "${services[@]}"; do
  cargo build --locked "${profile[@]}" -p "$service" --features servers
done

pids=()
ending=

finish() {
  ending=yes
  # Both drain what they have accepted before they end.
  kill -TERM "${pids[@]}" 2>/dev/null || true
}
trap finish INT TERM HUP

for i in "${!services[@]}"; do
  # `cargo run` becomes the service (exec), so its pid is the service's. A session of its own: Ctrl-C reaches it once, as
  # the TERM of `finish`, and not as a second signal that means "now". What prefixes its lines must outlive Ctrl-C, or the
  # last of them are lost.
  PORT=${ports[i]} setsid cargo run --quiet --locked "${profile[@]}" -p "${services[i]}" --features servers \
    > >(trap '' INT TERM && exec sed -u "s/^/${services[i]%-service}: /") 2>&1 &
  pids+=($!)
done

# `wait` returns when the first one ends, or when a signal arrives.
code=0
wait -n "${pids[@]}" || code=$?
if [ -z "$ending" ]; then
  echo "one of the services has ended (exit code $code), stopping the other" >&2
  finish
  [ "$code" -ne 0 ] || code=1
else
  code=0
fi
for pid in "${pids[@]}"; do
  while kill -0 "$pid" 2>/dev/null; do wait "$pid" || true; done
done
exit "$code"
