/** Rule sets as kube-proxy and netavark make them, cut to a few services and networks. */

/** netavark 1.14 and 1.15, nftables driver: a plain network, one with IPv6, an internal one, two isolated ones. */
export const NETAVARK_NFTABLES = `
table inet netavark {
  chain NETAVARK-HOSTPORT-SETMARK { meta mark set meta mark | 0x00002000 }
  chain nv_plain_10_89_0_0_nm24_dnat {
    ip saddr 10.89.0.0/24 tcp dport 8081 jump NETAVARK-HOSTPORT-SETMARK
    ip saddr 127.0.0.1 tcp dport 8081 jump NETAVARK-HOSTPORT-SETMARK
    tcp dport 8081 dnat ip to 10.89.0.2:80
  }
  chain NETAVARK-HOSTPORT-DNAT { tcp dport 8081 jump nv_plain_10_89_0_0_nm24_dnat }
  chain NETAVARK-ISOLATION-2 { oifname "podman4" drop; oifname "podman5" drop; }
  chain NETAVARK-ISOLATION-3 { oifname "podman2" drop; oifname "podman1" drop; jump NETAVARK-ISOLATION-2; }
  chain NETAVARK-ISOLATION-1 {
    iifname "podman4" oifname != "podman4" jump NETAVARK-ISOLATION-2
    iifname "podman5" oifname != "podman5" jump NETAVARK-ISOLATION-3
  }
  chain nv_plain { ip daddr 10.89.0.0/24 accept; ip daddr != 224.0.0.0/4 masquerade; }
  chain nv_v6 { ip6 daddr fd99:1::/64 accept; ip6 daddr != ::/8 masquerade; }
  chain nv_isolated { ip daddr 10.89.3.0/24 accept; ip daddr != 224.0.0.0/4 masquerade; }
  chain INPUT {
    type filter hook input priority filter; policy accept;
    ip saddr 10.89.0.0/24 meta l4proto { tcp, udp } th dport 53 accept
  }
  chain FORWARD {
    type filter hook forward priority filter; policy accept;
    ct state invalid drop
    jump NETAVARK-ISOLATION-1
    ip daddr 10.89.0.0/24 ct state established,related accept
    ip saddr 10.89.0.0/24 accept
    ip6 daddr fd99:1::/64 ct state established,related accept
    ip6 saddr fd99:1::/64 accept
    ip daddr 10.89.3.0/24 ct state established,related accept
    ip saddr 10.89.3.0/24 accept
  }
  chain POSTROUTING {
    type nat hook postrouting priority srcnat; policy accept;
    meta mark & 0x00002000 == 0x00002000 masquerade
    ip saddr 10.89.0.0/24 jump nv_plain
    ip6 saddr fd99:1::/64 jump nv_v6
    ip saddr 10.89.3.0/24 jump nv_isolated
  }
  chain PREROUTING { type nat hook prerouting priority dstnat; policy accept; fib daddr type local jump NETAVARK-HOSTPORT-DNAT }
  chain OUTPUT { type nat hook output priority -100; policy accept; fib daddr type local jump NETAVARK-HOSTPORT-DNAT }
}`;

