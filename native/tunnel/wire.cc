#include "tunnel/wire.h"

#include <algorithm>
#include <cstring>

#include "tunnel/tun_abi.h"

namespace sockswitch::tunnel {
namespace {

constexpr std::array<std::uint8_t, 12> kMagic{'s', 'o', 'c', 'k', 's', 'w', 'i', 't', 'c', 'h'};
constexpr std::size_t kHelloSize = kMagic.size() + 4 + kNonceSize;
constexpr std::size_t kReadySize = 8;
constexpr std::size_t kVxlanHeader = 8;
// Smallest headers of the packet inside.
constexpr std::size_t kIpv4Header = 20;
constexpr std::size_t kIpv6Header = 40;
constexpr std::size_t kTcpHeader = 20;

std::uint16_t get16(const std::uint8_t* from) {
  return static_cast<std::uint16_t>(from[0] << 8 | from[1]);
}
void put16(std::uint16_t value, std::uint8_t* to) {
  to[0] = static_cast<std::uint8_t>(value >> 8);
  to[1] = static_cast<std::uint8_t>(value);
}

bool all_zero(const MessageHeader& header) {
  MessageHeader plain;
  plain.type = header.type;
  plain.size = header.size;
  return header == plain;
}

// What the fields of a payload say must lie within it.
bool payload_fits(const MessageHeader& header) {
  if (header.size == 0 || header.size > kMaxPayload) return false;
  if ((header.flags & ~kPartialChecksum) != 0) return false;
  const bool partial = (header.flags & kPartialChecksum) != 0;
  const std::size_t checksum =
      std::size_t{header.checksum_start} + header.checksum_offset + sizeof(std::uint16_t);
  if (partial ? checksum > header.size
              : header.checksum_start != 0 || header.checksum_offset != 0) {
    return false;
  }
  if (header.segmentation == 0) return header.segment_size == 0 && header.network_offset == 0;
  if (!partial || header.segment_size == 0) return false;
  std::size_t network = kIpv4Header;
  std::size_t transport = kTcpHeader;
  switch (header.segmentation & ~abi::kGsoEcn) {
    case abi::kGsoTcp4:
      break;
    case abi::kGsoTcp6:
      network = kIpv6Header;
      break;
    default:
      return false;
  }
  // A tunnel's own header is in front of the inner packet's.
  return header.network_offset >= kVxlanHeader &&
         header.checksum_start >= header.network_offset + network &&
         header.checksum_start + transport < header.size;
}

MessageHeader plain_header(MessageType type, std::size_t size) {
  MessageHeader header;
  header.type = type;
  header.size = static_cast<std::uint16_t>(size);
  return header;
}

std::vector<std::uint8_t> message(MessageType type, std::size_t size) {
  std::vector<std::uint8_t> bytes(kHeaderSize + size);
  write_header(plain_header(type, size), bytes.data());
  return bytes;
}

}  // namespace

void write_header(const MessageHeader& header, std::uint8_t* to) {
  to[0] = static_cast<std::uint8_t>(header.type);
  to[1] = header.flags;
  put16(header.size, to + 2);
  put16(header.source_port, to + 4);
  put16(header.segment_size, to + 6);
  put16(header.checksum_start, to + 8);
  put16(header.checksum_offset, to + 10);
  put16(header.network_offset, to + 12);
  to[14] = header.segmentation;
  to[15] = 0;
}

std::optional<MessageHeader> read_header(Bytes bytes) {
  if (bytes.size() < kHeaderSize) return {};
  MessageHeader header;
  header.type = MessageType{bytes[0]};
  header.flags = bytes[1];
  header.size = get16(&bytes[2]);
  header.source_port = get16(&bytes[4]);
  header.segment_size = get16(&bytes[6]);
  header.checksum_start = get16(&bytes[8]);
  header.checksum_offset = get16(&bytes[10]);
  header.network_offset = get16(&bytes[12]);
  header.segmentation = bytes[14];
  bool fits = false;
  switch (header.type) {
    case MessageType::kHello:
      fits = all_zero(header) && header.size == kHelloSize;
      break;
    case MessageType::kReady:
      fits = all_zero(header) && header.size == kReadySize;
      break;
    case MessageType::kProbe:
    case MessageType::kProved:
      fits = all_zero(header) && header.size == kNonceSize;
      break;
    case MessageType::kRefused:
      fits = all_zero(header) && header.size <= kMaxRefusal;
      break;
    case MessageType::kPayload:
      fits = payload_fits(header);
      break;
  }
  if (!fits) return {};
  return header;
}

std::vector<std::uint8_t> hello_message(const Hello& hello) {
  auto bytes = message(MessageType::kHello, kHelloSize);
  std::uint8_t* body = bytes.data() + kHeaderSize;
  std::ranges::copy(kMagic, body);
  put16(hello.version, body + kMagic.size());
  std::ranges::copy(hello.nonce, body + kMagic.size() + 4);
  return bytes;
}

std::vector<std::uint8_t> ready_message(const Ready& ready) {
  auto bytes = message(MessageType::kReady, kReadySize);
  std::uint8_t* body = bytes.data() + kHeaderSize;
  put16(ready.version, body);
  put16(static_cast<std::uint16_t>(ready.features >> 16), body + 4);
  put16(static_cast<std::uint16_t>(ready.features), body + 6);
  return bytes;
}

std::vector<std::uint8_t> nonce_message(MessageType type, const Nonce& nonce) {
  auto bytes = message(type, kNonceSize);
  std::ranges::copy(nonce, bytes.data() + kHeaderSize);
  return bytes;
}

std::vector<std::uint8_t> refused_message(std::string_view reason) {
  reason = reason.substr(0, kMaxRefusal);
  auto bytes = message(MessageType::kRefused, reason.size());
  std::ranges::copy(reason, bytes.data() + kHeaderSize);
  return bytes;
}

std::optional<Hello> read_hello(Bytes body) {
  if (body.size() != kHelloSize) return {};
  if (!std::ranges::equal(body.first(kMagic.size()), kMagic)) return {};
  Hello hello;
  hello.version = get16(&body[kMagic.size()]);
  std::ranges::copy(body.last(kNonceSize), hello.nonce.begin());
  return hello;
}

std::optional<Ready> read_ready(Bytes body) {
  if (body.size() != kReadySize) return {};
  Ready ready;
  ready.version = get16(body.data());
  ready.features = std::uint32_t{get16(&body[4])} << 16 | get16(&body[6]);
  return ready;
}

std::optional<Nonce> read_nonce(Bytes body) {
  if (body.size() != kNonceSize) return {};
  Nonce nonce;
  std::ranges::copy(body, nonce.begin());
  return nonce;
}

std::string read_refusal(Bytes body) {
  std::string text;
  for (std::uint8_t byte : body.first(std::min(body.size(), kMaxRefusal))) {
    text.push_back(byte >= ' ' && byte <= '~' ? static_cast<char>(byte) : '?');
  }
  return text;
}

std::vector<std::uint8_t> probe_datagram(const Nonce& nonce) {
  std::vector<std::uint8_t> bytes(kVxlanHeader + kMagic.size() + kNonceSize);
  std::ranges::copy(kMagic, bytes.data() + kVxlanHeader);
  std::ranges::copy(nonce, bytes.data() + kVxlanHeader + kMagic.size());
  return bytes;
}

std::optional<Nonce> read_probe_datagram(Bytes payload) {
  if (payload.size() != kVxlanHeader + kMagic.size() + kNonceSize) return {};
  if (std::ranges::any_of(payload.first(kVxlanHeader), [](std::uint8_t byte) { return byte != 0; }))
    return {};
  if (!std::ranges::equal(payload.subspan(kVxlanHeader, kMagic.size()), kMagic)) return {};
  return read_nonce(payload.last(kNonceSize));
}

}  // namespace sockswitch::tunnel
