#!/usr/bin/env bash
# inside.sh: makes the file system of one host and becomes its init. Runs as PID 1 of the host's new namespaces
# (mount, PID, network, UTS, IPC; it makes the cgroup namespace itself), started by host.sh or image.sh.
#
#   before pivot_root    the machine's files are visible: build the root from the cache, bind what is shared
#   after pivot_root     only the host's root is visible; the machine's is detached
#   last                 exec of the init (catatonit -P, which reaps) or of the given command
#
# The root is an overlay over the cached tree with its writable layer in memory. The user's home is a directory on disk,
# because Podman's own overlays cannot lie on another one.
#
# Parameters, by environment (a host needs all but those marked optional):
#   INSIDE_HOST      host name
#   INSIDE_ROOT      cached root file system, lower layer; several, separated by colons, the uppermost first
#   INSIDE_HOME      directory on disk that becomes the user's home
#   INSIDE_WORK      empty directory to mount on
#   INSIDE_CGROUP    the host's cgroup, which becomes the root of its cgroup namespace
#   INSIDE_IMAGES, INSIDE_IMAGES_MODE   container storage with the image, ro or rw (optional)
#   INSIDE_SOURCE    tree to mount at /opt/sockswitch (optional)
#   INSIDE_NODE      node binary (optional)
#   INSIDE_APPLICATIONS  layer to mount at /opt/lab/applications (optional)
#   INSIDE_REMOTE    directory to mount at /opt/lab/remote (optional)
#   INSIDE_ETC       directory with the files for /etc/containers
#   INSIDE_PID_FILE  receives "PID START" of the init as the machine sees it (optional)
# shellcheck disable=SC2153  # the parameters come from outside
set -euo pipefail

readonly uid=1000

join_cgroup() {
  # Still the machine's /proc: it shows this process under the machine's PID.
  local stat fields
  read -r stat </proc/self/stat
  read -ra fields <<<"${stat##*) }"
  if [[ -n ${INSIDE_PID_FILE-} ]]; then
    printf '%s %s\n' "${stat%% *}" "${fields[19]}" >"$INSIDE_PID_FILE"
  fi
  # 0 is the writer itself; a number would be looked up in the new PID namespace.
  echo 0 >"$INSIDE_CGROUP/cgroup.procs"
}

bind() {
  local mode=$1 from=$2 to=$3
  if [[ -d $from ]]; then mkdir -p "$to"; else mkdir -p "${to%/*}" && touch "$to"; fi
  mount --bind "$from" "$to"
  [[ $mode == rw ]] || mount -o "remount,bind,$mode" "$to"
}

make_root() {
  mount -t tmpfs -o mode=0755 lab "$INSIDE_WORK"
  mkdir "$INSIDE_WORK"/{upper,work,root}
  mount -t overlay -o "lowerdir=$INSIDE_ROOT,upperdir=$INSIDE_WORK/upper,workdir=$INSIDE_WORK/work" lab "$root"
  mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
  mount -t sysfs -o nosuid,nodev,noexec sysfs "$root/sys"
  mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 "$root/sys/fs/cgroup"
  mount -t tmpfs -o nosuid,nodev,mode=1777 tmpfs "$root/tmp"
  mount -t tmpfs -o nosuid,nodev,mode=0755 tmpfs "$root/run"
  mkdir -p "$root/run/lock" "$root/var/log/lab"
  install -d -m 0700 -o "$uid" -g "$uid" "$root/run/user/$uid"
}

make_dev() {
  local dev=$root/dev name major minor
  mount -t tmpfs -o nosuid,mode=0755 dev "$dev"
  mkdir "$dev"/{pts,shm,mqueue,net}
  while read -r name major minor; do
    mknod -m 0666 "$dev/$name" c "$major" "$minor"
  done <<'NODES'
null 1 3
zero 1 5
full 1 7
random 1 8
urandom 1 9
tty 5 0
fuse 10 229
net/tun 10 200
NODES
  mount -t devpts -o nosuid,noexec,newinstance,gid=5,mode=0620,ptmxmode=0666 devpts "$dev/pts"
  mount -t tmpfs -o nosuid,nodev,mode=1777 shm "$dev/shm"
  mount -t mqueue -o nosuid,nodev,noexec mqueue "$dev/mqueue"
  ln -s pts/ptmx "$dev/ptmx"
  ln -s /proc/self/fd "$dev/fd"
  ln -s fd/0 "$dev/stdin"
  ln -s fd/1 "$dev/stdout"
  ln -s fd/2 "$dev/stderr"
}

# As an administrator would: programs get their capabilities. On copies, since the tree is somebody's.
bind_capable() {
  local program capability inside copy
  while read -r program capability; do
    inside=build/Release/$program copy=/usr/local/lib/$program
    [[ -e $INSIDE_SOURCE/$inside ]] || continue
    install -m 0755 "$INSIDE_SOURCE/$inside" "$root$copy"
    chroot "$root" setcap "$capability" "$copy" </dev/null || echo "lab: no file capabilities here, so $program does nothing" >&2
    mount --bind "$root$copy" "$root/opt/sockswitch/$inside"
  done < <(grep -v '^#' "$INSIDE_SOURCE/packaging/capabilities")
}

bind_shared() {
  bind rw "$INSIDE_HOME" "$root/home/lab"
  if [[ -n ${INSIDE_IMAGES-} ]]; then bind "$INSIDE_IMAGES_MODE" "$INSIDE_IMAGES" "$root/var/lib/lab-images"; fi
  if [[ -n ${INSIDE_REMOTE-} ]]; then bind ro "$INSIDE_REMOTE" "$root/opt/lab/remote"; fi
  if [[ -n ${INSIDE_APPLICATIONS-} ]]; then bind ro "$INSIDE_APPLICATIONS" "$root/opt/lab/applications"; fi
  if [[ -n ${INSIDE_NODE-} ]]; then bind ro "$INSIDE_NODE" "$root/usr/local/bin/node"; fi
  if [[ -n ${INSIDE_SOURCE-} ]]; then
    bind ro "$INSIDE_SOURCE" "$root/opt/sockswitch"
    bind_capable
    ln -sf /opt/sockswitch/build/Release/sockswitch-start "$root/usr/local/bin/sockswitch"
  fi
}

make_etc() {
  local etc=$root/etc
  printf '%s\n' "$INSIDE_HOST" >"$etc/hostname"
  printf '127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n' >"$etc/hosts"
  rm -f "$etc/resolv.conf"
  printf 'search lab\nnameserver 10.77.0.100\n' >"$etc/resolv.conf"
  mkdir -p "$etc/containers"
  cp "$INSIDE_ETC"/*.conf "$etc/containers/"
}

readonly root=$INSIDE_WORK/root
if [[ ${INSIDE_IN_CGROUP_NS-} != 1 ]]; then
  join_cgroup
  # The cgroup that a process is in when it unshares becomes the root of the new namespace.
  export INSIDE_IN_CGROUP_NS=1
  exec unshare --cgroup -- bash "${BASH_SOURCE[0]}" "$@"
fi
hostname "$INSIDE_HOST"
make_root
make_dev
bind_shared
make_etc
cd "$root"
mkdir -p mnt/machine
pivot_root . mnt/machine
cd /
umount -l /mnt/machine
mount --make-rshared /
echo 1 >/sys/fs/cgroup/init/cgroup.procs
[[ $# -gt 0 ]] || set -- /usr/bin/catatonit -P
exec /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"
