#!/usr/bin/env bash
# What runs and where; exits 0 when everything can be used.
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"

failed=0
# report SERVER VARIABLE OWN_ADDRESS
report() {
  if given "$2" "$3"; then
    printf '%-8s given    %s is set: not looked at\n' "$1" "$2"
  else
    "$local_scripts/$1.sh" status || failed=1
  fi
}
report kafka KAFKA_BROKERS "$own_kafka_brokers"
report mongodb MONGO_URI "$own_mongo_uri"
report redis REDIS_ADDR "$own_redis_addr"
[ -z "$toxiproxy_port" ] || "$local_scripts/toxiproxy.sh" status || failed=1
exit "$failed"
