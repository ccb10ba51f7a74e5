"""Holds rendered manifests to the schemas of Kubernetes and of the operators, and to what no schema can say."""

import json
import pathlib
import re
import sys

import jsonschema
import kubernetes_validate
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
# The oldest Kubernetes that has all that is used here (the preStop `sleep`, admission policies), and the newest with a schema.
VERSIONS = ("1.30", "1.37")
# Kinds that operators bring along: k8s/schemas says where each comes from.
OPERATORS = {"keda.sh", "monitoring.coreos.com", "kafka.strimzi.io"}
# How long a program may take to drain, in seconds, with the pause before it.
DRAIN = {"ingest-service": 12 + 8, "processor-service": 10 + 8}

# What stands in deploy/prometheus/rules for the place where docs/ is published, and what an alert must lead to.
UNPUBLISHED = "https://rastro.example/"
PAGE = re.compile(r"https://[^/ ]+(/[^ ]*)?/docs/runbook/[a-z-]+\.md")


def against_schema(thing):
    """What the schema of its kind says about a manifest."""
    group = thing["apiVersion"].split("/")[0]
    if group in OPERATORS:
        schema = json.loads((ROOT / "k8s/schemas" / f"{thing['kind'].lower()}.json").read_text(encoding="utf-8"))
        for error in jsonschema.Draft202012Validator(schema).iter_errors(thing):
            yield f"{'.'.join(map(str, error.path))}: {error.message}"
        return
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(thing, version, strict=True)
        except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
            yield f"Kubernetes {version}: {getattr(error, 'message', error)}"


def of(things, kind):
    """The manifests of a kind, by name."""
    return {thing["metadata"]["name"]: thing for thing in things if thing["kind"] == kind}


