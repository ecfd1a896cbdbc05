#!/bin/sh
# Issues the certificates of the examples anew and writes the files that carry them.
#
# Needs OpenSSL 1.1.1 or newer and jq. Names, serials and dates are fixed; keys are new each time,
# so every certificate changes. Private keys live in a temporary directory and go with it.
set -eu
cd "$(dirname "$0")"
here=$(pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

cat > ca.cnf <<'END'
[ca]
default_ca = plain
[plain]
database = index.txt
serial = serial
new_certs_dir = .
default_md = sha256
policy = any
unique_subject = no
email_in_dn = no
[any]
organizationName = optional
organizationalUnitName = optional
commonName = supplied
[root]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[intermediate]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[leaf]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = $ENV::NAMES
END
: > index.txt
echo 1000 > serial
export NAMES=DNS:unset

# issue NAME SUBJECT PROFILE [ISSUER]: leaves NAME.crt; without an issuer it signs itself.
issue() {
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key" 2>/dev/null
    openssl req -new -config ca.cnf -key "$1.key" -subj "$2" -out "$1.csr" 2>/dev/null
    if [ $# -eq 4 ]; then
        set -- "$1" "$2" "$3" -cert "$4.crt" -keyfile "$4.key"
    else
        set -- "$1" "$2" "$3" -selfsign -keyfile "$1.key"
    fi
    name=$1 profile=$3
    shift 3
    openssl ca -batch -notext -config ca.cnf -extensions "$profile" "$@" \
        -startdate 20240101000000Z -enddate 21240101000000Z \
        -in "$name.csr" -out "$name.crt" 2>/dev/null
}

# indent FILE SPACES: the file as lines of a YAML block.
indent() {
    sed "s/^/$(printf "%$2s" '')/" "$1"
}

# --- internal-ca ---------------------------------------------------------------------------------
issue internal '/O=Example Corp/CN=Example Corp Internal CA' root
issue orders-ca '/O=Example Corp/CN=Example Corp Orders CA' intermediate internal
NAMES=DNS:payments.production.svc,DNS:payments.production.svc.cluster.local
issue payments '/CN=payments.production.svc' leaf internal
NAMES=DNS:orders.production.svc,DNS:orders.production.svc.cluster.local
issue orders '/CN=orders.production.svc' leaf orders-ca

cp payments.crt "$here/internal-ca/payments.crt"
cat orders.crt orders-ca.crt > "$here/internal-ca/orders-chain.pem"
cat > "$here/internal-ca/secret.yaml" <<END
# The CA that the Bundle reads, in the trust namespace (cert-manager unless you say otherwise).
#
# In a real cluster do not apply this file: cert-manager writes the Secret when you create
#
#   apiVersion: cert-manager.io/v1
#   kind: Certificate
#   metadata: { name: internal-ca, namespace: cert-manager }
#   spec:
#     isCA: true
#     commonName: Example Corp Internal CA
#     secretName: internal-ca-secret
#     privateKey: { algorithm: ECDSA, size: 256 }
#     issuerRef: { name: your-self-signed-issuer, kind: ClusterIssuer }
#
# Its Secret then has type kubernetes.io/tls with tls.crt, tls.key and ca.crt. This one is Opaque and
# holds ca.crt alone: a CA's private key has no place in an example, and trustd reads only the key
# that the Bundle names.
apiVersion: v1
kind: Secret
metadata:
  name: internal-ca-secret
  namespace: cert-manager
  annotations:
    cert-manager.io/certificate-name: internal-ca
    cert-manager.io/common-name: Example Corp Internal CA
    cert-manager.io/issuer-kind: ClusterIssuer
    cert-manager.io/issuer-name: your-self-signed-issuer
type: Opaque
data:
  ca.crt: $(base64 < internal.crt | tr -d '\n')
END

# --- selectors -----------------------------------------------------------------------------------
issue network '/O=Example Corp/OU=Network/CN=Example Corp Network Root' root
issue platform '/O=Example Corp/OU=Platform/CN=Example Corp Platform Root' root
issue partner '/O=Example Partner/CN=Example Partner Root' root

cat > "$here/selectors/sources.yaml" <<END
# Three roots in the trust namespace, chosen by label. All keys of each object are read, so a team
# can name its keys as it likes, and keep its old and its new root side by side during a rotation.
apiVersion: v1
kind: Secret
metadata:
  name: network-root
  namespace: cert-manager
  labels:
    example.com/trust: company
type: Opaque
stringData:
  network.pem: |
$(indent network.crt 4)
---
apiVersion: v1
kind: Secret
metadata:
  name: platform-root
  namespace: cert-manager
  labels:
    example.com/trust: company
type: Opaque
stringData:
  root.pem: |
$(indent platform.crt 4)
---
# Certificates are no secret: a ConfigMap does as well. A key without any PEM block, such as the note,
# adds nothing and does no harm. The network root is here a second time and still comes out once.
apiVersion: v1
kind: ConfigMap
metadata:
  name: partner-roots
  namespace: cert-manager
  labels:
    example.com/trust: partner
data:
  NOTE: Received from the partner in January 2024.
  partner.pem: |
    # Example Partner Root
$(indent partner.crt 4)
  network-again.pem: |
$(indent network.crt 4)
---
# Not labelled, so not read: what it holds would otherwise fail the whole Bundle.
apiVersion: v1
kind: ConfigMap
metadata:
  name: drafts
  namespace: cert-manager
data:
  draft.pem: |
    -----BEGIN CERTIFICATE REQUEST-----
    bm90IGEgY2VydGlmaWNhdGU=
    -----END CERTIFICATE REQUEST-----
END

# --- default-cas ---------------------------------------------------------------------------------
for word in Alpha Beta Gamma; do
    issue "public-$word" "/O=Example Public Trust/CN=Example Public Root $word" root
done
issue proxy '/O=Example Corp/CN=Example Corp Egress Proxy CA' root
cat public-Alpha.crt public-Beta.crt public-Gamma.crt > public.pem
jq -n --rawfile bundle public.pem '{name: "example-public-roots", bundle: $bundle, version: "2024.1"}' \
    > "$here/packages/example.json"
cat > "$here/default-cas/bundle.yaml" <<END
# The public roots of the default CA package, plus one CA of your own, in every namespace.
#
# trustd takes the public roots from a package file:
#
#   trustd render -f default-cas --default-package-location packages/example.json
#
# packages/example.json holds three made-up roots. Make a real one from Debian's ca-certificates with
#
#   jq -n --rawfile bundle /etc/ssl/certs/ca-certificates.crt \\
#      --arg version "\$(dpkg-query --show --showformat '\${Version}' ca-certificates)" \\
#      '{name: "debian-ca-certificates", bundle: \$bundle, version: \$version}' > package.json
apiVersion: trust.cert-manager.io/v1alpha1
kind: Bundle
metadata:
  name: public-and-proxy
spec:
  sources:
    - useDefaultCAs: true
    # A proxy that opens TLS signs with its own CA, and programs have to trust it too.
    - inLine: |
$(indent proxy.crt 8)
  target:
    configMap:
      key: ca-certificates.crt
    # No namespaceSelector: every namespace gets the bundle.
END

# --- do they hold? -------------------------------------------------------------------------------
openssl verify -CAfile internal.crt payments.crt
openssl verify -CAfile internal.crt -untrusted "$here/internal-ca/orders-chain.pem" orders.crt
