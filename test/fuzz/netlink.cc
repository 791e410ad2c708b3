// The kernel's answers to route questions, and netlink answers of any kind (kernel/netlink.h,
// kernel/netlink_message.h).
#include "kernel/netlink.h"

#include <cstdint>
#include <cstdlib>

#include "kernel/netlink_message.h"

using namespace sockswitch;  // NOLINT(google-build-using-namespace): a target for this namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t kLimit = 256;
  auto route = parse_route(data, size);
  if (route && route->prefix.find('/') == std::string::npos) std::abort();

  NetlinkAnswerReader reader(0, true, false, kLimit);
  const auto progress = reader.take(NetlinkBytes(data, size));
  const auto answer = NetlinkAnswer::complete(reader.release());
  NetlinkMessages walk = answer.messages();
  std::size_t attributes = 0;
  for (NetlinkMessage message; walk.next(message);) {
    const bool fine =
        walk_attributes(message.attributes(4), [&](const NetlinkAttribute& attribute) {
          attributes += 1 + attribute.text().size() + (attribute.address() ? 1 : 0);
        });
    if (fine && attributes > size) std::abort();
  }
  // What was kept is well formed, whatever came.
  if (!walk.ok()) std::abort();
  if (progress == NetlinkAnswerReader::Progress::kRefused && reader.error() <= 0) std::abort();
  return 0;
}
