#!/usr/bin/env bash
# Shows that the simulator can fail: breaks the code in one way after the other (mutants/*.patch), in a copy, and runs the schedules. Each
# mutant must apply, compile and be found out within RUNS schedules (150,000); else this fails.
# Usage: deploy/sim/mutants.sh [NAME …]   (all, when none is named)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
root=$PWD
runs=${RUNS:-150000}
copy=$root/.local/mutants/tree
# A folder of its own: cargo takes a package of a copy for the same package.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target}/mutants CARGO_INCREMENTAL=1
# The copy lies in a working tree, whose index `git apply` must not take for its own.
export GIT_CEILING_DIRECTORIES=$root/.local/mutants

mkdir -p "$copy"
find "$copy" -mindepth 1 -delete
git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$copy"
cd "$copy"
mutant=$CARGO_TARGET_DIR/sim/sim

build() { cargo build --profile sim -p sim --locked --quiet 2>&1; }
survived=()
try() {
  local name=$1 patch=$root/deploy/sim/mutants/$1.patch said status=0
  if ! said=$(git apply "$patch" 2>&1); then
    printf '%-32s does not apply: %s\n' "$name" "$said"
    survived+=("$name")
    return
  fi
  if ! said=$(build); then
    printf '%-32s does not compile\n%s\n' "$name" "$said"
    survived+=("$name")
  else
    said=$("$mutant" 1 "$runs") || status=$?
    if [ "$status" = 1 ]; then
      printf '%-32s found out by schedule %s: %s\n' "$name" "$(sed -n '1s/.* seed \([0-9]*\) fails.*/\1/p' <<<"$said")" \
        "$(tail -n 1 <<<"$said" | sed 's/^ *then //' | cut -c 1-90)"
    else
      printf '%-32s SURVIVES %s schedules\n' "$name" "$runs"
      survived+=("$name")
    fi
  fi
  git apply --reverse "$patch"
}

build >/dev/null
"$mutant" 1 1000 # the whole tree is right, or nothing is shown
if [ $# -gt 0 ]; then names=("$@"); else
  names=()
  for patch in "$root"/deploy/sim/mutants/*.patch; do names+=("$(basename "$patch" .patch)"); done
fi
for name in "${names[@]}"; do try "$name"; done

if [ "${#survived[@]}" -gt 0 ]; then
  echo "${#survived[@]} of ${#names[@]} mutants were not found out: ${survived[*]}"
  exit 1
fi
echo "all ${#names[@]} mutants were found out"
