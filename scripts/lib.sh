# shellcheck shell=bash
# lib.sh - small helpers of the scripts in this folder. Source it; it does nothing by itself.

# say TEXT... : one line for the person watching (standard error, so that output stays usable in pipes)
say() { printf '%s\n' "$*" >&2; }

# die TEXT... : say why, and give up
die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

# need_root : the engines need namespaces, mounts and cgroups of their own
need_root() { [ "$(id -u)" = 0 ] || die "this must run as root (it starts Docker engines); try: sudo $0 ..."; }

# unset_proxies : everything the lab talks to is on this machine; engine, docker and curl obey these variables
unset_proxies() {
  unset http_proxy https_proxy ftp_proxy all_proxy HTTP_PROXY HTTPS_PROXY FTP_PROXY ALL_PROXY
  export no_proxy=localhost,127.0.0.1,::1 NO_PROXY=localhost,127.0.0.1,::1
}

# lab_packages : "COMMAND PACKAGE" for every program the lab uses (Debian package names)
lab_packages() {
  cat <<'PACKAGES'
dockerd docker.io
docker-registry docker-registry
notary notary
notary-server notary
notary-signer notary
skopeo skopeo
openssl openssl
jq jq
curl curl
busybox busybox-static
socat socat
ip iproute2
pgrep procps
unshare util-linux
PACKAGES
}

# missing_packages : Debian packages of which a program is not in the PATH
missing_packages() {
  local program package
  lab_packages | while read -r program package; do
    command -v "$program" >/dev/null 2>&1 || echo "$package"
  done | sort -u
}

# install_missing [PACKAGE...] : install by apt-get what the lab (and the caller) lacks, and say so.
# Installing must not start a second engine or registry on the machine: while it lasts, a policy-rc.d (Debian's
# own way) forbids it, unless the machine has one already.
install_missing() {
  local package want policy=/usr/sbin/policy-rc.d made=
  want=$(missing_packages)
  for package in "$@"; do
    dpkg -s "$package" >/dev/null 2>&1 || want+=" $package"
  done
  want=$(xargs <<<"$want")
  [ -n "$want" ] || return 0
  command -v apt-get >/dev/null || die "these Debian packages are missing, and there is no apt-get here to install them: $want"
  need_root
  say "Installing Debian packages that are missing here: $want"
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    made=$policy
  fi
  # shellcheck disable=SC2086 # a list of words
  if ! { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $want; } >&2; then
    [ -z "$made" ] || rm -f "$made"
    die "apt-get could not install: $want"
  fi
  [ -z "$made" ] || rm -f "$made"
}
