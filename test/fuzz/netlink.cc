// The kernel's answers about routes, rules and links (path/), about addresses, and netlink answers
// of any kind (kernel/netlink_message.h).
#include <cstdint>
#include <cstdlib>

#include "kernel/device_addresses.h"
#include "kernel/netlink_message.h"
#include "path/link.h"
#include "path/routing.h"

using namespace sockswitch;  // NOLINT(google-build-using-namespace): a target for this namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t kLimit = 256;
  NetlinkMessages datagram(NetlinkBytes(data, size));
  RuleSelectors rules;
  for (NetlinkMessage message; datagram.next(message);) {
    auto route = parse_route(message);
    if (route && route->prefix_text().find('/') == std::string::npos) std::abort();
    auto link = parse_link(message);
    if (link && (link->name.empty() || link->index <= 0)) std::abort();
    add_rule(message, rules);
    parse_device_address(message);
  }

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
