#!/usr/bin/env bash
# Builds a Kubernetes control plane for tests, from the modules beside this file:
#
#   build.sh DIR                   puts etcd, kube-apiserver, kube-controller-manager and kubectl into DIR
#   build.sh DIR MODULE…           only the binaries of these modules: etcd, kubernetes, kubernetes-1.33,
#                                  or trust-manager, the peer that tests swap with trustd
#
# What is already there is left alone. KUBEBUILDER_ASSETS=DIR is how tests are told of it; without that
# they call this script themselves. Takes some five minutes the first time.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
shift

main() {
  local module
  for module in "$@"; do
    case $module in
      etcd) build etcd etcd go.etcd.io/etcd/server/v3 ;;
      kubernetes*) build_kubernetes "$module" ;;
      trust-manager)
        build trust-manager trust-manager github.com/cert-manager/trust-manager/cmd/trust-manager
        ;;
      *)
        echo "there is no module $module in $here" >&2
        return 1
        ;;
    esac
  done
}

build_kubernetes() {
  local version major minor stamp=k8s.io/component-base/version name
  version=$(cd "$here/$1" && go list -m -f '{{.Version}}' k8s.io/kubernetes)
  IFS=. read -r major minor _ <<< "${version#v}"
  for name in kube-apiserver kube-controller-manager kubectl; do
    build "$1" "$name" "k8s.io/kubernetes/cmd/$name" \
      "-X $stamp.gitVersion=$version -X $stamp.gitMajor=$major -X $stamp.gitMinor=$minor"
  done
}

# build MODULE NAME PACKAGE [LINKER FLAG…]. The name appears when the binary is whole.
build() {
  local module=$1 name=$2 package=$3
  shift 3
  [[ -x $out/$name ]] && return
  echo "building $name ($module)" >&2
  (cd "$here/$module" &&
    go build -buildvcs=false -trimpath -ldflags "-s -w $*" -o "$out/.$name.new" "$package")
  mv "$out/.$name.new" "$out/$name"
}

if (($#)); then main "$@"; else main etcd kubernetes; fi
