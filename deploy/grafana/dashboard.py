#!/usr/bin/env python3
"""Writes dashboards/rastro.json. A panel is one line here and thirty there, so the JSON is generated and never edited.

    deploy/grafana/dashboard.py            write it
    deploy/grafana/dashboard.py --check    fail when it is not what would be written (`make ops-check`)
"""

import json
import pathlib
import sys

FILE = pathlib.Path(__file__).parent / "dashboards" / "rastro.json"
# Grafana's grid is 24 columns wide.
COLUMNS = 24
HEIGHT = 8
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
# Probes are many, fast and say 503 on purpose.
NO_PROBES = 'url!~"/livez|/readyz|/health|/metrics"'
EDGE = 'instance=~"$instance"'


def quantiles(metric, by="", where=""):
    """The three latencies that matter, of a histogram."""
    labels = f"le, {by}" if by else "le"
    name = "{{" + by + "}} " if by else ""
    return [
        (f"histogram_quantile({q}, sum by ({labels}) (rate({metric}_bucket{{{where}}}[$__rate_interval])))", f"{name}{word}")
        for q, word in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
    ]


# Row: title, panels. Panel: title, what it tells, unit, width, queries (expression, legend), and the kind when it is no time series.
ROWS = [
    ("At a glance", [
        ("Instances that answer", "Of each program, those that Prometheus can scrape.", "short", 4,
         [('sum by (job) (up{job=~"ingest-service|processor-service"})', "{{job}}")], "stat"),
        ("Requests that fail", "5xx without probes, over 5 minutes. 0.1 % is what a month may have.", "percentunit", 4,
         [("rastro:http_errors:ratio5m", "")], "stat", (0.001, 0.0144)),
        ("Events a second", "What the processors decided.", "ops", 4, [("sum(rastro:outcomes:rate5m)", "")], "stat"),
        ("Accepted to visible, p99", "From an event's record in the log until its outcome can be read.", "s", 4,
         [("rastro:event_end_to_end_seconds:p99_5m", "")], "stat", (1, 5)),
        ("Records that wait", "In all partitions.", "short", 4, [("rastro:consumer_lag:total", "")], "stat", (10000, 100000)),
        ("Dead letters today", "Records that were moved aside in 24 hours, conflicts of keys not counted.", "short", 4,
         [('sum(increase(shipping_dead_letters_total{reason!="KEY_CONFLICT"}[24h]))', "")], "stat", (1, 100)),
    ]),
    ("The edge", [
        ("Requests by route", "Answers a second.", "reqps", 12,
         [(f"sum by (method, url) (rate(shipping_http_requests_total{{{NO_PROBES}, {EDGE}}}[$__rate_interval]))", "{{method}} {{url}}")]),
        ("Answers by code", "4xx are the caller's, 5xx ours.", "reqps", 12,
         [(f"sum by (code) (rate(shipping_http_requests_total{{{NO_PROBES}, {EDGE}}}[$__rate_interval]))", "{{code}}")]),
        ("Latency of POST /events", "Ends when the log has acknowledged. A caller that waits for the outcome is in here too.", "s", 8,
         quantiles("shipping_http_request_duration_seconds", where=f'method="POST", url=~"(/v1)?/events", {EDGE}')),
        ("Latency of reads", "Shipments and lists.", "s", 8,
         quantiles("shipping_http_request_duration_seconds", where=f'method="GET", url=~"(/v1)?/shipments.*", {EDGE}')),
        ("Slowest routes, p99", "Streams are left out by nature: they are answered at once.", "s", 8,
         [(f"topk(5, histogram_quantile(0.99, sum by (le, method, url) (rate(shipping_http_request_duration_seconds_bucket{{{NO_PROBES}, {EDGE}}}[$__rate_interval]))))", "{{method}} {{url}}")]),
        ("Shipments registered", "By what was ordered.", "ops", 8,
         [(f"sum by (service_type) (rate(shipping_shipments_created_total{{{EDGE}}}[$__rate_interval]))", "{{service_type}}")]),
        ("Refused for a limit", "By what was asked for too often (RATE_LIMIT_…).", "reqps", 8,
         [(f"sum by (class) (rate(shipping_rate_limited_total{{{EDGE}}}[$__rate_interval]))", "{{class}}")]),
        ("Idempotency-Key", "What became of requests that carried one.", "reqps", 8,
         [(f"sum by (result) (rate(shipping_idempotency_total{{{EDGE}}}[$__rate_interval]))", "{{result}}")]),
        ("Log-ins", "Throttled ones: somebody guesses, or a proxy is not named.", "reqps", 8,
         [(f"sum by (result) (rate(shipping_logins_total{{{EDGE}}}[$__rate_interval]))", "{{result}}")]),
        ("Tokens and API keys", "What became of what callers presented.", "reqps", 8,
         [(f"sum by (credential, result) (rate(shipping_credentials_total{{{EDGE}}}[$__rate_interval]))", "{{credential}} {{result}}")]),
        ("Password checks", "Slow on purpose; the wait for a turn is in it.", "s", 8,
         quantiles("shipping_password_check_duration_seconds", where=EDGE)),
        ("Open streams", "Callers that listen for changes, on each instance.", "short", 12,
         [(f"sum by (instance) (shipping_streams_open{{{EDGE}}})", "{{instance}}")]),
        ("Streams that began anew", "Listeners that could not be given everything since their last change, by why.", "ops", 12,
         [(f"sum by (reason) (rate(shipping_stream_resets_total{{{EDGE}}}[$__rate_interval]))", "{{reason}}")]),
    ]),
    ("Events", [
        ("Outcomes", "What became of events.", "ops", 12,
         [("sum by (outcome) (rate(shipping_outcomes_total[$__rate_interval]))", "{{outcome}}")]),
        ("Accepted to visible", "From the record in the log until what became of it was durable.", "s", 12,
         quantiles("shipping_event_end_to_end_seconds")),
        ("Applied and recorded, by status", "Events that are in a history now, by what they claim.", "ops", 8,
         [("sum by (status) (rate(shipping_events_processed_total[$__rate_interval]))", "{{status}}")]),
        ("By source", "The ten busiest.", "ops", 8,
         [("topk(10, sum by (source) (rate(shipping_events_processed_total[$__rate_interval])))", "{{source}}")]),
        ("Decision to durable", "Of an event's batch: mostly MongoDB.", "s", 8, quantiles("shipping_event_processing_duration_seconds")),
        ("Seen before", "window_…: at the edge, out of Redis. The rest: what the processors found.", "ops", 8,
         [("sum by (result) (rate(shipping_events_dedup_total[$__rate_interval]))", "{{result}}")]),
        ("Failures", "Each is tried again, or can be done without.", "ops", 8,
         [("sum by (reason) (rate(shipping_events_errors_total[$__rate_interval]))", "{{reason}}")]),
        ("Dead letters", "By why they were moved aside.", "ops", 8,
         [("sum by (reason) (rate(shipping_dead_letters_total[$__rate_interval]))", "{{reason}}")]),
    ]),
    ("The log", [
        ("Lag by partition", "Records behind what the group has committed.", "short", 12,
         [("rastro:consumer_lag:by_partition", "{{partition}}")]),
        ("Lag in total", "When it grows, the processors are slower than the edge.", "short", 6, [("rastro:consumer_lag:total", "records")]),
        ("Partitions of each processor", "They should be about the same for all.", "short", 6,
         [("count by (instance) (shipping_consumer_lag)", "{{instance}}")]),
        ("Records that wait for a lane", "Read, and not yet in a batch.", "short", 12,
         [("sum by (instance) (shipping_events_queue_depth)", "{{instance}}")]),
        ("Storm of dead letters", "1: a processor has stopped and waits for an operator's word.", "short", 12,
         [("max by (instance) (shipping_dlq_storm_open)", "{{instance}}")]),
    ]),
    ("Carriers", [
        ("Scans by carrier", "Accepted ones.", "ops", 12,
         [("topk(10, sum by (carrier) (rate(shipping_carrier_scans_total[$__rate_interval])))", "{{carrier}}")]),
        ("Codes that no mapping knows", "GET /admin/unmapped-codes lists them.", "ops", 6,
         [('topk(10, sum by (carrier) (rate(shipping_carrier_scans_total{result="unmapped"}[$__rate_interval])))', "{{carrier}}")]),
        ("Age of the mappings", "Since they were read, on each instance.", "s", 6,
         [("time() - shipping_carrier_mappings_read_timestamp_seconds > 0", "{{instance}}")]),
        ("Mapping files refused", "1: broken files, the older mappings go on.", "short", 6,
         [("max by (instance) (shipping_carrier_reload_refused)", "{{instance}}")]),
    ]),
    ("Dependencies and resources", [
        ("Circuits", "0 closed, 1 trying, 2 open.", "short", 8,
         [("max by (instance, dependency) (shipping_circuit_state)", "{{instance}} {{dependency}}")]),
        ("Versions", "What runs.", "short", 8, [("count by (service, version) (shipping_build_info)", "{{service}} {{version}}")], "table"),
        ("Panics", "Each is a fault in the program.", "short", 8,
         [("sum by (instance) (increase(shipping_http_panics_total[$__rate_interval]))", "{{instance}}")]),
        ("Processor time (Kubernetes)", "Cores, of each pod.", "short", 8,
         [('sum by (pod) (rate(container_cpu_usage_seconds_total{container=~"ingest-service|processor-service"}[$__rate_interval]))', "{{pod}}")]),
        ("Memory (Kubernetes)", "What counts against the limit, of each pod.", "bytes", 8,
         [('sum by (pod) (container_memory_working_set_bytes{container=~"ingest-service|processor-service"})', "{{pod}}")]),
        ("Free disk", "Kafka keeps every event, MongoDB every outcome.", "percentunit", 8,
         [('min by (instance, mountpoint) (node_filesystem_avail_bytes{fstype!~"tmpfs|overlay|squashfs", job="node"} / node_filesystem_size_bytes)', "{{instance}} {{mountpoint}}"),
          ('min by (namespace, persistentvolumeclaim) (kubelet_volume_stats_available_bytes / kubelet_volume_stats_capacity_bytes)', "{{namespace}} {{persistentvolumeclaim}}")]),
    ]),
]


