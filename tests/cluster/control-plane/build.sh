#!/usr/bin/env bash
# Builds a Kubernetes control plane for tests: build.sh DIR puts etcd, kube-apiserver,
# kube-controller-manager and kubectl into DIR, and leaves alone what is already there.
# KUBEBUILDER_ASSETS=DIR is how tests are told of it. Takes some five minutes the first time.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)

# build MODULE NAME PACKAGE [LINKER FLAG…]
build() {
  local module=$1 name=$2 package=$3
  shift 3
  [[ -x $out/$name ]] && return
  echo "building $name" >&2
  (cd "$here/$module" && go build -buildvcs=false -trimpath -ldflags "-s -w $*" -o "$out/$name" "$package")
}

build etcd etcd go.etcd.io/etcd/server/v3

version=$(cd "$here/kubernetes" && go list -m -f '{{.Version}}' k8s.io/kubernetes)
IFS=. read -r major minor _ <<< "${version#v}"
stamp=k8s.io/component-base/version
for name in kube-apiserver kube-controller-manager kubectl; do
  build kubernetes "$name" "k8s.io/kubernetes/cmd/$name" \
    "-X $stamp.gitVersion=$version -X $stamp.gitMajor=$major -X $stamp.gitMinor=$minor"
done
