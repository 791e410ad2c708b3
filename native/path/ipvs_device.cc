#include "path/ipvs_device.h"

#include <sys/socket.h>

#include "kernel/device_addresses.h"
#include "path/link.h"

namespace sockswitch {

std::vector<Address> ipvs_service_addresses(NetlinkSocket& socket) {
  const auto device = link_named(socket, "kube-ipvs0");
  if (!device) return {};
  std::vector<Address> found;
  const NetlinkAnswer answer = ask_for_addresses(socket, AF_UNSPEC);
  for (const DeviceAddress& one : read_addresses(answer)) {
    const bool is_one = one.device == device->index && one.own && !is_link_local(*one.own);
    if (is_one) found.push_back(*one.own);
  }
  return found;
}

}  // namespace sockswitch
