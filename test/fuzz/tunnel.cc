// What peers of tunnels send, what a container puts on its tap, and proofs (tunnel/).
#include <cstdint>
#include <cstdlib>

#include "tunnel/discovery.h"
#include "tunnel/frame.h"
#include "tunnel/proof.h"
#include "tunnel/wire.h"

using namespace sockswitch;          // NOLINT(google-build-using-namespace): a target for it
using namespace sockswitch::tunnel;  // NOLINT(google-build-using-namespace): a target for it

namespace {

void fuzz_wire(Bytes bytes) {
  const auto header = read_header(bytes.first(std::min(bytes.size(), kHeaderSize)));
  const Bytes body = bytes.size() > kHeaderSize ? bytes.subspan(kHeaderSize) : Bytes{};
  read_hello(body);
  read_ready(body);
  read_nonce(body);
  read_probe_datagram(body);
  for (char character : read_refusal(body)) {
    if (character < ' ' || character > '~') std::abort();
  }
  if (!header || header->type != MessageType::kPayload) return;
  // Every payload that is taken makes a frame that a tap could have given, or none.
  const Flow flow{*Address::parse("192.0.2.1"), *Address::parse("192.0.2.2"), 8472};
  for (const TapFormat& format : {TapFormat{24, true}, TapFormat{10, false}}) {
    const auto head = build_head(format, flow, {2, 0, 0, 0, 0, 1}, *header);
    if (!head) continue;
    std::vector<std::uint8_t> frame(head->bytes.data(), head->bytes.data() + head->size);
    frame.resize(head->size + header->size);
    FrameProblem problem{};
    const auto found = take_apart(format, frame, problem);
    if (!found || !(found->header == *header) || found->destination != flow.destination) {
      std::abort();
    }
  }
}

void fuzz_frame(Bytes bytes) {
  for (const TapFormat& format : {TapFormat{24, true}, TapFormat{10, false}}) {
    FrameProblem problem{};
    const auto found = take_apart(format, bytes, problem);
    if (!found) continue;
    if (found->offset < kHeaderSize || found->offset + found->header.size > bytes.size()) {
      std::abort();
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes bytes(data, size);
  fuzz_wire(bytes);
  fuzz_frame(bytes);
  parse_probe_v4(bytes);
  parse_probe_v6(bytes);
  NetlinkMessages walk(bytes);
  for (NetlinkMessage message; walk.next(message);) {
    parse_device(message);
    parse_forwarding_entry(message);
    parse_wireguard(message);
  }
  return 0;
}
