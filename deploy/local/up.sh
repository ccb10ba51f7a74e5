#!/usr/bin/env bash
# Starts Kafka, MongoDB and Redis, those that are not there yet, and waits until they can be used.
#   RASTRO_FETCH   what is downloaded besides and not started, for tests that start it themselves: toxiproxy
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

missing() {
  packages=()
  local server
  for server in "${servers[@]}" ${RASTRO_FETCH:-}; do
    mapfile -t -O "${#packages[@]}" packages < <("$local_scripts/$server.sh" missing)
  done
}
missing
if [ "${#packages[@]}" -gt 0 ]; then
  if command -v apt-get >/dev/null && [ "$(id -u)" -eq 0 ]; then
    echo "installing what is missing: ${packages[*]}"
    mkdir -p "$state_dir"
    log=$state_dir/packages.log
    export DEBIAN_FRONTEND=noninteractive
    # Which names there are (which Java) is known after the update only, hence the second look.
    if ! { apt-get update -q && missing && apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=120 "${packages[@]}"; } >"$log" 2>&1; then
      echo "apt-get failed. The end of $log:" >&2
      tail -n 20 "$log" >&2
      exit 1
    fi
  else
    echo "Missing on this machine: ${packages[*]} (names of Debian packages). To install:" >&2
    echo "  sudo apt-get update && sudo apt-get install -y ${packages[*]}" >&2
    exit 1
  fi
fi

# At the same time: Kafka takes longest, and the others need not wait for it.
starts=()
for server in ${RASTRO_FETCH:-}; do
  "$local_scripts/$server.sh" fetch &
  starts+=($!)
done
for server in "${servers[@]}"; do
  "$local_scripts/$server.sh" start &
  starts+=($!)
done
failed=0
for start in "${starts[@]}"; do
  wait "$start" || failed=1
done
exit "$failed"
