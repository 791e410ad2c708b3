// What two daemons say to each other over the TCP connection of a tunnel: the wire format.
//
// A connection is made by the daemon whose container sends, to the address and number of the UDP
// port that the tunnel sends to. It carries the tunnel's payloads one way, from the one that
// connected (the sender) to the one that accepted (the receiver); the receiver only answers.
//
// All of it is a sequence of messages: a header of 16 bytes, then `size` bytes of body. Numbers are
// in network byte order.
//
//   type  name      from      body
//   1     hello     sender    "sockswitch" + NUL + NUL (12), version (2), reserved (2), nonce (16)
//   2     ready     receiver  version (2), reserved (2), features (4)
//   3     probe     sender    nonce (16): a datagram with it is on its way over the fallback
//   network 4     proved    receiver  nonce (16): it arrived in the receiver's container 5 refused
//   receiver  why, as text of at most 128 bytes; the connection ends 6     payload   sender    what
//   one UDP datagram, or one that stands for many, has in it
//
// The order: hello; ready or refused; then the datagram of the hello's nonce arrives, and proved.
// Payloads are allowed from then on, and not before. Probe and proved go on every few seconds.
//
// A payload is what stands behind a UDP header, never a packet: addresses and ports of the outer
// packet are the receiver's to fill in, except for the source port, in which tunnels have a hash
// of the inner flow. The other fields of its header say what is known about the packet inside, as
// struct virtio_net_hdr does (virtio 1.3, 5.1.6), with offsets counted from the payload's first
// byte:
//
//   offset  size
//        0     1  type
//        1     1  flags: kPartialChecksum, the inner checksum is completed by whoever needs it
//        2     2  size: of the body
//        4     2  source port
//        6     2  segment size: inner payload of each packet that this one stands for
//        8     2  checksum start: where the inner transport header begins
//       10     2  checksum offset: of the checksum, from there
//       12     2  network offset: where the inner IP header begins
//       14     1  segmentation: the GSO type of a virtio_net_hdr; 0: one packet
//       15     1  reserved: 0
//
// Messages other than payload have zeros from offset 4 on. Reserved fields are not looked at.
// A version names exactly one format. A receiver refuses other versions, with its own in the text,
// and both stay on the fallback network.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sockswitch::tunnel {

inline constexpr std::uint16_t kVersion = 1;
inline constexpr std::size_t kHeaderSize = 16;
inline constexpr std::size_t kNonceSize = 16;
inline constexpr std::size_t kMaxPayload = 65507;  // of a UDP datagram in IPv4
inline constexpr std::size_t kMaxRefusal = 128;

using Nonce = std::array<std::uint8_t, kNonceSize>;
using Bytes = std::span<const std::uint8_t>;

enum class MessageType : std::uint8_t {
  kHello = 1,
  kReady = 2,
  kProbe = 3,
  kProved = 4,
  kRefused = 5,
  kPayload = 6,
};

// Bits of `ready`.
inline constexpr std::uint32_t kTakesSegments = 1;  // payloads that stand for many packets

inline constexpr std::uint8_t kPartialChecksum = 1;

struct MessageHeader {
  MessageType type{};
  std::uint8_t flags = 0;
  std::uint16_t size = 0;
  std::uint16_t source_port = 0;
  std::uint16_t segment_size = 0;
  std::uint16_t checksum_start = 0;
  std::uint16_t checksum_offset = 0;
  std::uint16_t network_offset = 0;
  std::uint8_t segmentation = 0;

  bool operator==(const MessageHeader&) const = default;
};

void write_header(const MessageHeader& header, std::uint8_t* to);  // kHeaderSize bytes

// No value where it cannot be one: unknown type, a body of the wrong size, fields that do not fit
// the payload. `bytes` has kHeaderSize bytes.
std::optional<MessageHeader> read_header(Bytes bytes);

struct Hello {
  std::uint16_t version = 0;
  Nonce nonce{};
};
struct Ready {
  std::uint16_t version = 0;
  std::uint32_t features = 0;
};

// Whole messages.
std::vector<std::uint8_t> hello_message(const Hello& hello);
std::vector<std::uint8_t> ready_message(const Ready& ready);
std::vector<std::uint8_t> nonce_message(MessageType type, const Nonce& nonce);
std::vector<std::uint8_t> refused_message(std::string_view reason);

// Bodies; no value for anything else.
std::optional<Hello> read_hello(Bytes body);
std::optional<Ready> read_ready(Bytes body);
std::optional<Nonce> read_nonce(Bytes body);
// Printable ASCII only, whatever came.
std::string read_refusal(Bytes body);

// The datagram that proves a way: a VXLAN header without the I flag, which kernels drop
// (RFC 7348, 5), then the words and the nonce. Geneve and WireGuard drop it, too: version and
// message type do not exist.
std::vector<std::uint8_t> probe_datagram(const Nonce& nonce);
std::optional<Nonce> read_probe_datagram(Bytes payload);

}  // namespace sockswitch::tunnel
