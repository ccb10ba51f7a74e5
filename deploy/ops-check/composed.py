"""Checks docker-compose.yml as the loader of Compose understands it: what the schema cannot say."""

import json
import re
import sys

# Images without a shell or a client, for which nothing waits.
NO_HEALTH_CHECK = {"otel-collector", "jaeger"}
# The host's disks, which are what node-exporter is for.
MAY_SEE_THE_HOST = {"node-exporter"}


def faults(services):
    """What is wrong, a line each."""
    published = {}
    for name, service in services.items():
        image = service.get("image", "")
        if not re.search(r":[^:/]+$", image) or image.endswith(":latest"):
            yield f"{name}: the image {image} has no version"
        if "healthcheck" not in service and name not in NO_HEALTH_CHECK:
            yield f"{name}: no health check"
        for other, how in service.get("depends_on", {}).items():
            healthy = how["condition"] == "service_healthy"
            if not healthy and other not in NO_HEALTH_CHECK:
                yield f"{name}: does not wait until {other} is healthy"
        for port in service.get("ports", []):
            if port.get("host_ip") != "127.0.0.1":
                yield f"{name}: port {port['target']} is open to other machines"
            first = published.setdefault(port["published"], name)
            if first != name:
                yield f"{name}: port {port['published']} is {first}'s"
        for mount in service.get("volumes", []):
            if mount["type"] == "bind" and not mount.get("read_only"):
                yield f"{name}: may write to {mount['source']}"
            if mount["source"] == "/" and name not in MAY_SEE_THE_HOST:
                yield f"{name}: sees the whole machine"
        if "build" in service and not (service.get("read_only") and service.get("cap_drop") == ["ALL"]):
            yield f"{name}: may do more than it needs"
    ours = [service for service in services.values() if "build" in service]
    if len(ours) != 4:
        yield f"{len(ours)} services of ours, not two of each"


with open(sys.argv[1], encoding="utf-8") as file:
    found = list(faults(json.load(file)["services"]))
print("\n".join(found))
sys.exit(bool(found))
