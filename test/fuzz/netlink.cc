// The kernel's answers to route questions (kernel/netlink.h).
#include "kernel/netlink.h"

#include <cstdint>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto route = sockswitch::parse_route(data, size);
  if (route && route->prefix.find('/') == std::string::npos) std::abort();
  return 0;
}
