# shellcheck shell=bash
# rootfs.sh: the cached root file systems.
#
#   $SOCKSWITCH_LAB_CACHE/
#     SUITE-HASH/            (small-SUITE-HASH with LAB_SIZE=small) one finished cache; HASH is over the recipe (the files named in cache_recipe) and the
#       host/                architecture, so a changed recipe makes a new one. root of host1 and host2
#       tree/                root of remote, and the content of the image localhost/lab
#       images/              container storage that holds the image, owned by the lab's user
#     SUITE-HASH.building/   a cache being built; renamed at the end, so an interrupted build leaves no half of one
#     .SUITE-HASH.lock       held while building
#     labs/NAME/             homes of a running lab (common.sh)
#
# A finished cache is never written to: hosts mount it as the lower layer of an overlay.

readonly LAB_MACHINE_PACKAGES=(debootstrap debian-archive-keyring iproute2 util-linux procps)

# install_host_packages: what this machine itself needs to make labs.
install_host_packages() {
  local -A provides=([debootstrap]=debootstrap [ip]=iproute2 [nsenter]=util-linux [setpriv]=util-linux [flock]=util-linux
    [findmnt]=util-linux [sysctl]=procps)
  local command missing=()
  for command in "${!provides[@]}"; do
    command -v "$command" >/dev/null || missing+=("${provides[$command]}")
  done
  [[ -e /usr/share/keyrings/debian-archive-keyring.gpg ]] || missing+=(debian-archive-keyring)
  [[ ${#missing[@]} -gt 0 ]] || return 0
  log "installing ${LAB_MACHINE_PACKAGES[*]}"
  command -v apt-get >/dev/null || die "missing on this machine: ${missing[*]} (and there is no apt-get to install it)"
  "$LAB_DIR/../install-packages" "${LAB_MACHINE_PACKAGES[@]}" >&2
}

# recipe_packages KIND: the files that name the packages of host or image.
recipe_packages() {
  case $LAB_SIZE in
    full) printf '%s\n' "$LAB_DIR/packages/$1".{all,"$LAB_SUITE"} ;;
    small) printf '%s\n' "$LAB_DIR/packages/$1.small" ;;
  esac
}

cache_recipe() {
  printf '%s\n' "$LAB_DIR"/lib/{rootfs,image}.sh
  recipe_packages host
  recipe_packages image
}

case $LAB_SIZE in
  full) readonly CACHE_KIND=$LAB_SUITE ;;
  small) readonly CACHE_KIND=small-$LAB_SUITE ;;
esac
CACHE_KEY=$CACHE_KIND-$({ mapfile -t files < <(cache_recipe); cat "${files[@]}"; uname -m; } | sha256sum | cut -c1-12)
readonly CACHE_KEY
readonly CACHE_DIR=$SOCKSWITCH_LAB_CACHE/$CACHE_KEY

cache_build() {
  [[ ! -d $CACHE_DIR ]] || return 0
  local lock
  mkdir -p "$SOCKSWITCH_LAB_CACHE"
  exec {lock}>"$SOCKSWITCH_LAB_CACHE/.$CACHE_KEY.lock"
  if ! flock --nonblock "$lock"; then
    log "waiting for another build of the same root file systems"
    flock "$lock"
  fi
  if [[ ! -d $CACHE_DIR ]]; then
    (cache_build_locked)
  fi
  exec {lock}>&-
  cache_prune
}

cache_build_locked() {
  local start=$SECONDS building=$CACHE_DIR.building
  log "building the root file systems for $LAB_SUITE$([[ $LAB_SIZE == full ]] || printf ', %s' "$LAB_SIZE") (once; a few minutes)"
  trap 'cgroup_remove "sockswitch-lab-image-$CACHE_KEY"' EXIT
  [[ ! -e $building ]] || rm -rf --one-file-system "$building"
  mkdir "$building"
  log "  base system"
  rootfs_bootstrap "$building/tree" "$building.log"
  cp -a --reflink=auto "$building/tree" "$building/host"
  log "  packages of host1 and host2"
  rootfs_install "$building/host" "$building.log" host
  log "  packages of remote and of the image"
  rootfs_install "$building/tree" "$building.log" image
  log "  image localhost/lab"
  image_build "$building" "$building.log"
  mv "$building" "$CACHE_DIR"
  rm -f "$building.log"
  log "built $CACHE_DIR in $((SECONDS - start)) s"
}

