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

# debian_mirror : the address of the archive that this machine installs its own Debian packages from
debian_mirror() {
  # shellcheck disable=SC2016 # apt fills these in
  apt-get indextargets --format '$(SITE) $(CODENAME) $(COMPONENT)' 'Created-By: Packages' 2>/dev/null |
    awk '$3 == "main" && $2 !~ /-/ && $1 ~ /\/debian\/?$/ { print $1; exit }'
}

# unpack_packages SUITE FOLDER PACKAGE... : packages of another Debian release, from this machine's own mirror and with
# their signatures checked, into a folder. The machine's sources, package lists and packages are left as they are.
unpack_packages() (
  suite=$1 target=$2
  shift 2
  archive=$(debian_mirror)
  [ -n "$archive" ] || die "no Debian mirror in this machine's apt sources; run apt-get update, or check them"
  root=$(mktemp -d)
  trap 'rm -rf "$root"' EXIT
  mkdir -p "$root"/{state/lists/partial,cache/archives/partial,etc/apt.conf.d,etc/preferences.d,etc/sources.list.d,debs}
  : >"$root/status"
  keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  echo "deb [signed-by=$keyring] $archive $suite main" >"$root/etc/sources.list"
  cat >"$root/apt.conf" <<CONF
Dir "$root";
Dir::State "$root/state";
Dir::State::status "$root/status";
Dir::Cache "$root/cache";
Dir::Etc "$root/etc";
APT::Architecture "$(dpkg --print-architecture)";
APT::Sandbox::User "root";
Acquire::Check-Valid-Until "false";
Acquire::Languages "none";
CONF
  # The machine's own apt.conf.d still applies: a proxy named there is needed here too.
  export APT_CONFIG=$root/apt.conf
  apt-get -qq update
  (cd "$root/debs" && apt-get -qq download "$@")
  rm -rf "$target.part"
  mkdir -p "$target.part"
  for deb in "$root"/debs/*.deb; do dpkg -x "$deb" "$target.part"; done
  rm -rf "$target"
  mv "$target.part" "$target"
)

# need_rust VERSION [fmt] [clippy] : cargo, of that version or later, with these subcommands. Where there is none,
# Debian's package is installed if it is new enough (bookworm has a new one as cargo-web); an old one is left alone.
need_rust() {
  local version=$1 have package tool
  shift
  find_cargo
  if ! command -v cargo >/dev/null; then
    package=$(cargo_package "$version")
    [ -n "$package" ] || die "$(no_rust "$version")"
    install_packages "$package"
  fi
  have=$(cargo --version | cut -d' ' -f2)
  at_least "$version" "$have" || die "cargo is $have here, and $version or later is needed: $(rustup_line)"
  for tool in "$@"; do
    ! cargo "$tool" --version >/dev/null 2>&1 || continue
    package=$(subcommand_package "$tool")
    [ -n "$package" ] || die "'cargo $tool' does not work here; try: rustup component add ${tool/#fmt/rustfmt}"
    install_packages "$package"
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

# cargo_package VERSION : Debian's package of it, if there is one that new
cargo_package() {
  local name candidate
  command -v apt-get >/dev/null || return 0
  [ "$(id -u)" != 0 ] || apt-get update -q >&2 || true
  for name in cargo cargo-web; do
    candidate=$(apt-cache policy "$name" 2>/dev/null | sed -n 's/^ *Candidate: //p')
    if [[ $candidate == [0-9]* ]] && at_least "$1" "$candidate"; then
      echo "$name"
      return
    fi
  done
}

# subcommand_package fmt|clippy : Debian's package of it, where cargo is Debian's
subcommand_package() {
  case "$(dpkg -S "$(command -v cargo)" 2>/dev/null) $1" in
    "cargo-web: "*fmt) echo rustfmt-web ;;
    "cargo-web: "*clippy) echo rust-web-clippy ;;
    "cargo: "*fmt) echo rustfmt ;;
    "cargo: "*clippy) echo rust-clippy ;;
  esac
}

rustup_line() { echo "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile default"; }

no_rust() { # no_rust VERSION
  cat <<TEXT
Rust $1 or later is needed, and this machine's Debian packages (cargo, cargo-web) are older. Install it by rustup:

  $(rustup_line)

and run this again.
TEXT
}
