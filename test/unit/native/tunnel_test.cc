// The pure parts of tunnels: wire format, frames of the tap, what the kernel tells of tunnels.
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <vector>

#include "check.h"
#include "tunnel/discovery.h"
#include "tunnel/frame.h"
#include "tunnel/outbound.h"
#include "tunnel/proof.h"
#include "tunnel/tun_abi.h"
#include "tunnel/wire.h"

namespace {

using namespace sockswitch;          // NOLINT(google-build-using-namespace): a test of it
using namespace sockswitch::tunnel;  // NOLINT(google-build-using-namespace): a test of it

constexpr TapFormat kLong{24, true};
constexpr TapFormat kShort{10, false};
constexpr std::array<std::uint8_t, 6> kDevice{2, 0, 0, 0, 0, 9};

Address address(const char* text) { return *Address::parse(text); }

MessageHeader payload_header(std::uint16_t size) {
  MessageHeader header;
  header.type = MessageType::kPayload;
  header.size = size;
  header.source_port = 40000;
  return header;
}

// VXLAN header, Ethernet, IPv4, TCP: where a segmented payload's parts are.
MessageHeader segmented_header(std::uint16_t size) {
  MessageHeader header = payload_header(size);
  header.flags = kPartialChecksum;
  header.segmentation = abi::kGsoTcp4;
  header.segment_size = 1398;
  header.network_offset = 8 + 14;
  header.checksum_start = 8 + 14 + 20;
  header.checksum_offset = 16;
  return header;
}

std::optional<MessageHeader> round_trip(const MessageHeader& header) {
  std::array<std::uint8_t, kHeaderSize> bytes{};
  write_header(header, bytes.data());
  return read_header(bytes);
}

// What the tap of the receiver gets is what a tap of the sender could have given.
std::vector<std::uint8_t> frame_of(const TapFormat& format, const Flow& flow,
                                   const MessageHeader& header) {
  const auto head = build_head(format, flow, kDevice, header);
  if (!head) return {};
  std::vector<std::uint8_t> frame(head->bytes.begin(),
                                  head->bytes.begin() + static_cast<std::ptrdiff_t>(head->size));
  frame.resize(head->size + header.size, 0x5a);
  return frame;
}

const Flow kFlow4{address("10.0.0.1"), address("10.0.0.2"), 8472};
const Flow kFlow6{address("fd00::1"), address("fd00::2"), 8472};

std::uint32_t ones_sum(const std::uint8_t* from, std::size_t size) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < size; i += 2)
    sum += static_cast<std::uint32_t>(from[i] << 8 | from[i + 1]);
  while ((sum >> 16) != 0) sum = (sum & 0xffff) + (sum >> 16);
  return sum;
}

TEST(tunnel_wire_messages) {
  Nonce nonce{};
  std::iota(nonce.begin(), nonce.end(), std::uint8_t{1});
  const auto hello = hello_message({kVersion, nonce});
  const auto header = read_header(hello);
  CHECK(header && header->type == MessageType::kHello);
  const auto body = read_hello(Bytes(hello).subspan(kHeaderSize));
  CHECK(body && body->version == kVersion && body->nonce == nonce);
  auto other = hello;
  other[kHeaderSize] = 'S';
  CHECK(!read_hello(Bytes(other).subspan(kHeaderSize)));

  const auto ready = ready_message({kVersion, kTakesSegments});
  CHECK(read_header(ready).has_value());
  const auto features = read_ready(Bytes(ready).subspan(kHeaderSize));
  CHECK(features && features->features == kTakesSegments);

  const auto proved = nonce_message(MessageType::kProved, nonce);
  CHECK(read_header(proved).has_value());
  CHECK(read_nonce(Bytes(proved).subspan(kHeaderSize)) == nonce);

  const auto refused = refused_message(std::string(500, 'x') + "\n");
  CHECK_EQ(refused.size(), kHeaderSize + kMaxRefusal);
  const std::uint8_t rude[] = {'a', '\x1b', 0, 'b'};
  CHECK_EQ(read_refusal(rude), "a??b");

  const auto datagram = probe_datagram(nonce);
  CHECK(read_probe_datagram(datagram) == nonce);
  CHECK_EQ(int{datagram[0]}, 0);  // no I flag: VXLAN drops it
  CHECK(!read_probe_datagram(Bytes(datagram).first(datagram.size() - 1)));
}

