# shellcheck shell=bash
# Shared by the scripts that make and boot the lab host; sourced, not run.
#
# The cache holds what takes long to make and changes rarely. Every entry is named after a hash of all that went
# into it, is made under another name and renamed when whole, and is made under a lock: any number of trees and
# terminals use one cache at once, and none ever sees half an entry.
set -euo pipefail
shopt -s inherit_errexit
lab_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tree=$(cd "$lab_dir/../.." && pwd)
cache=${BERTH_LAB_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/berth-lab}
mkdir -p "$cache"

say() { echo "lab: $*" >&2; }
fail() { say "$*"; exit 125; }

# hash_of WORD|FILE...: a short name for these inputs; a file counts by its contents.
hash_of() {
  for input in "$@"; do
    if [[ -f $input ]]; then cat "$input"; else echo "$input"; fi
  done | sha256sum | cut -c1-12
}

# cached NAME MAKER...: prints the path of the entry NAME, first calling `MAKER... PATH` where it is not there.
# MAKER makes a file or a directory at PATH; what it prints goes to stderr.
cached() {
  local name=$1 path=$cache/$1
  shift
  if ! [[ -e $path ]]; then
    set +e
    (
      set -e
      flock 9
      [[ ! -e $path ]] || exit 0
      say "making $path (once)"
      rm -rf "$path".new.*
      "$@" "$path.new.$$" >&2
      mv -T "$path.new.$$" "$path"
      # The last few trees' entries stay; what nobody has used for a month goes.
      find "$cache" -mindepth 1 -maxdepth 1 -name "${name%%-*}-*" -mtime +30 -exec rm -rf {} +
    ) 9>"$cache/lock"
    local status=$?
    set -e
    [[ $status == 0 ]] || fail "could not make $path"
  fi
  # Once a day: on the lab host, where the cache is under an overlay, a touch would copy the whole file.
  find "$path" -maxdepth 0 -mtime +0 -exec touch -c {} +
  echo "$path"
}

# The one kernel that the lab host and its guests run: Debian 12's own 6.12, unpacked, never installed. The release
# is settled at the first use of the cache, so that a new upload does not change what is tested.
kernel_release() {
  local path
  path=$(cached release-1 newest_kernel)
  cat "$path"
}
newest_kernel() {
  apt-cache search --names-only '^linux-image-6\.12\.[0-9]+\+deb12-amd64$' | cut -d' ' -f1 |
    sort -V | tail -n 1 | sed 's/^linux-image-//' >"$1"
  [[ -s $1 ]] || fail "apt knows no linux-image-6.12.*+deb12-amd64: run scripts/install-deps"
}

# The unpacked kernel: boot/vmlinuz-RELEASE, lib/modules/RELEASE.
kernel_dir() {
  local release
  release=$(kernel_release)
  cached "kernel-$release" unpack_kernel "$release"
}
unpack_kernel() {
  local release=$1 to=$2
  unpack "$to" "linux-image-$release"
  rm -rf "${to:?}/usr"
  depmod -b "$to" "$release"
}

# unpack DIR PACKAGE...: the files of Debian packages, without installing them.
unpack() {
  local to=$1
  shift
  mkdir -p "$to"
  (
    cd "$to"
    apt-get -qq -o APT::Sandbox::User=root download "$@"
    for package in ./*.deb; do dpkg -x "$package" . && rm "$package"; done
  )
}

# modules_with_dependencies RELEASE KERNEL_DIR MODULE...: the .ko.xz files to insert, in order, each once.
modules_with_dependencies() {
  local release=$1 kernel=$2
  shift 2
  for module in "$@"; do
    modprobe -d "$kernel" -S "$release" --show-depends "$module" | awk '$1 == "insmod" {print $2}'
  done | awk '!seen[$0]++'
}

# pack_modules DIR FILE.ko.xz...: unpacks modules into DIR under names that sort in the order given.
pack_modules() {
  local to=$1 number=10
  shift
  mkdir -p "$to"
  for file in "$@"; do
    xz -dc "$file" >"$to/$number-$(basename "${file%.xz}")"
    number=$((number + 1))
  done
}

# pack_initramfs DIR FILE
pack_initramfs() {
  (cd "$1" && find . -print0 | sort -z | cpio --null --quiet --reproducible -o -H newc -R 0:0 | zstd -q -9) >"$2"
}
