# shellcheck shell=bash
# applications.sh: database servers and the like for the benchmarks (packages/applications), in labs that are made with
# LAB_APPLICATIONS=1. They are a layer of their own over the cached tree, so that everybody else's lab is neither larger nor
# slower to build:
#
#   $SOCKSWITCH_LAB_CACHE/applications-SUITE-HASH-HASH/    what installing the packages added to SUITE-HASH/tree
#
# remote has the layer in its root; host1 and host2 see it at /opt/lab/applications, so that containers can be given its clients.

# applications_directory: where the layer is, or will be.
applications_directory() {
  local hash
  hash=$(cat "$LAB_DIR"/{lib/applications.sh,packages/applications} | sha256sum | cut -c1-12)
  printf '%s/applications-%s-%s' "$SOCKSWITCH_LAB_CACHE" "$CACHE_KEY" "$hash"
}

# applications_build: prints the directory.
applications_build() {
  local directory lock
  directory=$(applications_directory)
  if [[ ! -d $directory ]]; then
    exec {lock}>"$SOCKSWITCH_LAB_CACHE/.applications.lock"
    flock "$lock"
    if [[ ! -d $directory ]]; then
      log "installing the applications (once; a few minutes)"
      applications_prune
      (applications_build_locked "$directory") >&2
    fi
    exec {lock}>&-
  fi
  printf '%s' "$directory"
}

# applications_prune: removes the suite's layers that no lab uses; a lab names the one it uses.
applications_prune() {
  local other
  for other in "$SOCKSWITCH_LAB_CACHE/applications-$LAB_SUITE"-*; do
    if [[ ! -d $other ]] || grep -qsxF "$other" "$LAB_RUN_ROOT"/*/applications; then continue; fi
    rm -rf --one-file-system "$other"
  done
}

applications_build_locked() {
  local building=$1.building log_file=$1.log packages
  mapfile -t packages < <(sed 's/#.*//; s/[[:space:]]//g; /^$/d' "$LAB_DIR/packages/applications")
  mkdir "$building" "$building"/{upper,work,root}
  # The mount is gone with the shell that made it.
  # shellcheck disable=SC2016  # expanded inside
  unshare --mount --pid --fork --kill-child -- bash -euc '
    lower=$1 building=$2; shift 2
    mount -t overlay -o "lowerdir=$lower,upperdir=$building/upper,workdir=$building/work" applications "$building/root"
    root=$building/root
    mount -t proc proc "$root/proc"
    printf "exit 101\n" | install -m 0755 /dev/stdin "$root/usr/sbin/policy-rc.d"
    apt-config dump Acquire::http Acquire::https | grep -E "::Proxy|::Verify" >"$root/etc/apt/apt.conf.d/lab" || true
    inside() {
      chroot "$root" /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
        DEBIAN_FRONTEND=noninteractive "$@" </dev/null
    }
    inside apt-get update -qq
    inside apt-get install -y -qq --no-install-recommends "$@"
    rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,man,info}/*
    rm -f "$root/etc/apt/apt.conf.d/lab" "$root/usr/sbin/policy-rc.d"
  ' bash "$CACHE_DIR/tree" "$building" "${packages[@]}" >"$log_file" 2>&1 ||
    { tail -n 20 "$log_file"; die "installing the applications failed; all of the output: $log_file"; }
  mv "$building/upper" "$1"
  rm -rf --one-file-system "$building" "$log_file"
}