TEST(tunnel_wire_payload_fields_must_fit) {
  CHECK(round_trip(payload_header(100)) == payload_header(100));
  CHECK(round_trip(segmented_header(5000)) == segmented_header(5000));
  CHECK(!round_trip(payload_header(0)));
  CHECK(!round_trip(payload_header(65508)));

  auto broken = [](auto change) {
    MessageHeader header = segmented_header(5000);
    change(header);
    return !round_trip(header);
  };
  for (const std::uint8_t type : {0, 7, 255}) {
    std::array<std::uint8_t, kHeaderSize> bytes{type};
    CHECK(!read_header(bytes));
  }
  CHECK(broken([](auto& header) { header.type = MessageType::kProbe; }));
  CHECK(broken([](auto& header) { header.flags = 0; }));
  CHECK(broken([](auto& header) { header.flags = 3; }));
  CHECK(broken([](auto& header) { header.segment_size = 0; }));
  CHECK(broken([](auto& header) { header.segmentation = 3; }));  // UDP fragmentation
  CHECK(broken([](auto& header) { header.segmentation = 5; }));  // UDP segmentation
  CHECK(broken([](auto& header) { header.network_offset = 7; }));
  CHECK(broken([](auto& header) { header.checksum_start = 41; }));
  CHECK(broken([](auto& header) { header.checksum_start = 4990; }));
  CHECK(broken([](auto& header) { header.checksum_offset = 65535; }));
  CHECK(broken([](auto& header) { header.segmentation = abi::kGsoTcp6; }));  // IPv6 needs more
}

TEST(tunnel_frames_there_and_back) {
  for (const Flow& flow : {kFlow4, kFlow6}) {
    for (const TapFormat& format : {kLong, kShort}) {
      const auto frame = frame_of(format, flow, payload_header(1000));
      FrameProblem problem{};
      const auto found = take_apart(format, frame, problem);
      CHECK(found.has_value());
      if (!found) continue;
      CHECK(found->destination == flow.destination);
      CHECK_EQ(found->destination_port, flow.destination_port);
      CHECK_EQ(found->offset + 1000, frame.size());
      CHECK(found->header == payload_header(1000));
    }
    const auto frame = frame_of(kLong, flow, segmented_header(5000));
    FrameProblem problem{};
    const auto found = take_apart(kLong, frame, problem);
    CHECK(found && found->header == segmented_header(5000));
    CHECK(frame_of(kShort, flow, segmented_header(5000)).empty());
  }
}

TEST(tunnel_frame_headers) {
  const auto v4 = frame_of(kShort, kFlow4, payload_header(100));
  CHECK(std::equal(kDevice.begin(), kDevice.end(), v4.begin() + 10));
  CHECK_EQ(ones_sum(v4.data() + 10 + 14, 20), 0xffffU);  // a right IPv4 checksum
  CHECK_EQ(int{v4[10 + 14 + 20 + 6]}, 0);                // no UDP checksum
  const auto v6 = frame_of(kShort, kFlow6, payload_header(100));
  CHECK_EQ(int{v6[0]}, int{abi::kDataValid});
  CHECK(v6[10 + 14 + 40 + 6] != 0 || v6[10 + 14 + 40 + 7] != 0);
  // IPv6 has room for more than the payload may have; IPv4 just so.
  CHECK(!frame_of(kLong, kFlow4, payload_header(65507)).empty());
  MessageHeader far = payload_header(65507);
  far.flags = kPartialChecksum;
  far.checksum_start = 65500;
  CHECK(round_trip(far).has_value());
  CHECK(frame_of(kLong, kFlow4, far).empty());  // its offset has no room in a virtio header
}

TEST(tunnel_frames_that_are_none) {
  const auto good = frame_of(kLong, kFlow4, segmented_header(5000));
  auto refused = [&](auto change) {
    auto frame = good;
    change(frame);
    FrameProblem problem{};
    return !take_apart(kLong, frame, problem) && problem != FrameProblem::kNone;
  };
  constexpr std::size_t kIp = 24 + 14;
  CHECK(refused([](auto& frame) { frame.resize(10); }));
  CHECK(refused([](auto& frame) { frame.resize(24 + 14 + 20 + 7); }));
  CHECK(refused([](auto& frame) { frame.resize(1000); }));          // shorter than IP says
  CHECK(refused([](auto& frame) { frame[24 + 13] = 6; }));          // ARP
  CHECK(refused([](auto& frame) { frame[kIp] = 0x46; }));           // options
  CHECK(refused([](auto& frame) { frame[kIp + 6] = 0x20; }));       // a fragment
  CHECK(refused([](auto& frame) { frame[kIp + 9] = 6; }));          // TCP
  CHECK(refused([](auto& frame) { frame[1] = abi::kGsoTcp4; }));    // segments, in no tunnel
  CHECK(refused([](auto& frame) { frame[22] = 0; }));               // inner header outside
  CHECK(refused([](auto& frame) { frame[6] = frame[7] = 0xff; }));  // checksum outside
}

