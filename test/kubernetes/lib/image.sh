# shellcheck shell=bash
# image.sh: the image of a node, as an archive for `podman import`: Debian's packages (the file `packages`) and the commands of
# binaries.sh. What a node does with them is in node/, which a node sees by a mount: a change there makes no new image.
#
#   $SOCKSWITCH_LAB_CACHE/
#     kubernetes-node-HASH.tar       HASH is over the recipe and the commands' own
#     kubernetes-node-HASH.building/

readonly NODE_IMAGE_GIB=3

NODE_IMAGE_KEY=kubernetes-node-$({ cat "$KUBERNETES_DIR"/{lib/image.sh,packages}; echo "$KUBERNETES_KEY"; } | sha256sum | cut -c1-12)
readonly NODE_IMAGE_KEY
readonly NODE_IMAGE=$SOCKSWITCH_LAB_CACHE/$NODE_IMAGE_KEY.tar

# image_archive_build: makes NODE_IMAGE. The commands must be there.
image_archive_build() {
  [[ ! -e $NODE_IMAGE ]] || return 0
  local lock
  exec {lock}>"$SOCKSWITCH_LAB_CACHE/.$NODE_IMAGE_KEY.lock"
  flock "$lock"
  [[ -e $NODE_IMAGE ]] || (image_archive_build_locked {lock}>&-)
  exec {lock}>&-
}

image_archive_build_locked() {
  local start=$SECONDS building=${NODE_IMAGE%.tar}.building log_file=${NODE_IMAGE%.tar}.log packages
  check_space "$NODE_IMAGE_GIB" "making the node's image"
  log "making the node's image (once; a minute or two)"
  mapfile -t packages < <(sed 's/#.*//; s/[[:space:]]//g; /^$/d' "$KUBERNETES_DIR/packages")
  rm -rf --one-file-system "$building"
  mkdir "$building"
  rootfs_bootstrap "$building/root" "$log_file"
  rootfs_chroot "$building/root" apt-get install -y -qq --no-install-recommends "${packages[@]}" >>"$log_file" 2>&1 ||
    { tail -n 20 "$log_file" >&2; die "installing packages failed; all of the output: $log_file"; }
  cp "$KUBERNETES_BINARIES"/* "$building/root/usr/local/bin/"
  rm -rf "$building/root"/var/{cache/apt,lib/apt/lists}/* "$building/root"/usr/share/{doc,man,info}/* "$building/root/etc/apt/apt.conf.d/lab"
  tar -C "$building/root" --numeric-owner --one-file-system -cf "$building/image.tar" .
  mv "$building/image.tar" "$NODE_IMAGE"
  rm -rf --one-file-system "$building" "$log_file"
  log "made $NODE_IMAGE in $((SECONDS - start)) s"
}
