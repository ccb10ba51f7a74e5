#!/usr/bin/env bash
# What stands beside the programs, checked without any server or container engine: `make ops-check`. Every check runs, also after one
# that failed; the last line says how many failed, and so does the exit code. docs/validation.md says what each one proves.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

folder=$(deploy/ops-check/tools.sh)
export PATH=$folder/bin:$folder/python/bin:$PATH PYTHONDONTWRITEBYTECODE=1
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
passed=0 failed=0

check() {
  local what=$1
  shift
  if "$@" >"$out/said" 2>&1; then
    passed=$((passed + 1))
    echo "ok      $what"
  else
    failed=$((failed + 1))
    echo "FAILED  $what"
    sed 's/^/        /' "$out/said"
  fi
}

render() { kustomize build "k8s/overlays/$1" >"$out/$1.yaml"; }
manifests() { python deploy/ops-check/manifests.py "$out/$1.yaml"; }
composed() { compose -format json docker-compose.yml >"$out/compose.json" && python deploy/ops-check/composed.py "$out/compose.json"; }
panels() { python deploy/ops-check/panels.py deploy/grafana/dashboards/*.json >"$out/panels.yml" && promtool check rules "$out/panels.yml"; }
# The rules lie elsewhere in the container.
scraping() {
  sed "s|/etc/prometheus/rules|$PWD/deploy/prometheus/rules|" deploy/prometheus/prometheus.yml >"$out/prometheus.yml"
  promtool check config "$out/prometheus.yml"
}
# Advisories need a database that is fetched from outside; the workflow on GitHub looks at them.
dependencies() { cargo-deny --locked --log-level error check --hide-inclusion-graph bans licenses sources; }

check 'Prometheus reads its configuration' scraping
check 'the rules are rules' promtool check rules deploy/prometheus/rules/recording.yml deploy/prometheus/rules/alerts.yml
check 'each alert is raised by what it is for, and by nothing else' promtool test rules deploy/prometheus/tests/alerts.yml
check 'each alert has a case and a page, and each page an alert' python deploy/ops-check/alerts.py
check 'the rules for Kubernetes are the same' deploy/prometheus/kubernetes.py --check
check 'the dashboard is what its script writes' deploy/grafana/dashboard.py --check
check 'the panels can be laid out, and their queries read' panels
check 'docker-compose.yml is one, with health checks throughout' composed
for overlay in dev production; do
  check "the overlay $overlay can be rendered" render "$overlay"
  check "the overlay $overlay is what Kubernetes and its operators take" manifests "$overlay"
done
check 'the Dockerfile is one' hadolint deploy/docker/Dockerfile
check 'the workflows are workflows' actionlint -shellcheck= -pyflakes= .github/workflows/*.yml
check 'the tests that SECURITY.md names are there' python deploy/ops-check/promised.py
check 'dependencies have licences and sources that we take' dependencies

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