/** The same by the iptables driver (netavark 1.4 has no other). */
export const NETAVARK_IPTABLES = {
  v4: `*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:NETAVARK_FORWARD - [0:0]
:NETAVARK_ISOLATION_1 - [0:0]
:NETAVARK_ISOLATION_2 - [0:0]
-A FORWARD -j NETAVARK_ISOLATION_1
-A FORWARD -m comment --comment "netavark firewall plugin rules" -j NETAVARK_FORWARD
-A NETAVARK_FORWARD -m conntrack --ctstate INVALID -j DROP
-A NETAVARK_FORWARD -d 10.89.0.0/24 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A NETAVARK_FORWARD -s 10.89.0.0/24 -j ACCEPT
-A NETAVARK_ISOLATION_1 -i podman5 ! -o podman5 -j NETAVARK_ISOLATION_2
-A NETAVARK_ISOLATION_1 -i podman4 ! -o podman4 -j NETAVARK_ISOLATION_2
-A NETAVARK_ISOLATION_2 -o podman5 -j DROP
-A NETAVARK_ISOLATION_2 -o podman4 -j DROP
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:NETAVARK-2972C8346948B - [0:0]
:NETAVARK-BDD14F350BEAD - [0:0]
:NETAVARK-DN-BDD14F350BEAD - [0:0]
:NETAVARK-HOSTPORT-DNAT - [0:0]
:NETAVARK-HOSTPORT-MASQ - [0:0]
:NETAVARK-HOSTPORT-SETMARK - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j NETAVARK-HOSTPORT-DNAT
-A OUTPUT -m addrtype --dst-type LOCAL -j NETAVARK-HOSTPORT-DNAT
-A POSTROUTING -j NETAVARK-HOSTPORT-MASQ
-A POSTROUTING -s 10.89.0.0/24 -j NETAVARK-BDD14F350BEAD
-A POSTROUTING -s 10.89.3.0/24 -j NETAVARK-2972C8346948B
-A NETAVARK-2972C8346948B -d 10.89.3.0/24 -j ACCEPT
-A NETAVARK-2972C8346948B ! -d 224.0.0.0/4 -j MASQUERADE
-A NETAVARK-BDD14F350BEAD -d 10.89.0.0/24 -j ACCEPT
-A NETAVARK-BDD14F350BEAD ! -d 224.0.0.0/4 -j MASQUERADE
-A NETAVARK-DN-BDD14F350BEAD -s 10.89.0.0/24 -p tcp -m tcp --dport 8081 -j NETAVARK-HOSTPORT-SETMARK
-A NETAVARK-DN-BDD14F350BEAD -p tcp -m tcp --dport 8081 -j DNAT --to-destination 10.89.0.2:80
-A NETAVARK-HOSTPORT-DNAT -p tcp -m tcp --dport 8081 -m comment --comment "dnat name: plain" -j NETAVARK-DN-BDD14F350BEAD
-A NETAVARK-HOSTPORT-MASQ -m comment --comment "netavark portfw masq mark" -m mark --mark 0x2000/0x2000 -j MASQUERADE
-A NETAVARK-HOSTPORT-SETMARK -j MARK --set-xmark 0x2000/0x2000
COMMIT`,
  v6: `*filter
:FORWARD ACCEPT [0:0]
:NETAVARK_FORWARD - [0:0]
-A FORWARD -m comment --comment "netavark firewall plugin rules" -j NETAVARK_FORWARD
-A NETAVARK_FORWARD -d fd99:1::/64 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A NETAVARK_FORWARD -s fd99:1::/64 -j ACCEPT
COMMIT
*nat
:POSTROUTING ACCEPT [0:0]
:NETAVARK-2AE29C272C069 - [0:0]
:NETAVARK-HOSTPORT-MASQ - [0:0]
-A POSTROUTING -j NETAVARK-HOSTPORT-MASQ
-A POSTROUTING -s fd99:1::/64 -j NETAVARK-2AE29C272C069
-A NETAVARK-2AE29C272C069 -d fd99:1::/64 -j ACCEPT
-A NETAVARK-2AE29C272C069 ! -d ff00::/8 -j MASQUERADE
-A NETAVARK-HOSTPORT-MASQ -m mark --mark 0x2000/0x2000 -j MASQUERADE
COMMIT`,
};

/** kube-proxy's nftables mode: two services (one with session affinity), one without endpoints, a node port. */
export const KUBE_PROXY_NFTABLES = `
table ip kube-proxy {
  set cluster-ips { type ipv4_addr; elements = { 10.96.0.1, 10.96.0.10, 10.96.0.77 } }
  set nodeport-ips { type ipv4_addr; elements = { 198.51.100.2 } }
  set affinity-dns { type ipv4_addr; flags dynamic,timeout; timeout 3h; }
  chain mark-for-masquerade { meta mark set mark or 0x4000 }
  chain reject-chain { reject }
  chain endpoint-api1 { ip saddr 10.88.0.2 jump mark-for-masquerade; meta l4proto tcp dnat to 10.88.0.2:6443; }
  chain endpoint-api2 { ip saddr 10.88.0.3 jump mark-for-masquerade; meta l4proto tcp dnat to 10.88.0.3:6443; }
  chain endpoint-dns { ip saddr 10.244.0.5 jump mark-for-masquerade; update @affinity-dns { ip saddr }; meta l4proto tcp dnat to 10.244.0.5:53; }
  chain service-api {
    ip daddr 10.96.0.1 tcp dport 443 ip saddr != 10.244.0.0/16 jump mark-for-masquerade
    numgen random mod 2 vmap { 0 : goto endpoint-api1, 1 : goto endpoint-api2 }
  }
  chain service-dns {
    ip daddr 10.96.0.10 tcp dport 53 ip saddr != 10.244.0.0/16 jump mark-for-masquerade
    ip saddr @affinity-dns goto endpoint-dns
    numgen random mod 1 vmap { 0 : goto endpoint-dns }
  }
  map service-ips {
    type ipv4_addr . inet_proto . inet_service : verdict
    elements = { 10.96.0.1 . tcp . 443 : goto service-api, 10.96.0.10 . tcp . 53 : goto service-dns }
  }
  map service-nodeports { type inet_proto . inet_service : verdict; elements = { tcp . 30080 : goto service-api } }
  map no-endpoint-services { type ipv4_addr . inet_proto . inet_service : verdict; elements = { 10.96.0.77 . tcp . 80 : goto reject-chain } }
  map firewall-ips { type ipv4_addr . inet_proto . inet_service : verdict; }
  chain services {
    ip daddr . meta l4proto . th dport vmap @service-ips
    ip daddr @nodeport-ips meta l4proto . th dport vmap @service-nodeports
  }
  chain masquerading { meta mark and 0x4000 == 0 return; meta mark set mark xor 0x4000; masquerade fully-random; }
  chain cluster-ips-check { ip daddr @cluster-ips reject; ip daddr 10.96.0.0/12 drop; }
  chain service-endpoints-check { ip daddr . meta l4proto . th dport vmap @no-endpoint-services }
  chain firewall-check { ip daddr . meta l4proto . th dport vmap @firewall-ips }
  chain filter-forward { type filter hook forward priority -110; ct state new jump service-endpoints-check; }
  chain filter-output { type filter hook output priority -110; ct state new jump service-endpoints-check; ct state new jump firewall-check; }
  chain filter-output-post-dnat { type filter hook output priority -90; ct state new jump cluster-ips-check; }
  chain nat-prerouting { type nat hook prerouting priority -100; jump services; }
  chain nat-output { type nat hook output priority -100; jump services; }
  chain nat-postrouting { type nat hook postrouting priority 100; jump masquerading; }
}`;

