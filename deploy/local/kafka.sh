#!/usr/bin/env bash
# Apache Kafka, one node (KRaft), out of the jars that pom.xml names.   kafka.sh start | stop | kill | status | missing | fetch | jars
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
source "$local_scripts/lifecycle.sh"

version=$(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' "$local_scripts/pom.xml")
name=kafka
title="Apache Kafka $version"
ports="$kafka_port $kafka_controller_port"
for proxied in $kafka_proxied; do ports+=" ${proxied%:*}"; done
port_variables="RASTRO_KAFKA_PORT, RASTRO_KAFKA_CONTROLLER_PORT"
deadline=60
jars=$cache_dir/kafka-$version

java_17() {
  local major
  major=$(java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p')
  [ "${major:-0}" -ge 17 ]
}

missing() {
  if ! java_17; then
    # A release has one of the two; which one is known to apt only.
    if apt-cache show openjdk-17-jre-headless >/dev/null 2>&1 || ! apt-cache show openjdk-21-jre-headless >/dev/null 2>&1; then
      echo openjdk-17-jre-headless
    else
      echo openjdk-21-jre-headless
    fi
  fi
  [ -d "$jars" ] || command -v mvn >/dev/null || echo maven
}

fetch() {
  local part
  [ ! -d "$jars" ] || return 0
  mkdir -p "$cache_dir"
  # Downloaded beside its place and moved there whole: an interrupted download, or a second checkout's, is never half used.
  part=$(mktemp -d "$jars.XXXXXX")
  echo "kafka    downloading $title (54 MB)" >&2
  # Maven resets the colours of a log file, too; without that, its silence is silent.
  if ! mvn --quiet --batch-mode --file "$local_scripts/pom.xml" dependency:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$part" 2>&1 | sed 's/\x1b\[[0-9;]*m//g' >&2; then
    rm -rf "$part"
    die "the jars could not be downloaded"
  fi
  chmod 755 "$part"
  mv -T "$part" "$jars" 2>/dev/null || rm -rf "$part"
}

# One listener for each kind of client behind a proxy: what a broker advertises belongs to the listener that was asked. Of a
# property that stands there twice the last one counts.
proxied_listeners() {
  local proxied number=0 listeners='' advertised='' protocols=''
  [ -n "$kafka_proxied" ] || return 0
  for proxied in $kafka_proxied; do
    listeners+=",PROXIED_$number://127.0.0.1:${proxied%:*}"
    advertised+=",PROXIED_$number://127.0.0.1:${proxied#*:}"
    protocols+=",PROXIED_$number:PLAINTEXT"
    number=$((number + 1))
  done
  echo "listeners=$(sed -n 's/^listeners=//p' server.properties)$listeners"
  echo "advertised.listeners=$(sed -n 's/^advertised.listeners=//p' server.properties)$advertised"
  echo "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT$protocols"
}

configure() {
  sed -e "s/@PORT@/$kafka_port/; s/@CONTROLLER_PORT@/$kafka_controller_port/; s/@ADVERTISED_PORT@/$kafka_advertised_port/" \
    "$local_scripts/server.properties" >server.properties
  proxied_listeners >>server.properties
  # A new id for new data, so that a client notices a log that is not the one it knew. 16 bytes; letters instead of the
  # two signs, because the tool takes a leading dash for an option.
  [ -e data/meta.properties ] ||
    java -cp "$jars/*" kafka.tools.StorageTool format --config server.properties \
      --cluster-id "$(head -c 16 /dev/urandom | base64 | tr '+/' 'Aa' | cut -c 1-22)"
}

launch() {
  exec setsid java "-Xmx$kafka_heap" -Djava.awt.headless=true \
    -Dorg.slf4j.simpleLogger.showDateTime=true -Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd\'T\'HH:mm:ss.SSS \
    -cp "$jars/*" kafka.Kafka server.properties
}

# It answers before the controller lets it host partitions, so its own word is awaited first; then a request (ApiVersions
# version 0, correlation id 1, no client id) must be answered.
ready() (
  grep -q -m 1 'Kafka Server started' "$log" || { echo "it does not say that it has started"; exit 1; }
  exec 3<>"/dev/tcp/127.0.0.1/$kafka_port"
  printf '\0\0\0\012\0\022\0\0\0\0\0\1\377\377' >&3
  [ "$(timeout 3 head -c 8 <&3 | wc -c)" -eq 8 ] || { echo "no answer on port $kafka_port"; exit 1; }
)

if [ "${1:-}" = jars ]; then
  fetch
  echo "$jars"
else
  lifecycle "$@"
fi
