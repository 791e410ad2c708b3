# shellcheck shell=bash
# image.sh: the image localhost/lab, made without a registry.
#
# A host without network is started from the fresh host tree, its user imports the other tree with `podman import`, and the
# resulting container storage stays in the cache. Running labs see it read-only at /var/lib/lab-images, as an additional
# image store (etc/storage.conf), so `lab up` imports nothing. The files in it belong to the user's subordinate ids, which
# are the same on every host.

# image_build BUILDING LOG
image_build() {
  local building=$1 log_file=$2 work=$1/work cgroup=sockswitch-lab-image-$CACHE_KEY
  mkdir "$work"
  install -d -o "$LAB_UID" -g "$LAB_UID" "$building/images" "$building/home"
  cgroup_remove "$cgroup"
  local path
  path=$(cgroup_make_lab "$cgroup")
  cgroup_make_host "$path/build"
  # The tar is made out here, as root; inside, the user reads it from standard input.
  tar -C "$building/tree" --numeric-owner --one-file-system -c . |
    env -i PATH="$PATH" INSIDE_HOST=build INSIDE_ROOT="$building/host" INSIDE_HOME="$building/home" INSIDE_WORK="$work" \
      INSIDE_CGROUP="$path/build" INSIDE_IMAGES="$building/images" INSIDE_IMAGES_MODE=rw INSIDE_ETC="$LAB_DIR/etc/containers" \
      unshare --mount --uts --ipc --net --pid --fork --kill-child -- \
      bash "$LAB_DIR/lib/inside.sh" /usr/bin/setpriv --reuid="$LAB_UID" --regid="$LAB_UID" --init-groups \
      /usr/bin/env -i -C /home/lab HOME=/home/lab XDG_RUNTIME_DIR="/run/user/$LAB_UID" TMPDIR=/home/lab LANG=C.UTF-8 \
      PATH=/usr/sbin:/usr/bin:/sbin:/bin \
      podman --root /var/lib/lab-images import --quiet \
      --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
      --change 'ENV LANG=C.UTF-8' --change 'CMD ["/bin/bash"]' --change 'WORKDIR /root' \
      - localhost/lab:latest >>"$log_file" 2>&1 ||
    { tail -n 20 "$log_file" >&2; die "making the image failed; all of the output: $log_file"; }
  cgroup_remove "$cgroup"
  rm -rf --one-file-system "${building:?}/home" "$work"
}
