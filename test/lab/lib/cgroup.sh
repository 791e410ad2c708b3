# shellcheck shell=bash
# cgroup.sh: the lab's cgroup subtree, in the machine's cgroup2 hierarchy.
#
#   sockswitch-lab-NAME/            everything a lab runs: killing this subtree is what `down` does
#     HOST/                         root of the host's cgroup namespace; what the host sees as /sys/fs/cgroup
#       init/                       init, servers, root's commands
#       user/                       delegated to the unprivileged user
#         session/                  the user's commands; Podman makes its groups beside it
#
# Controllers are passed down as far as the machine offers them. Hybrid machines offer almost none in cgroup2, and
# rootless Podman then works without limits, as it does wherever nothing is delegated.

# cgroup_root: where the machine has cgroup2 mounted (/sys/fs/cgroup, or /sys/fs/cgroup/unified on hybrid machines).
cgroup_root() {
  findmnt --noheadings --first-only --types cgroup2 --output TARGET ||
    die "no cgroup2 hierarchy is mounted on this machine"
}

cgroup_exists() {
  [[ -d $(cgroup_root)/$1 ]]
}

cgroup_pass_down() {
  local controller
  for controller in $(<"$1/cgroup.controllers"); do
    echo "+$controller" >"$1/cgroup.subtree_control" 2>/dev/null || true
  done
}

# cgroup_make_lab: prints the path of the lab's group.
cgroup_make_lab() {
  local path
  path=$(cgroup_root)/$1
  mkdir -p "$path"
  cgroup_pass_down "$path"
  printf '%s' "$path"
}

cgroup_make_host() {
  local path=$1
  mkdir -p "$path/init" "$path/user/session"
}

# cgroup_delegate PATH: after the host's processes have moved into leaves.
cgroup_delegate() {
  local path=$1 dir file
  cgroup_pass_down "$path"
  for dir in "$path/user" "$path/user/session"; do
    chown "$LAB_UID:$LAB_UID" "$dir"
    for file in cgroup.procs cgroup.threads cgroup.subtree_control; do
      chown "$LAB_UID:$LAB_UID" "$dir/$file"
    done
  done
}

# cgroup_freeze PATH 1|0: stops or continues every process in the subtree, and waits until that is done.
cgroup_freeze() {
  local tries
  echo "$2" >"$1/cgroup.freeze"
  for ((tries = 0; tries < 200; tries++)); do
    ! grep -q "^frozen $2" "$1/cgroup.events" || return 0
    sleep 0.05
  done
  die "processes in $1 do not get to 'frozen $2'"
}

# cgroup_remove NAME: kills every process in the subtree, waits until they are gone, removes the groups.
cgroup_remove() {
  local path tries
  path=$(cgroup_root)/$1
  [[ -d $path ]] || return 0
  for ((tries = 0; tries < 200; tries++)); do
    echo 1 >"$path/cgroup.kill"
    if grep -q '^populated 0' "$path/cgroup.events"; then
      if find "$path" -depth -type d -exec rmdir {} + 2>/dev/null; then
        return
      fi
    fi
    sleep 0.05
  done
  die "processes in $path do not end: $(find "$path" -name cgroup.procs -exec cat {} + | tr '\n' ' ')"
}