TEST(tunnel_send_queue_is_bounded) {
  SendQueue queue;
  const auto now = SendQueue::Clock::now();
  const std::vector<std::uint8_t> bytes(65536);
  CHECK(queue.takes(bytes.size(), now));
  queue.append(bytes.data(), bytes.size(), now);
  const auto late = now + std::chrono::milliseconds(5);
  CHECK(queue.takes(1000, late));  // short queues take, however slow
  queue.append(bytes.data(), bytes.size(), now);
  CHECK(queue.takes(bytes.size(), now));
  CHECK(!queue.takes(bytes.size(), late));
  for (int i = 2; i < 16; ++i) queue.append(bytes.data(), bytes.size(), now);
  CHECK(!queue.takes(1, now));  // 1 MiB
  queue.consume(15 * bytes.size());
  CHECK(queue.takes(bytes.size(), late));
  CHECK_EQ(queue.size(), bytes.size());
  queue.consume(bytes.size());
  CHECK(queue.empty());
}

std::vector<std::uint8_t> bytes_of(NetlinkRequest& request) {
  const NetlinkBytes bytes = request.bytes(1);
  return {bytes.begin(), bytes.end()};
}

NetlinkMessage message_in(const std::vector<std::uint8_t>& bytes) {
  NetlinkMessages walk(bytes);
  NetlinkMessage message;
  CHECK(walk.next(message));
  return message;
}

std::vector<std::uint8_t> link_message(const char* kind, int port_type, int remote_type) {
  ifinfomsg header{};
  header.ifi_index = 7;
  header.ifi_flags = IFF_UP;
  NetlinkRequest request(RTM_NEWLINK);
  request.header(header).text(IFLA_IFNAME, "tunnel0");
  auto info = request.begin_nest(IFLA_LINKINFO);
  request.text(IFLA_INFO_KIND, kind);
  auto data = request.begin_nest(IFLA_INFO_DATA);
  request.big_endian16(static_cast<std::uint16_t>(port_type), 8472);
  request.address(static_cast<std::uint16_t>(remote_type), address("192.0.2.1"));
  request.end_nest(data);
  request.end_nest(info);
  return bytes_of(request);
}

TEST(tunnel_devices) {
  const auto vxlan = link_message("vxlan", IFLA_VXLAN_PORT, IFLA_VXLAN_GROUP);
  const auto device = parse_device(message_in(vxlan));
  CHECK(device && device->kind == Kind::kVxlan && device->port == 8472 && device->up);
  CHECK(device && device->index == 7 && device->name == "tunnel0");
  CHECK(device && device->remote == address("192.0.2.1"));
  const auto geneve = link_message("geneve", IFLA_GENEVE_PORT, IFLA_GENEVE_REMOTE);
  const auto other = parse_device(message_in(geneve));
  CHECK(other && other->kind == Kind::kGeneve && other->remote == address("192.0.2.1"));
  const auto bridge = link_message("bridge", 1, 2);
  CHECK(!parse_device(message_in(bridge)));
}

// As Linux's wg_get_device_dump() and wireguard's and geneve's fill_info() write them (uapi
// of 6.18), written down by hand, byte for byte, since no kernel at hand has these devices.
std::vector<std::uint8_t> recorded(std::string_view hex) {
  std::vector<std::uint8_t> bytes;
  const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  for (std::size_t i = 0; i + 1 < hex.size(); ++i) {
    if (hex[i] == ' ') continue;
    bytes.push_back(static_cast<std::uint8_t>(digit(hex[i]) << 4 | digit(hex[i + 1])));
    ++i;
  }
  return bytes;
}

TEST(tunnel_recorded_geneve) {
  const auto bytes = recorded(
      "68000000 10000000 00000000 00000000"            // nlmsghdr: 104 bytes, RTM_NEWLINK
      "0000 0100 09000000 43000100 ffffffff"           // ifinfomsg: index 9, IFF_UP
      "0900 0300 67656e30 00000000"                    // IFLA_IFNAME "gen0"
      "3c00 1200"                                      // IFLA_LINKINFO
      "0b00 0100 67656e65 76650000"                    // IFLA_INFO_KIND "geneve", padded
      "2c00 0200"                                      // IFLA_INFO_DATA
      "0800 0100 2a000000"                             // IFLA_GENEVE_ID 42
      "1400 0700 20010db8 00000000 00000000 00000009"  // IFLA_GENEVE_REMOTE6
      "0600 0500 17c1 0000"                            // IFLA_GENEVE_PORT 6081
      "0400 0600");                                    // IFLA_GENEVE_COLLECT_METADATA
  const auto device = parse_device(message_in(bytes));
  CHECK(device && device->kind == Kind::kGeneve && device->port == 6081 && device->up);
  CHECK(device && device->index == 9 && device->name == "gen0");
  CHECK(device && device->remote == address("2001:db8::9"));
}

