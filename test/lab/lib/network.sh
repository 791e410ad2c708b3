# shellcheck shell=bash
# network.sh: the lab's network.
#
#                       remote
#     host1 eth0 --- port1 \
#                           br0   10.77.0.1, fd77::1       gateway
#     host2 eth0 --- port2 /      10.77.0.100, fd77::100   remote itself, on-link
#                           lo    10.99.0.1, fd99::1       remote again, only reached by the hosts' default route
#                                 203.0.113.1              the same, and a public address (for documentation, RFC 5737)
#                                 2d00:113::1              the same of IPv6 (2d00::/8 is allocated to nobody)
#
# One segment, MTU 1500, host1 .11 and host2 .12. The bridge lives in remote's namespace, so a packet crosses one veth and
# one bridge. remote forwards and knows no way to anything else: other destinations are answered "unreachable", except
# 10.98.0.0/24 and fd98::/64, where packets vanish silently (for time-outs).
#
# Congestion control is cubic, as distributions have it. A network namespace can only choose what the machine's first
# namespace lists in tcp_allowed_congestion_control, so cubic is added there while a lab is up, and the last lab's `down`
# puts the machine's list back.

readonly LAB_CC_SYSCTL=/proc/sys/net/ipv4/tcp_allowed_congestion_control
readonly LAB_CC_SAVED=$LAB_RUN_ROOT/.machine-congestion-control

network_up() {
  local host1 host2 HOST_PID
  host_pid host1
  host1=$HOST_PID
  host_pid host2
  host2=$HOST_PID
  log "making the network"
  network_allow_cubic
  network_tune host1 host2 remote
  network_ip remote <<IP
link set lo up
link add br0 type bridge forward_delay 0 mcast_snooping 0
link add port1 type veth peer name eth0 netns $host1
link add port2 type veth peer name eth0 netns $host2
link set port1 master br0 up
link set port2 master br0 up
link set br0 up
address add 10.77.0.1/24 dev br0
address add 10.77.0.100/24 dev br0
address add fd77::1/64 dev br0 nodad
address add fd77::100/64 dev br0 nodad
address add 10.99.0.1/32 dev lo
address add 203.0.113.1/32 dev lo
address add fd99::1/128 dev lo nodad
address add 2d00:113::1/128 dev lo nodad
route add blackhole 10.98.0.0/24
route add blackhole fd98::/64
IP
  network_attach host1 11
  network_attach host2 12
  network_hosts_file
}

network_attach() {
  network_ip "$1" <<IP
link set lo up
link set eth0 up
address add 10.77.0.$2/24 dev eth0
address add fd77::$2/64 dev eth0 nodad
route add default via 10.77.0.1
route add default via fd77::1
IP
}

# network_cable HOST up|down: the end at the bridge, so that the host sees a lost carrier.
network_cable() {
  network_ip remote <<<"link set port${1#host} $2"
}

# The machine's own ip in the host's network namespace only: a veth's peer is sent to a namespace by a PID that means
# something out here.
network_ip() {
  local HOST_PID
  host_pid "$1"
  nsenter --target "$HOST_PID" --net ip -batch -
}

network_tune() {
  local host
  for host in "$@"; do
    # Not every setting exists on every kernel, and IPv6 may be off on the machine; what is needed shows in use.
    host_run "$host" root sysctl --quiet --ignore --load - <<'SYSCTL'
net.ipv6.conf.all.disable_ipv6 = 0
net.ipv6.conf.default.disable_ipv6 = 0
net.ipv6.conf.all.accept_dad = 0
net.ipv6.conf.default.accept_dad = 0
net.ipv6.conf.all.accept_ra = 0
net.ipv6.conf.default.accept_ra = 0
net.ipv4.tcp_congestion_control = cubic
net.ipv4.ping_group_range = 0 2147483647
net.ipv4.ip_unprivileged_port_start = 1024
SYSCTL
  done
  host_run remote root sysctl --quiet --load - <<'SYSCTL'
net.ipv4.ip_forward = 1
net.ipv6.conf.all.forwarding = 1
SYSCTL
}

network_hosts_file() {
  host_run host1 root sh -c 'echo "10.77.0.11 host1" >>/etc/hosts'
  host_run host2 root sh -c 'echo "10.77.0.12 host2" >>/etc/hosts'
  host_run remote root sh -c 'echo "10.77.0.100 remote" >>/etc/hosts'
}

network_allow_cubic() {
  local list
  list=$(<"$LAB_CC_SYSCTL")
  [[ " $list " == *" cubic "* ]] && return
  [[ -e $LAB_CC_SAVED ]] || printf '%s\n' "$list" >"$LAB_CC_SAVED"
  echo "$list cubic" >"$LAB_CC_SYSCTL"
}

# network_down: links go with their namespaces; only the machine's own setting is left. Called before the lab's RUN_DIR
# is removed.
network_down() {
  local other
  [[ -e $LAB_CC_SAVED ]] || return 0
  for other in "$LAB_RUN_ROOT"/*/; do
    [[ $other == "$RUN_DIR/" || ! -d $other ]] || return 0
  done
  cat "$LAB_CC_SAVED" >"$LAB_CC_SYSCTL"
  rm -f "$LAB_CC_SAVED"
}
