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

# install_missing [PACKAGE...] : install what the lab (and the caller) lacks
install_missing() {
  local package want=()
  mapfile -t want < <(missing_packages)
  for package in "$@"; do
    dpkg -s "$package" >/dev/null 2>&1 || want+=("$package")
  done
  [ ${#want[@]} -eq 0 ] || install_packages "${want[@]}"
}

# install_packages PACKAGE... : install by apt-get, and say so.
# Installing must not start a second engine or registry on the machine: while it lasts, a policy-rc.d (Debian's
# own way) forbids it, unless the machine has one already.
install_packages() {
  local policy=/usr/sbin/policy-rc.d made=
  command -v apt-get >/dev/null || die "these Debian packages are missing, and there is no apt-get here to install them: $*"
  need_root
  say "Installing Debian packages that are missing here: $*"
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    made=$policy
  fi
  if ! { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"; } >&2; then
    [ -z "$made" ] || rm -f "$made"
    die "apt-get could not install: $*"
  fi
  [ -z "$made" ] || rm -f "$made"
}

# need_rust VERSION [fmt] [clippy] : cargo, of that version or later, with these subcommands. Where there is none,
# Debian's package is installed if it is new enough (bookworm has a new one as cargo-web); an old one is left alone.
need_rust() {
  local version=$1 have tool packages=()
  shift
  find_cargo
  if ! command -v cargo >/dev/null; then
    mapfile -t packages < <(rust_packages "$version" "$@")
    [ ${#packages[@]} -gt 0 ] || die "$(no_rust "$version")"
    install_packages "${packages[@]}"
  fi
  have=$(cargo --version | cut -d' ' -f2)
  at_least "$version" "$have" || die "cargo is $have here, and $version or later is needed: $(rustup_line)"
  for tool in "$@"; do
    cargo "$tool" --version >/dev/null 2>&1 ||
      die "'cargo $tool' does not work here: rustup component add ${tool/#fmt/rustfmt} (or Debian's package for it)"
  done
  command -v cc >/dev/null || install_packages gcc libc6-dev
}

at_least() { [ "$(printf '%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]; } # at_least WANTED HAVE

# find_cargo : sudo forgets where rustup has put it
find_cargo() {
  local home
  for home in "$HOME" "$(getent passwd "${SUDO_USER:-root}" | cut -d: -f6)"; do
    if ! command -v cargo >/dev/null && [ -x "$home/.cargo/bin/cargo" ]; then
      PATH=$PATH:$home/.cargo/bin
      export PATH RUSTUP_HOME=${RUSTUP_HOME:-$home/.rustup}
    fi
  done
}

# rust_packages VERSION [fmt] [clippy] : Debian's packages for it, if they are that new
rust_packages() {
  local version=$1 name candidate
  shift
  command -v apt-get >/dev/null || return 0
  [ "$(id -u)" != 0 ] || apt-get update -q >&2 || true
  for name in cargo cargo-web; do
    candidate=$(apt-cache policy "$name" 2>/dev/null | sed -n 's/^ *Candidate: //p')
    if [[ $candidate == [0-9]* ]] && at_least "$version" "$candidate"; then
      echo "$name"
      case "$name $*" in cargo-web*fmt*) echo rustfmt-web ;; cargo*fmt*) echo rustfmt ;; esac
      case "$name $*" in cargo-web*clippy*) echo rust-web-clippy ;; cargo*clippy*) echo rust-clippy ;; esac
      return
    fi
  done
}

rustup_line() { echo "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile default"; }

no_rust() { # no_rust VERSION
  cat <<TEXT
Rust $1 or later is needed, and this machine's Debian packages (cargo, cargo-web) are older. Install it by rustup:

  $(rustup_line)

and run this again.
TEXT
}
