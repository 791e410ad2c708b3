# shellcheck shell=bash
# binaries.sh: Kubernetes itself, compiled from Debian's source package of bookworm (1.20) with Debian's
# Go 1.19: no registry of images and no download of a release is asked.
#
#   $SOCKSWITCH_LAB_CACHE/
#     kubernetes-HASH/            kubelet, kube-apiserver, ...; HASH is over this file and the architecture
#     kubernetes-HASH.building/   a build that has not ended: it is resumed, each step from where it was
#       root/                     bookworm with Go; its /build has the source, the object files and Go's cache
#       root.done, source.done    steps that have ended
#     kubernetes-HASH.log         everything that a build which failed printed

readonly KUBERNETES_COMMANDS=(kubelet kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubectl)
# rsync and which are what Kubernetes' own scripts call.
readonly KUBERNETES_BUILD_PACKAGES=(golang-1.19-go build-essential dpkg-dev rsync debianutils)
readonly KUBERNETES_BUILD_GIB=12

KUBERNETES_KEY=kubernetes-$({ cat "$KUBERNETES_DIR/lib/binaries.sh"; uname -m; } | sha256sum | cut -c1-12)
readonly KUBERNETES_KEY
readonly KUBERNETES_BINARIES=$SOCKSWITCH_LAB_CACHE/$KUBERNETES_KEY

# binaries_build: makes KUBERNETES_BINARIES.
binaries_build() {
  [[ ! -d $KUBERNETES_BINARIES ]] || return 0
  local lock
  exec {lock}>"$SOCKSWITCH_LAB_CACHE/.$KUBERNETES_KEY.lock"
  flock --nonblock "$lock" || { log "waiting for another build of Kubernetes" && flock "$lock"; }
  [[ -d $KUBERNETES_BINARIES ]] || (binaries_build_locked {lock}>&-)
  exec {lock}>&-
}

binaries_build_locked() {
  local start=$SECONDS building=$KUBERNETES_BINARIES.building log_file=$KUBERNETES_BINARIES.log
  check_space "$KUBERNETES_BUILD_GIB" "building Kubernetes"
  log "building Kubernetes (once; 6 to 30 minutes); what it prints: $log_file"
  mkdir -p "$building"
  binaries_step root "a root with Go"
  binaries_step source "the source package"
  binaries_step compile "compiling ${KUBERNETES_COMMANDS[*]}"
  mkdir -p "$building/done"
  cp "${KUBERNETES_COMMANDS[@]/#/$building/root/build/kubernetes/_output/local/go/bin/}" "$building/done/"
  mv "$building/done" "$KUBERNETES_BINARIES"
  rm -rf --one-file-system "$building" "$log_file"
  log "built $KUBERNETES_BINARIES in $((SECONDS - start)) s"
}

# binaries_step NAME WORDS: runs binaries_NAME unless an earlier build has ended it.
binaries_step() {
  local building=$KUBERNETES_BINARIES.building log_file=$KUBERNETES_BINARIES.log
  local done_file=$building/$1.done
  [[ ! -e $done_file ]] || return 0
  log "  $2"
  "binaries_$1" "$building/root" >>"$log_file" 2>&1 ||
    { tail -n 20 "$log_file" >&2; die "building Kubernetes failed; all of the output: $log_file; the next run resumes"; }
  touch "$done_file"
}

binaries_root() {
  rm -rf --one-file-system "$1" &&
    rootfs_bootstrap "$1" "$KUBERNETES_BINARIES.log" &&
    mkdir "$1/build" &&
    rootfs_chroot "$1" apt-get install -y -qq --no-install-recommends "${KUBERNETES_BUILD_PACKAGES[@]}"
}

# apt checks the source's signatures as those of any package.
binaries_source() {
  sed -n 's/^deb /deb-src /p' "$1/etc/apt/sources.list" >"$1/etc/apt/sources.list.d/source.list"
  # shellcheck disable=SC2016  # expanded inside
  rootfs_chroot "$1" bash -euc '
    apt-get update -qq
    cd /build
    rm -rf kubernetes kubernetes-* kubernetes_*
    apt-get source -qq --only-source -o APT::Sandbox::User=root kubernetes
    mv kubernetes-*/ kubernetes'
}

# The version is given because the source is no clone of a repository. Without C, the commands need no library of the node's.
# Kubernetes' make keeps Go's cache in _output, so what an interrupted build has compiled is not compiled again.
binaries_compile() {
  # shellcheck disable=SC2016  # expanded inside
  rootfs_chroot "$1" bash -euc '
    cd /build/kubernetes
    version=$(dpkg-parsechangelog -S Version)
    upstream=${version##*really} upstream=${upstream%%-*}
    IFS=. read -r major minor _ <<<"$upstream"
    printf "KUBE_GIT_%s\n" "COMMIT=debian" "TREE_STATE=clean" "VERSION=v$upstream" "MAJOR=$major" "MINOR=$minor" >/build/version
    export PATH=/usr/lib/go-1.19/bin:$PATH HOME=/build/home GOPATH=$PWD/.go CGO_ENABLED=0 GOFLAGS=-mod=vendor
    export KUBE_GIT_VERSION_FILE=/build/version
    mkdir -p "$HOME" .go/src/k8s.io
    ln -sfn ../../.. .go/src/k8s.io/kubernetes
    make WHAT="${*/#/cmd/}"' bash "${KUBERNETES_COMMANDS[@]}"
}