def pod(name, deployment):
    """What is wrong with the pods of a deployment."""
    spec = deployment["spec"]["template"]["spec"]
    container = spec["containers"][0]
    security = container["securityContext"]
    restricted = (spec["securityContext"]["runAsNonRoot"] and spec["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
                  and security["readOnlyRootFilesystem"] and not security["allowPrivilegeEscalation"] and security["capabilities"]["drop"] == ["ALL"])
    if not restricted:
        yield "its pods are not restricted"
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        if probe not in container:
            yield f"no {probe}"
    if ":" not in container["image"] or container["image"].endswith(":latest"):
        yield f"the image {container['image']} has no version"
    pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    if spec["terminationGracePeriodSeconds"] <= pause + DRAIN[name]:
        yield "it is killed before it has drained"
    resources = container["resources"]
    if not {"cpu", "memory"} <= set(resources["requests"]) or "memory" not in resources["limits"]:
        yield "requests or limits are missing"
    if spec["automountServiceAccountToken"]:
        yield "it has a token of the cluster"


def partitions(things, settings):
    """Whether anybody may ask for more processors than partitions."""
    count = int(settings["KAFKA_PARTITIONS"])
    replicas = of(things, "Deployment")["processor-service"]["spec"].get("replicas", 0)
    if replicas > count:
        yield f"Deployment processor-service: {replicas} replicas for {count} partitions"
    for name, scaled in of(things, "ScaledObject").items():
        most = scaled["spec"]["maxReplicaCount"]
        if most != count:
            yield f"ScaledObject {name}: up to {most} replicas for {count} partitions"
    for name, topic in of(things, "KafkaTopic").items():
        if topic["spec"]["partitions"] != count:
            yield f"KafkaTopic {name}: {topic['spec']['partitions']} partitions and not {count}"
    for name, policy in of(things, "ValidatingAdmissionPolicy").items():
        variables = {variable["name"]: variable["expression"] for variable in policy["spec"]["variables"]}
        if variables["partitions"] != str(count):
            yield f"ValidatingAdmissionPolicy {name}: allows {variables['partitions']} for {count} partitions"


def references(things):
    """Whether what is referred to is there."""
    maps = of(things, "ConfigMap")
    deployments = of(things, "Deployment")
    for name, deployment in deployments.items():
        for source in deployment["spec"]["template"]["spec"]["containers"][0]["envFrom"]:
            wanted = source.get("configMapRef", {}).get("name")
            if wanted and wanted not in maps:
                yield f"Deployment {name}: the ConfigMap {wanted} is not there"
    for kind in ("Service", "PodDisruptionBudget", "ServiceMonitor"):
        for name in of(things, kind):
            if name not in deployments:
                yield f"{kind} {name} is of no deployment"
    for kind, scaled in (("HorizontalPodAutoscaler", "ingest-service"), ("ScaledObject", "processor-service")):
        if of(things, kind) and "replicas" in deployments[scaled]["spec"]:
            yield f"{kind} and {scaled} both say how many"
    for name, secret in of(things, "Secret").items():
        yield f"Secret {name}: no secret belongs into a repository ({', '.join(secret.get('data', {}))})"


def inside(things):
    """Whether what is for the cluster only can be reached from outside."""
    for name, ingress in of(things, "Ingress").items():
        for path in (path["path"] for rule in ingress["spec"]["rules"] for path in rule["http"]["paths"]):
            for hidden in ("/metrics", "/admin", "/livez", "/readyz"):
                if any((whole + "/").startswith(path.rstrip("/") + "/") for whole in (hidden, "/v1" + hidden)):
                    yield f"Ingress {name}: {path} leads to {hidden}"


def admitted(policy):
    """The namespaces that a network policy lets in, and to which port of the pods."""
    for rule in policy["spec"].get("ingress", []):
        for peer in rule.get("from", [{}]):
            namespace = peer.get("namespaceSelector", {}).get("matchLabels", {}).get("kubernetes.io/metadata.name", "everybody")
            for port in rule.get("ports", [{}]):
                yield namespace, port.get("port", "every port")


def operators_port(things):
    """Whether all agree on where metrics, /admin and probes are."""
    services, policies = of(things, "Service"), of(things, "NetworkPolicy")
    for name, deployment in of(things, "Deployment").items():
        container = deployment["spec"]["template"]["spec"]["containers"][0]
        variables = {variable["name"]: variable.get("value") for variable in container["env"]}
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        if [variables.get("PORT"), variables.get("ADMIN_PORT")] != [str(ports.get("http")), str(ports.get("admin"))]:
            yield f"Deployment {name}: PORT and ADMIN_PORT are not its ports {ports}"
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            if container.get(probe, {}).get("httpGet", {}).get("port") != "admin":
                yield f"Deployment {name}: its {probe} is not on the port admin"
        served = {port["name"]: port["targetPort"] for port in services[name]["spec"]["ports"]}
        if served != {"http": "http", "admin": "admin"}:
            yield f"Service {name}: its ports lead to {served}"
        wanted = {("monitoring", "admin")} | ({("ingress-nginx", "http")} if name == "ingest-service" else set())
        let_in = set(admitted(policies[name]))
        if let_in != wanted:
            yield f"NetworkPolicy {name}: lets in {sorted(let_in)} and not {sorted(wanted)}"
    for name, monitor in of(things, "ServiceMonitor").items():
        if [endpoint["port"] for endpoint in monitor["spec"]["endpoints"]] != ["admin"]:
            yield f"ServiceMonitor {name}: does not ask at the port admin"


def runbooks(things):
    """Whether the overlay has said where the alerts' pages are published."""
    for name, rules in of(things, "PrometheusRule").items():
        for rule in (rule for group in rules["spec"]["groups"] for rule in group["rules"] if "alert" in rule):
            link = rule["annotations"]["runbook_url"]
            if link.startswith(UNPUBLISHED) or not PAGE.fullmatch(link):
                yield f"PrometheusRule {name}: {rule['alert']} leads to {link}"


def faults(things):
    """What is wrong, a line each."""
    for thing in things:
        what = f"{thing['kind']} {thing['metadata']['name']}"
        yield from (f"{what}: {fault}" for fault in against_schema(thing))
    settings = next(thing["data"] for thing in things if thing["kind"] == "ConfigMap")
    for name, deployment in of(things, "Deployment").items():
        yield from (f"Deployment {name}: {fault}" for fault in pod(name, deployment))
    yield from partitions(things, settings)
    yield from references(things)
    yield from inside(things)
    yield from operators_port(things)
    yield from runbooks(things)


with open(sys.argv[1], encoding="utf-8") as file:
    manifests = [thing for thing in yaml.safe_load_all(file) if thing]
found = list(faults(manifests))
print("\n".join(found))
sys.exit(bool(found) or not manifests)
