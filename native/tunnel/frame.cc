#include "tunnel/frame.h"

#include <endian.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>

#include "tunnel/tun_abi.h"

namespace sockswitch::tunnel {
namespace {

constexpr std::size_t kEthernet = 14;
constexpr std::size_t kIpv4 = 20;
constexpr std::size_t kIpv6 = 40;
constexpr std::size_t kUdp = 8;
constexpr std::uint16_t kTypeIpv4 = 0x0800;
constexpr std::uint16_t kTypeIpv6 = 0x86dd;
constexpr std::uint8_t kHopLimit = 64;
constexpr std::uint16_t kDontFragment = 0x4000;
constexpr std::size_t kMaxPacket = 65535;

std::uint16_t get16(const std::uint8_t* from) {
  return static_cast<std::uint16_t>(from[0] << 8 | from[1]);
}
void put16(std::uint32_t value, std::uint8_t* to) {
  to[0] = static_cast<std::uint8_t>(value >> 8);
  to[1] = static_cast<std::uint8_t>(value);
}

abi::TunnelHeader read_virtio(const TapFormat& format, Bytes frame) {
  abi::TunnelHeader header{};
  std::memcpy(&header, frame.data(), std::min(format.header_size, sizeof header));
  return header;
}

// The Internet checksum's sum, not folded (RFC 1071).
std::uint32_t sum16(const std::uint8_t* from, std::size_t size, std::uint32_t sum = 0) {
  for (std::size_t i = 0; i + 1 < size; i += 2) sum += get16(from + i);
  return sum;
}
std::uint16_t fold(std::uint32_t sum) {
  while ((sum >> 16) != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(sum);
}

struct Outer {
  Address destination;
  std::size_t udp = 0;  // offset of the UDP header
  std::size_t end = 0;  // of the IP packet
  bool v6 = false;
};

// No value: not UDP in IP, or not plainly so.
std::optional<Outer> read_outer(Bytes frame, std::size_t start) {
  if (frame.size() < start + kEthernet + kIpv4 + kUdp) return {};
  const std::size_t at = start + kEthernet;
  const std::uint8_t* ip = frame.data() + at;
  Outer outer;
  switch (get16(frame.data() + start + kEthernet - 2)) {
    case kTypeIpv4: {
      constexpr std::uint8_t kNoOptions = 0x45;
      constexpr std::uint16_t kFragment = 0x3fff;
      if (ip[0] != kNoOptions || ip[9] != IPPROTO_UDP || (get16(ip + 6) & kFragment) != 0) {
        return {};
      }
      in_addr address{};
      std::memcpy(&address, ip + 16, sizeof address);
      outer.destination = Address::from_v4(address);
      outer.udp = at + kIpv4;
      outer.end = at + get16(ip + 2);
      return outer;
    }
    case kTypeIpv6: {
      if (frame.size() < at + kIpv6 + kUdp || ip[0] >> 4 != 6 || ip[6] != IPPROTO_UDP) return {};
      in6_addr address{};
      std::memcpy(&address, ip + 24, sizeof address);
      outer.destination = Address::from_v6(address);
      outer.udp = at + kIpv6;
      outer.end = at + kIpv6 + get16(ip + 4);
      outer.v6 = true;
      return outer;
    }
    default:
      return {};
  }
}

// The fields of the message that stand in the virtio header; false if they do not fit.
bool read_segmentation(const TapFormat& format, const abi::TunnelHeader& virtio,
                       std::size_t payload, MessageHeader& header) {
  const std::size_t base = payload - format.header_size;  // offsets count from the frame proper
  const std::size_t checksum_start = le16toh(virtio.csum_start);
  const bool partial = (virtio.flags & abi::kNeedsChecksum) != 0;
  // A checksum of the outer header that is to be completed means nothing: it is made anew.
  if (partial && checksum_start >= base) {
    header.flags = kPartialChecksum;
    header.checksum_start = static_cast<std::uint16_t>(checksum_start - base);
    header.checksum_offset = le16toh(virtio.csum_offset);
  }
  if (virtio.gso_type == abi::kGsoNone) return true;
  constexpr std::uint8_t kTunnel = abi::kTunnelIpv4 | abi::kTunnelIpv6;
  if (!format.tunnel_segments || (virtio.gso_type & kTunnel) == 0) return false;
  const std::size_t network = le16toh(virtio.inner_network_offset);
  if (network < base) return false;
  header.segmentation = virtio.gso_type & static_cast<std::uint8_t>(~kTunnel);
  header.segment_size = le16toh(virtio.gso_size);
  header.network_offset = static_cast<std::uint16_t>(network - base);
  return true;
}

}  // namespace

std::optional<OutgoingPayload> take_apart(const TapFormat& format, Bytes frame,
                                          FrameProblem& problem) {
  problem = FrameProblem::kNotOurs;
  if (frame.size() < format.header_size) return {};
  const auto outer = read_outer(frame, format.header_size);
  if (!outer) return {};
  problem = FrameProblem::kMalformed;
  const std::uint8_t* udp = frame.data() + outer->udp;
  const std::size_t payload = outer->udp + kUdp;
  // Ethernet may have padding behind the packet. The UDP length of what stands for many packets is
  // theirs, so it is not looked at.
  if (outer->end <= payload || outer->end > frame.size()) return {};
  const std::size_t size = outer->end - payload;
  if (size > kMaxPayload) return {};

  OutgoingPayload found;
  found.destination = outer->destination;
  found.destination_port = get16(udp + 2);
  found.offset = payload;
  found.header.type = MessageType::kPayload;
  found.header.size = static_cast<std::uint16_t>(size);
  found.header.source_port = get16(udp);
  if (!read_segmentation(format, read_virtio(format, frame), payload, found.header)) return {};
  std::array<std::uint8_t, kHeaderSize> written{};
  write_header(found.header, written.data());
  if (!read_header(written)) return {};  // the peer would not take it
  problem = FrameProblem::kNone;
  return found;
}

std::optional<FrameHead> build_head(const TapFormat& format, const Flow& flow,
                                    const std::array<std::uint8_t, 6>& device_address,
                                    const MessageHeader& header) {
  const bool v6 = !flow.source.is_v4();
  const std::size_t ip_size = v6 ? kIpv6 : kIpv4;
  const std::size_t udp_size = kUdp + header.size;
  const std::size_t inside =
      kEthernet + ip_size + kUdp;  // offsets count from Ethernet's first byte
  if (ip_size + udp_size > kMaxPacket || inside + header.checksum_start > kMaxPacket ||
      inside + header.network_offset > kMaxPacket) {
    return {};
  }
  const bool segments = header.segmentation != 0;
  if (segments && !format.tunnel_segments) return {};

  FrameHead head;
  const std::size_t ip_at = format.header_size + kEthernet;
  const std::size_t udp_at = ip_at + ip_size;
  head.size = udp_at + kUdp;
  std::uint8_t* bytes = head.bytes.data();

  std::uint8_t* ethernet = bytes + format.header_size;
  std::ranges::copy(device_address, ethernet);
  ethernet[6] = 0x02;  // the sender's: locally administered, of nobody
  put16(v6 ? kTypeIpv6 : kTypeIpv4, ethernet + 12);

  std::uint8_t* ip = bytes + ip_at;
  std::uint32_t pseudo = IPPROTO_UDP + static_cast<std::uint32_t>(udp_size);
  if (v6) {
    ip[0] = 0x60;
    put16(static_cast<std::uint32_t>(udp_size), ip + 4);
    ip[6] = IPPROTO_UDP;
    ip[7] = kHopLimit;
    std::ranges::copy(flow.source.bytes, ip + 8);
    std::ranges::copy(flow.destination.bytes, ip + 24);
    pseudo = sum16(ip + 8, 32, pseudo);
  } else {
    ip[0] = 0x45;
    put16(static_cast<std::uint32_t>(ip_size + udp_size), ip + 2);
    put16(kDontFragment, ip + 6);
    ip[8] = kHopLimit;
    ip[9] = IPPROTO_UDP;
    std::copy_n(flow.source.bytes.data() + 12, 4, ip + 12);
    std::copy_n(flow.destination.bytes.data() + 12, 4, ip + 16);
    put16(static_cast<std::uint16_t>(~fold(sum16(ip, kIpv4))), ip + 10);
  }

  std::uint8_t* udp = bytes + udp_at;
  put16(header.source_port, udp);
  put16(flow.destination_port, udp + 2);
  put16(static_cast<std::uint32_t>(udp_size), udp + 4);
  // In IPv4, 0 says that there is none. In IPv6 there must be one; TCP has seen to the bytes, so
  // the virtio header says that it is checked.
  if (v6) put16(std::max<std::uint16_t>(fold(pseudo), 1), udp + 6);

  abi::TunnelHeader virtio{};
  if ((header.flags & kPartialChecksum) != 0) {
    virtio.flags = abi::kNeedsChecksum;
    virtio.csum_start = htole16(static_cast<std::uint16_t>(inside + header.checksum_start));
    virtio.csum_offset = htole16(header.checksum_offset);
  } else if (v6) {
    virtio.flags = abi::kDataValid;
  }
  if (segments) {
    virtio.gso_type = header.segmentation | (v6 ? abi::kTunnelIpv6 : abi::kTunnelIpv4);
    if (v6) virtio.flags |= abi::kTunnelChecksum;
    virtio.gso_size = htole16(header.segment_size);
    virtio.outer_transport_offset =
        htole16(static_cast<std::uint16_t>(udp_at - format.header_size));
    virtio.inner_network_offset =
        htole16(static_cast<std::uint16_t>(inside + header.network_offset));
  }
  std::memcpy(bytes, &virtio, std::min(format.header_size, sizeof virtio));
  return head;
}

}  // namespace sockswitch::tunnel
