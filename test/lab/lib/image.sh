# shellcheck shell=bash
# image.sh: the images localhost/lab and localhost/tiny, made without a registry.
#
# A host without network is started from the fresh host tree and its user imports tar archives with `podman import`: the
# whole other tree, and a static BusyBox. The resulting container storage stays in the cache. Running labs see it read-only at
# /var/lib/lab-images, as an additional image store (etc/user/storage.conf), so `lab up` imports nothing. The files in it
# belong to the user's subordinate ids, which are the same on every host.

# image_build BUILDING LOG
image_build() {
  local building=$1 log_file=$2 work=$1/work cgroup=sockswitch-lab-image-$CACHE_KEY path
  mkdir "$work"
  install -d -o "$LAB_UID" -g "$LAB_UID" "$building/images" "$building/home"
  path=$(cgroup_make_lab "$cgroup")
  cgroup_make_host "$path/build"
  # The archives are made out here, as root; inside, the user reads them from standard input.
  if ! tar -C "$building/tree" --numeric-owner --one-file-system -c . |
    image_import "$building" "$path/build" lab >>"$log_file" 2>&1 ||
    ! image_tiny "$building/tree" "$work.tiny" | image_import "$building" "$path/build" tiny >>"$log_file" 2>&1; then
    tail -n 20 "$log_file" >&2
    die "making the images failed; all of the output: $log_file"
  fi
  rm -rf --one-file-system "${building:?}/home" "$work" "$work.tiny"
}

# image_import BUILDING CGROUP NAME
image_import() {
  local building=$1 cgroup=$2 name=$3
  env -i PATH="$PATH" INSIDE_HOST=build INSIDE_ROOT="$building/host" INSIDE_HOME="$building/home" \
    INSIDE_WORK="$building/work" INSIDE_CGROUP="$cgroup" INSIDE_IMAGES="$building/images" INSIDE_IMAGES_MODE=rw \
    INSIDE_ETC="$LAB_DIR/etc/containers" \
    unshare --mount --uts --ipc --net --pid --fork --kill-child -- \
    bash "$LAB_DIR/lib/inside.sh" /usr/bin/setpriv --reuid="$LAB_UID" --regid="$LAB_UID" --init-groups \
    /usr/bin/env -i -C /home/lab HOME=/home/lab XDG_RUNTIME_DIR="/run/user/$LAB_UID" TMPDIR=/home/lab LANG=C.UTF-8 \
    PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    podman --root /var/lib/lab-images --storage-driver overlay import --quiet \
    --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
    --change 'ENV LANG=C.UTF-8' --change 'CMD ["/bin/sh"]' --change 'WORKDIR /root' \
    - "localhost/$name:latest"
}

# image_tiny TREE SCRATCH: writes an archive with a static BusyBox and the few files that programs expect.
image_tiny() {
  local tree=$1 root=$2 applet
  mkdir -p "$root"/{bin,dev,etc,proc,root,sys,run,var}
  install -d -m 1777 "$root/tmp"
  cp "$tree/usr/bin/busybox" "$root/bin/"
  for applet in $("$root/bin/busybox" --list); do
    [[ $applet == busybox ]] || ln -s busybox "$root/bin/$applet"
  done
  cp "$tree"/etc/{passwd,group,services,protocols} "$root/etc/"
  tar -C "$root" --numeric-owner --owner=0 --group=0 -c .
}
