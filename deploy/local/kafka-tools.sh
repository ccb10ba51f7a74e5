#!/usr/bin/env bash
# The Kafka command line tools out of the same jars, with the address filled in:
#   kafka-tools.sh topics --list
#   kafka-tools.sh consumer-groups --describe --group rastro-processor
#   kafka-tools.sh get-offsets --topic shipments.events
#   kafka-tools.sh console-consumer --topic shipments.events.dlq --from-beginning --property print.headers=true
# The names are those of the distribution's scripts without kafka- and .sh; a class name works too.
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"

tools=org.apache.kafka.tools
case ${1:-} in
  topics) class=$tools.TopicCommand ;;
  consumer-groups) class=$tools.consumer.group.ConsumerGroupCommand ;;
  groups) class=$tools.GroupsCommand ;;
  configs) class=kafka.admin.ConfigCommand ;;
  get-offsets) class=$tools.GetOffsetShell ;;
  console-producer) class=$tools.ConsoleProducer ;;
  console-consumer) class=$tools.consumer.ConsoleConsumer ;;
  producer-perf-test) class=$tools.ProducerPerformance ;;
  consumer-perf-test) class=$tools.ConsumerPerformance ;;
  delete-records) class=$tools.DeleteRecordsCommand ;;
  log-dirs) class=$tools.LogDirsCommand ;;
  dump-log) class=$tools.DumpLogSegments ;;
  metadata-quorum) class=$tools.MetadataQuorumCommand ;;
  broker-api-versions) class=$tools.BrokerApiVersionsCommand ;;
  *.*) class=$1 ;;
  *)
    sed -n '2,7s/^# //p' "$0"
    echo "names: $(sed -n 's/^  \([a-z-]*\)) class=.*/\1/p' "$0" | tr '\n' ' ')"
    exit 2
    ;;
esac
shift

# dump-log reads files; every other tool needs a broker, unless the caller named one.
address=(--bootstrap-server "${KAFKA_BROKERS:-$own_kafka_brokers}")
case " $class $* " in
  *DumpLogSegments* | *" --bootstrap-server"* | *" --bootstrap-controller"* | *bootstrap.servers=*) address=() ;;
esac

jars=$("$local_scripts/kafka.sh" jars)
exec java -Xmx512m -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp "$jars/*" "$class" "${address[@]}" "$@"