def panel(number, x, y, title, tells, unit, width, queries, kind="timeseries", limits=None):
    """One panel."""
    steps = [{"color": "green", "value": None}]
    if limits:
        steps += [{"color": "orange", "value": limits[0]}, {"color": "red", "value": limits[1]}]
    targets = [
        {
            "refId": chr(ord("A") + index),
            "datasource": SOURCE,
            "expr": expression,
            "legendFormat": legend or "__auto",
            "instant": kind != "timeseries",
            "range": kind == "timeseries",
            **({"format": "table"} if kind == "table" else {}),
        }
        for index, (expression, legend) in enumerate(queries)
    ]
    options = {
        "timeseries": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi", "sort": "desc"}},
        "stat": {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value", "graphMode": "none", "textMode": "auto"},
        "table": {"showHeader": True},
    }[kind]
    return {
        "id": number,
        "type": kind,
        "title": title,
        "description": tells,
        "datasource": SOURCE,
        "gridPos": {"x": x, "y": y, "w": width, "h": HEIGHT if kind != "stat" else HEIGHT // 2},
        "fieldConfig": {"defaults": {"unit": unit, "min": 0, "thresholds": {"mode": "absolute", "steps": steps}}, "overrides": []},
        "options": options,
        "targets": targets,
    }


def panels():
    """All rows with their panels, laid out from left to right and from top to bottom."""
    number, y = 0, 0
    for title, row in ROWS:
        number += 1
        yield {"id": number, "type": "row", "title": title, "collapsed": False, "panels": [],
               "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1}}
        y, x, tallest = y + 1, 0, 0
        for what in row:
            if x + what[3] > COLUMNS:
                x, y, tallest = 0, y + tallest, 0
            number += 1
            made = panel(number, x, y, *what)
            x, tallest = x + what[3], max(tallest, made["gridPos"]["h"])
            yield made
        y += tallest


def dashboard():
    """The dashboard as Grafana reads it."""
    source = {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus",
              "current": {"text": "Prometheus", "value": "prometheus"}, "hide": 0}
    instance = {"name": "instance", "label": "Edge", "type": "query", "datasource": SOURCE, "refresh": 2, "sort": 1,
                "query": {"query": 'label_values(shipping_build_info{service="ingest-service"}, instance)', "refId": "instance"},
                "includeAll": True, "multi": True, "allValue": ".*", "current": {"text": "All", "value": "$__all"}}
    alerts = {"name": "Alerts", "datasource": SOURCE, "enable": True, "iconColor": "red", "titleFormat": "{{alertname}}",
              "expr": 'ALERTS{alertname=~"Rastro.*", alertstate="firing"}', "step": "60s"}
    return {
        "uid": "rastro",
        "title": "Rastro",
        "description": "The edge, the events, the log and what they stand on. Generated by deploy/grafana/dashboard.py.",
        "tags": ["rastro"],
        "schemaVersion": 39,
        "timezone": "browser",
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "editable": False,
        "graphTooltip": 1,
        "templating": {"list": [source, instance]},
        "annotations": {"list": [alerts]},
        "panels": list(panels()),
    }


def main():
    """Writes the file, or compares it."""
    text = json.dumps(dashboard(), indent=2, ensure_ascii=False) + "\n"
    if sys.argv[1:] == ["--check"]:
        if not FILE.exists() or FILE.read_text(encoding="utf-8") != text:
            sys.exit(f"{FILE.name} is not what dashboard.py writes: run deploy/grafana/dashboard.py")
    else:
        FILE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
