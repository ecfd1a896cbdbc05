#!/usr/bin/env bash
# The main job on embedded defaults, without a cluster or a proxy: bundles are rendered into namespaces,
# and what TLS costs is measured wherever it can end, trusting one of those bundles.
#
# Arguments go to `tlsbench run`, such as --engine nginx. PROFILE=dev builds without optimisation, for a
# look at what it does; its figures say nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

profile=${PROFILE:-release}
target=${CARGO_TARGET_DIR:-target}
cargo build --profile "$profile" -p trustd -p tlsbench
SECONDS=0 # what follows is timed, and the build is not
built=$target/${profile/dev/debug}
trustd=$built/trustd
tlsbench=$built/tlsbench
examples=deploy/examples
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

title() { printf '\n\033[1m%s\033[0m\n' "$*"; }
say() { printf '$ %s\n' "$(printf '%s ' "$@" | sed "s#$out#OUT#g; s#$built/##")"; }
run() {
  say "$@"
  "$@" | sed "s#$out#OUT#g"
}

title "One CA out of a Secret, into the namespaces that are labelled for it"
run "$trustd" render -f $examples/internal-ca --out "$out"
run "$trustd" inspect "$out/production/internal-ca-bundle/ca-bundle.crt"

title "Several Secrets and ConfigMaps by label, and what a run would do with them"
run "$trustd" render -f $examples/selectors --out "$out"
run "$trustd" diff -f $examples/selectors || [[ $? -eq 1 ]] # 1: there are differences

title "A default CA package, and a CA of one's own, in every namespace"
run "$trustd" render -f $examples/default-cas \
  --default-package-location $examples/packages/example.json --out "$out"

if [[ -r /etc/ssl/certs/ca-certificates.crt ]]; then
  title "The public CAs of this machine"
  "$trustd" inspect /etc/ssl/certs/ca-certificates.crt | tail -n 3
fi

title "Does a server certificate verify against the bundle?"
run "$trustd" verify --roots "$out/production/internal-ca-bundle/ca-bundle.crt" \
  --cert $examples/internal-ca/payments.crt --name payments.production.svc

title "A lab's certificates, and its root in the namespaces of its clients"
run "$tlsbench" pki "$out/lab"
run "$trustd" render -f $examples/lab-ca -f "$out/lab/manifests/root.yaml" --out "$out"

title "What does TLS cost where it ends? Measured trusting that bundle; under three minutes; $SECONDS s since the build"
demo=$target/demo
rm -rf "$demo"
mkdir -p "$demo"
measure=("$tlsbench" run --pki "$out/lab" --ca-bundle "$out/production/lab-ca/ca-bundle.crt"
  --record "$demo/placements.json" "$@")
say "${measure[@]}"
"${measure[@]}" || [[ $? -eq 1 ]] # 1: something spoils a verdict, and the summary says what