/** The same by its iptables mode, for iptables-restore. */
export const KUBE_PROXY_IPTABLES = `*filter
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-FIREWALL - [0:0]
-A OUTPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A OUTPUT -j KUBE-FIREWALL
-A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m comment --comment "block incoming localnet connections" -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP
-A KUBE-SERVICES -d 10.96.0.77/32 -p tcp -m comment --comment "default/empty has no endpoints" -m tcp --dport 80 -j DROP
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:KUBE-MARK-MASQ - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-POSTROUTING - [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-SVC-API - [0:0]
:KUBE-SVC-DNS - [0:0]
:KUBE-EXT-API - [0:0]
:KUBE-SEP-API1 - [0:0]
:KUBE-SEP-API2 - [0:0]
:KUBE-SEP-DNS - [0:0]
-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully
-A KUBE-SERVICES -d 10.96.0.1/32 -p tcp -m comment --comment "default/kubernetes:https cluster IP" -m tcp --dport 443 -j KUBE-SVC-API
-A KUBE-SERVICES -d 10.96.0.10/32 -p tcp -m comment --comment "kube-system/kube-dns:dns-tcp cluster IP" -m tcp --dport 53 -j KUBE-SVC-DNS
-A KUBE-SERVICES -m comment --comment "kubernetes service nodeports; NOTE: this must be the last rule in this chain" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
-A KUBE-NODEPORTS -p tcp -m tcp --dport 30080 -j KUBE-EXT-API
-A KUBE-EXT-API -j KUBE-MARK-MASQ
-A KUBE-EXT-API -j KUBE-SVC-API
-A KUBE-SVC-API ! -s 10.244.0.0/16 -d 10.96.0.1/32 -p tcp -m tcp --dport 443 -j KUBE-MARK-MASQ
-A KUBE-SVC-API -m statistic --mode random --probability 0.5 -j KUBE-SEP-API1
-A KUBE-SVC-API -j KUBE-SEP-API2
-A KUBE-SEP-API1 -s 10.88.0.2/32 -j KUBE-MARK-MASQ
-A KUBE-SEP-API1 -p tcp -m tcp -j DNAT --to-destination 10.88.0.2:6443
-A KUBE-SEP-API2 -s 10.88.0.3/32 -j KUBE-MARK-MASQ
-A KUBE-SEP-API2 -p tcp -m tcp -j DNAT --to-destination 10.88.0.3:6443
-A KUBE-SVC-DNS -j KUBE-SEP-DNS
-A KUBE-SEP-DNS -s 10.244.0.5/32 -j KUBE-MARK-MASQ
-A KUBE-SEP-DNS -p tcp -m tcp -j DNAT --to-destination 10.244.0.5:53
COMMIT`;

/** What kube-proxy's IPVS mode has in iptables: marks for masquerading; IPVS itself translates. */
export const KUBE_PROXY_IPVS_CHAINS = `*nat
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:KUBE-MARK-MASQ - [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-NODE-PORT - [0:0]
-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A KUBE-NODE-PORT -p tcp -j KUBE-MARK-MASQ
-A KUBE-SERVICES ! -s 10.244.0.0/16 -m comment --comment "cluster IP" -m statistic --mode random --probability 0.5 -j KUBE-MARK-MASQ
-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODE-PORT
COMMIT`;

/** nft wants lines' ends around the closing brace of a block, and none within a set's elements. */
export function nft(rules: string): string {
  const blocks: boolean[] = [];
  const lines = rules.replaceAll(/[{}]/g, (brace, at: number) => {
    if (brace === '{') {
      blocks.push(/(table|chain|set|map) +[\w-]+( [\w-]+)? *$/.test(rules.slice(0, at)));
      return brace;
    }
    return blocks.pop() === true ? '\n}\n' : brace;
  });
  return `nft -f - <<'RULES'\n${lines}\nRULES`;
}
