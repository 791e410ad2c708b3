#include "kernel/device_addresses.h"

#include <linux/if_addr.h>
#include <linux/rtnetlink.h>

#include <cerrno>
#include <optional>

#include "kernel/errno_error.h"

namespace sockswitch {
namespace {

// The device's own: IFA_ADDRESS is the other end's where there is an IFA_LOCAL.
std::optional<Address> own_address(const NetlinkMessage& message) {
  std::optional<Address> local;
  std::optional<Address> address;
  const bool fine = walk_attributes(message.attributes(sizeof(ifaddrmsg)),
                                    [&](const NetlinkAttribute& attribute) {
                                      if (attribute.type == IFA_LOCAL) local = attribute.address();
                                      if (attribute.type == IFA_ADDRESS)
                                        address = attribute.address();
                                    });
  if (!fine || (!local && !address)) throw ErrnoError(EPROTO, "recv", "RTM_GETADDR");
  return local ? local : address;
}

}  // namespace

std::vector<Address> DeviceAddresses::of(int device, std::size_t most) {
  NetlinkRequest request(RTM_GETADDR, NLM_F_DUMP);
  request.header(ifaddrmsg{});  // AF_UNSPEC
  const NetlinkAnswer answer = socket_.ask(request);
  if (!answer.complete()) throw ErrnoError(answer.error(), "recv", "RTM_GETADDR");
  std::vector<Address> found;
  NetlinkMessages walk = answer.messages();
  for (NetlinkMessage message; found.size() < most && walk.next(message);) {
    const auto header = message.header<ifaddrmsg>();
    if (!header || static_cast<int>(header->ifa_index) != device) continue;
    if (const auto own = own_address(message)) found.push_back(*own);
  }
  return found;
}

}  // namespace sockswitch
