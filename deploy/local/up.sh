#!/usr/bin/env bash
# Starts Kafka, MongoDB and Redis, those that are not there yet, and waits until they can be used.
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"

servers=()
# choose SERVER VARIABLE OWN_ADDRESS
choose() {
  if given "$2" "$3"; then
    printf '%-8s not started: %s is set, that server is used\n' "$1" "$2"
  else
    servers+=("$1")
  fi
}
choose kafka KAFKA_BROKERS "$own_kafka_brokers"
choose mongodb MONGO_URI "$own_mongo_uri"
choose redis REDIS_ADDR "$own_redis_addr"
[ -z "$toxiproxy_port" ] || servers+=(toxiproxy)

"$local_scripts/fetch.sh" "${servers[@]}"

# At the same time: Kafka takes longest, and the others need not wait for it.
starts=()
for server in "${servers[@]}"; do
  "$local_scripts/$server.sh" start &
  starts+=($!)
done
failed=0
for start in "${starts[@]}"; do
  wait "$start" || failed=1
done
exit "$failed"
