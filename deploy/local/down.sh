#!/usr/bin/env bash
# Stops what up.sh started and waits until the ports are free. CLEAN=1 also removes the data and the logs; what was
# downloaded stays. Servers that KAFKA_BROKERS, MONGO_URI or REDIS_ADDR name are nobody's to stop.
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"

failed=0
for server in redis mongodb kafka ${toxiproxy_port:+toxiproxy}; do
  "$local_scripts/$server.sh" stop || failed=1
done
if [ -n "${CLEAN:-}" ] && [ "$failed" -eq 0 ]; then
  rm -rf "${state_dir:?}"/{kafka,mongodb,redis,toxiproxy}
  echo "removed their data in $state_dir"
fi
exit "$failed"
