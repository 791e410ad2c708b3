// Frames of a tap: what the kernel's tunnel sends, taken apart, and what it is to receive, built.
//
// A frame is: struct virtio_net_hdr, in its long form where the kernel segments tunnels (Linux
// 6.17), then Ethernet, IPv4 or IPv6 without options, UDP and the payload. Everything here is pure.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "base/address.h"
#include "tunnel/wire.h"

namespace sockswitch::tunnel {

// Which virtio header the tap has, and whether tunnels may be segmented.
struct TapFormat {
  std::size_t header_size = 10;  // 24 with tunnel segmentation
  bool tunnel_segments = false;
};

// Room that a frame of the largest payload needs.
inline constexpr std::size_t kMaxFrame = 24 + 14 + 40 + 8 + 65535;
// Headers of any frame are longer than a message's, so a message can be made in place.
static_assert(10 + 14 + 20 + 8 >= kHeaderSize);

struct OutgoingPayload {
  Address destination;
  std::uint16_t destination_port = 0;
  MessageHeader header;    // complete
  std::size_t offset = 0;  // of the payload in the frame
};

enum class FrameProblem : std::uint8_t {
  kNone,
  kNotOurs,    // no UDP in IP: neighbour discovery, anything that the container sent by the tap
  kMalformed,  // lengths or offsets that do not fit
};

// Takes a frame apart that was read from the tap. No value where it is no UDP datagram of a tunnel;
// `problem` says why.
std::optional<OutgoingPayload> take_apart(const TapFormat& format, Bytes frame,
                                          FrameProblem& problem);

// The two ends of what a receiver builds. Both of one family.
struct Flow {
  Address source;       // the peer
  Address destination;  // where the proof arrived
  std::uint16_t destination_port = 0;
};

struct FrameHead {
  std::array<std::uint8_t, 24 + 14 + 40 + 8> bytes{};
  std::size_t size = 0;
};

// What stands in front of a payload that was received. `header` comes from read_header(). No value
// where the tap cannot take it: segments without tunnel segmentation, more bytes than IPv4 holds.
std::optional<FrameHead> build_head(const TapFormat& format, const Flow& flow,
                                    const std::array<std::uint8_t, 6>& device_address,
                                    const MessageHeader& header);

}  // namespace sockswitch::tunnel
