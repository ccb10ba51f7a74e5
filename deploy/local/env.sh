#!/usr/bin/env bash
# Where the local servers live and how they are reached. The scripts of this folder source it; run by itself it prints
# the addresses, so that every program finds the same servers:   eval "$(deploy/local/env.sh)"
#
#   RASTRO_LOCAL_DIR                 .local   data, logs and pid files
#   RASTRO_KAFKA_PORT                19092    RASTRO_KAFKA_CONTROLLER_PORT  the next one
#   RASTRO_KAFKA_ADVERTISED_PORT     the port that clients are told: a fault proxy's, else RASTRO_KAFKA_PORT
#   RASTRO_KAFKA_PROXIED             further listeners for clients behind a fault proxy, each as PORT:ADVERTISED_PORT
#   RASTRO_KAFKA_HEAP                1g
#   RASTRO_MONGO_PORT                27117
#   RASTRO_MONGO_ADVERTISED_PORT     the port that the replica set names: a fault proxy's, else RASTRO_MONGO_PORT
#   RASTRO_REDIS_PORT                16379
#   RASTRO_TOXIPROXY_PORT            when set, a fault proxy is started, too
#   RASTRO_TOXIPROXY_PROXIES         what it forwards, each as NAME=PORT:UPSTREAM_PORT
#   KAFKA_BROKERS, MONGO_URI, REDIS_ADDR   a server that is already there; when set, ours is not started
#
# Another directory and other ports make a second set beside the first one.
# shellcheck disable=SC2034 # read by the scripts that source this
set -euo pipefail

local_scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
repository=$(cd "$local_scripts/../.." && pwd -P)
state_dir=${RASTRO_LOCAL_DIR:-$repository/.local}
case $state_dir in /*) ;; *) state_dir=$PWD/$state_dir ;; esac
# Outside of the checkout: a fresh clone finds what an earlier one downloaded.
cache_dir=${XDG_CACHE_HOME:-$HOME/.cache}/rastro/servers

# Not the usual ports, so that nothing here meets a server that the machine already runs.
kafka_port=${RASTRO_KAFKA_PORT:-19092}
kafka_controller_port=${RASTRO_KAFKA_CONTROLLER_PORT:-$((kafka_port + 1))}
kafka_advertised_port=${RASTRO_KAFKA_ADVERTISED_PORT:-$kafka_port}
kafka_proxied=${RASTRO_KAFKA_PROXIED:-}
kafka_heap=${RASTRO_KAFKA_HEAP:-1g}
mongo_port=${RASTRO_MONGO_PORT:-27117}
mongo_advertised_port=${RASTRO_MONGO_ADVERTISED_PORT:-$mongo_port}
redis_port=${RASTRO_REDIS_PORT:-16379}
toxiproxy_port=${RASTRO_TOXIPROXY_PORT:-}

own_kafka_brokers=127.0.0.1:$kafka_advertised_port
# With the set's name the driver watches for the primary and survives its restart, as it does in production.
own_mongo_uri="mongodb://127.0.0.1:$mongo_advertised_port/?replicaSet=rs0"
own_redis_addr=127.0.0.1:$redis_port

# given VARIABLE OWN: VARIABLE names somebody else's server. Our own address in it, out of an earlier `eval`, does not count.
given() {
  local value=${!1:-}
  [ -n "$value" ] && [ "$value" != "$2" ]
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
  printf 'export KAFKA_BROKERS=%q\n' "${KAFKA_BROKERS:-$own_kafka_brokers}"
  printf 'export MONGO_URI=%q\n' "${MONGO_URI:-$own_mongo_uri}"
  printf 'export REDIS_ADDR=%q\n' "${REDIS_ADDR:-$own_redis_addr}"
fi
