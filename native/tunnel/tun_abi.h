// What tun devices understand and the C library's headers of our oldest target lack, or have in
// words that C++ does not take (linux/virtio_net.h).
#pragma once

#include <linux/if_tun.h>

#include <cstdint>

namespace sockswitch::tunnel::abi {

// struct virtio_net_hdr: flags, and what gso_type says of the packet inside.
inline constexpr std::uint8_t kNeedsChecksum = 1;
inline constexpr std::uint8_t kDataValid = 2;
inline constexpr std::uint8_t kGsoNone = 0;
inline constexpr std::uint8_t kGsoTcp4 = 1;
inline constexpr std::uint8_t kGsoTcp6 = 4;
inline constexpr std::uint8_t kGsoEcn = 0x80;
inline constexpr std::uint8_t kShortHeaderSize = 10;

// TUNSETOFFLOAD: TUN_F_UDP_TUNNEL_GSO and TUN_F_UDP_TUNNEL_GSO_CSUM. Linux 6.17; older kernels
// refuse them, so that asking for them is the probe.
inline constexpr unsigned kTunnelGso = 0x080;
inline constexpr unsigned kTunnelGsoChecksum = 0x100;

// gso_type: the packet is one in a UDP tunnel. Linux 6.17 (VIRTIO_NET_HDR_GSO_UDP_TUNNEL_IPV4, 6).
inline constexpr std::uint8_t kTunnelIpv4 = 0x20;
inline constexpr std::uint8_t kTunnelIpv6 = 0x40;
// flags: the outer UDP header has a checksum (VIRTIO_NET_HDR_F_UDP_TUNNEL_CSUM). Linux 6.17.
inline constexpr std::uint8_t kTunnelChecksum = 0x08;

// struct virtio_net_hdr_v1_hash_tunnel, as a tap with TUNSETVNETLE has it: all little endian.
struct TunnelHeader {
  std::uint8_t flags;
  std::uint8_t gso_type;
  std::uint16_t hdr_len;
  std::uint16_t gso_size;
  std::uint16_t csum_start;
  std::uint16_t csum_offset;
  std::uint16_t num_buffers;
  std::uint32_t hash_value;
  std::uint16_t hash_report;
  std::uint16_t padding;
  std::uint16_t outer_transport_offset;
  std::uint16_t inner_network_offset;
};
static_assert(sizeof(TunnelHeader) == 24);

}  // namespace sockswitch::tunnel::abi
