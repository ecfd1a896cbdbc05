#!/usr/bin/env bash
# The main job without a cluster: renders the examples, shows what came out, proves a leaf against it.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build --release -p trustd
trustd=${CARGO_TARGET_DIR:-target}/release/trustd
examples=deploy/examples
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

title() { printf '\n\033[1m%s\033[0m\n' "$*"; }
run() {
  printf '$ %s\n' "$(printf '%s ' "$@" | sed "s#$out#OUT#g; s#$trustd#trustd#")"
  "$@" | sed "s#$out#OUT#g"
}

title "One CA out of a Secret, into the namespaces that are labelled for it"
run $trustd render -f $examples/internal-ca --out "$out"
run $trustd inspect "$out/production/internal-ca-bundle/ca-bundle.crt"

title "Several Secrets and ConfigMaps by label, and what a run would do with them"
run $trustd render -f $examples/selectors --out "$out"
run $trustd diff -f $examples/selectors || [[ $? -eq 1 ]] # 1: there are differences

title "A default CA package, and a CA of one's own, in every namespace"
run $trustd render -f $examples/default-cas \
  --default-package-location $examples/packages/example.json --out "$out"

if [[ -r /etc/ssl/certs/ca-certificates.crt ]]; then
  title "The public CAs of this machine"
  $trustd inspect /etc/ssl/certs/ca-certificates.crt | tail -n 3
fi

title "Does a server certificate verify against the bundle?"
run $trustd verify --roots "$out/production/internal-ca-bundle/ca-bundle.crt" \
  --cert $examples/internal-ca/payments.crt --name payments.production.svc