# cache_prune: removes caches of the same suite and size that nobody uses any more. A lab names the one it uses in cache-key.
cache_prune() {
  local dir key lock
  for dir in "$SOCKSWITCH_LAB_CACHE/$CACHE_KIND"-*; do
    key=${dir##*/}
    key=${key%.log}
    key=${key%.building}
    [[ -e $dir && $key != "$CACHE_KEY" ]] || continue
    ! grep -qsxF "$key" "$LAB_RUN_ROOT"/*/cache-key || continue
    exec {lock}>"$SOCKSWITCH_LAB_CACHE/.$key.lock"
    if flock --nonblock "$lock"; then
      cgroup_remove "sockswitch-lab-image-$key"
      log "removing the unused cache $dir"
      rm -rf --one-file-system "$dir" "$SOCKSWITCH_LAB_CACHE/.$key.lock"
    fi
    exec {lock}>&-
  done
}

# rootfs_mirror: the machine's own main Debian mirror, as its apt configuration names it in whatever format.
rootfs_mirror() {
  local list
  list=$(rootfs_mirror_list)
  if [[ -z $list ]]; then
    "$LAB_DIR/../install-packages" >&2 # none: reads the lists
    list=$(rootfs_mirror_list)
  fi
  [[ -n $list ]] || die "the apt configuration of this machine names no Debian mirror"
  printf '%s' "${list%%$'\n'*}"
}

rootfs_mirror_list() {
  # shellcheck disable=SC2016  # apt's own placeholders
  apt-get indextargets --format '$(LABEL)|$(COMPONENT)|$(REPO_URI)' 'Created-By: Packages' |
    sed -n 's/^Debian|main|//p'
}

rootfs_bootstrap() {
  local root=$1 log_file=$2 mirror
  mirror=$(rootfs_mirror)
  debootstrap --variant=minbase --keyring=/usr/share/keyrings/debian-archive-keyring.gpg \
    --include=ca-certificates "$LAB_SUITE" "$root" "$mirror" >>"$log_file" 2>&1 ||
    { tail -n 20 "$log_file" >&2; die "debootstrap failed; all of its output: $log_file"; }
  printf 'exit 101\n' | install -m 0755 /dev/stdin "$root/usr/sbin/policy-rc.d"
  cat >"$root/etc/dpkg/dpkg.cfg.d/lab" <<'DPKG'
force-unsafe-io
path-exclude=/usr/share/doc/*
path-exclude=/usr/share/man/*
path-exclude=/usr/share/info/*
path-exclude=/usr/share/locale/*
DPKG
  # A proxy or the like that this machine's apt needs, the one in the root needs too.
  apt-config dump Acquire::http Acquire::https | grep -E '::Proxy|::Verify' >"$root/etc/apt/apt.conf.d/lab" || true
}

# rootfs_install ROOT LOG KIND: installs the packages of recipe_packages, adds the user, trims.
rootfs_install() {
  local root=$1 log_file=$2 kind=$3 files packages
  mapfile -t files < <(recipe_packages "$kind")
  mapfile -t packages < <(sed 's/#.*//; s/[[:space:]]//g; /^$/d' "${files[@]}")
  rootfs_chroot "$root" apt-get install -y -qq --no-install-recommends "${packages[@]}" >>"$log_file" 2>&1 ||
    { tail -n 20 "$log_file" >&2; die "installing packages failed; all of the output: $log_file"; }
  rootfs_chroot "$root" useradd --create-home --shell /bin/bash --uid "$LAB_UID" lab
  printf 'lab:100000:65536\n' | tee "$root/etc/subuid" >"$root/etc/subgid"
  rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,man,info}/* "$root/etc/apt/apt.conf.d/lab"
  rm -f "$root/usr/sbin/policy-rc.d" "$root"/var/log/*.log "$root"/var/log/apt/*
}

# rootfs_chroot ROOT CMD...: in a PID namespace of its own, so that nothing a package starts outlives the build.
rootfs_chroot() {
  local root=$1
  shift
  # shellcheck disable=SC2016  # expanded inside
  unshare --mount --pid --fork --kill-child -- bash -euc '
    root=$1; shift
    mount -t proc proc "$root/proc"
    exec chroot "$root" /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
      DEBIAN_FRONTEND=noninteractive "$@"' bash "$root" "$@" </dev/null
}