TEST(tunnel_recorded_wireguard) {
  const auto link = recorded(
      "3c000000 10000000 00000000 00000000"   // nlmsghdr: 60 bytes, RTM_NEWLINK
      "0000 feff 05000000 d1000100 ffffffff"  // ifinfomsg: ARPHRD_NONE, index 5, IFF_UP
      "0800 0300 77673000"                    // IFLA_IFNAME "wg0"
      "1400 1200"                             // IFLA_LINKINFO, which has no data
      "0e00 0100 77697265 67756172 64000000");
  const auto device = parse_device(message_in(link));
  CHECK(device && device->kind == Kind::kWireguard && device->name == "wg0" && device->up);
  CHECK(device && device->port == 0 && !device->remote);

  const auto peers = recorded(
      "98000000 1d000200 01000000 00000000"           // nlmsghdr: 152 bytes, the family's number
      "00010000"                                      // genlmsghdr: WG_CMD_GET_DEVICE, version 1
      "0600 0600 6cca 0000"                           // WGDEVICE_A_LISTEN_PORT 51820
      "0800 0200 77673000"                            // WGDEVICE_A_IFNAME "wg0"
      "7400 0880"                                     // WGDEVICE_A_PEERS, nested
      "3400 0080"                                     // the first
      "1400 0400 0200ca6c c0000201 0000000000000000"  // WGPEER_A_ENDPOINT: 192.0.2.1:51820
      "0600 0500 1900 0000"                           // WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL
      "1400 0980"                                     // WGPEER_A_ALLOWEDIPS: no endpoint in it
      "1000 0080 0600 0100 0200 0000 0400 0300"       //
      "0c00 0080"                                     // one without an endpoint
      "0800 0a00 01000000"                            // WGPEER_A_PROTOCOL_VERSION
      "3000 0080"                                     // IPv6
      "2000 0400 0a00 ca6c 00000000 20010db8 00000000 00000000 00000009 00000000"
      "0600 0500 0000 0000"
      "0400 0980");
  const std::vector<Remote> wanted{{address("192.0.2.1"), 51820}, {address("2001:db8::9"), 51820}};
  const WireguardPart part = parse_wireguard(message_in(peers));
  CHECK(part.endpoints == wanted);
  CHECK_EQ(part.port, 51820);
}

TEST(tunnel_forwarding_entries) {
  ndmsg header{};
  header.ndm_family = AF_BRIDGE;
  header.ndm_ifindex = 7;
  NetlinkRequest request(RTM_NEWNEIGH);
  request.header(header).address(NDA_DST, address("fd00::9")).big_endian16(NDA_PORT, 4789);
  const auto bytes = bytes_of(request);
  const auto entry = parse_forwarding_entry(message_in(bytes));
  CHECK(entry && entry->device == 7);
  CHECK(entry && entry->remote == (Remote{address("fd00::9"), 4789}));
  CHECK(entry && entry->outside == 0);
  NetlinkRequest by_interface(RTM_NEWNEIGH);
  by_interface.header(header).address(NDA_DST, address("192.0.2.1")).number(NDA_IFINDEX, 2);
  const auto bound = bytes_of(by_interface);
  const auto other = parse_forwarding_entry(message_in(bound));
  CHECK(other && other->outside == 2);
  NetlinkRequest without(RTM_NEWNEIGH);
  without.header(header);
  const auto none = bytes_of(without);
  CHECK(!parse_forwarding_entry(message_in(none)));
}

TEST(tunnel_remotes) {
  for (const char* text : {"10.0.0.1", "192.0.2.1", "fd00::1", "2001:db8::1"}) {
    CHECK(can_be_remote({address(text), 8472}));
    CHECK(!can_be_remote({address(text), 0}));
  }
  for (const char* text : {"0.0.0.0", "127.0.0.1", "169.254.1.1", "224.0.0.1", "255.255.255.255",
                           "::", "::1", "fe80::1", "ff02::1"}) {
    CHECK(!can_be_remote({address(text), 8472}));
  }
}

}  // namespace
