#include "kernel/netconf.h"

#include <linux/netconf.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

namespace sockswitch {
namespace {

std::optional<std::uint32_t> setting_of(NetlinkSocket& socket, std::uint8_t family, int device,
                                        std::uint16_t setting) {
  netconfmsg message{};
  message.ncm_family = family;
  NetlinkRequest request(RTM_GETNETCONF);
  request.header(message).number<std::int32_t>(NETCONFA_IFINDEX, device);
  const NetlinkAnswer answer = socket.ask(request);
  const auto first = answer.first();
  if (!first || first->type != RTM_NEWNETCONF) return {};
  std::optional<std::uint32_t> value;
  const bool whole =
      walk_attributes(first->attributes(sizeof message), [&](const NetlinkAttribute& attribute) {
        if (attribute.type == setting) value = attribute.number<std::uint32_t>();
      });
  return whole ? value : std::nullopt;
}

}  // namespace

std::optional<std::uint32_t> ipv4_setting(NetlinkSocket& socket, int device,
                                          std::uint16_t setting) {
  return setting_of(socket, AF_INET, device, setting);
}

std::optional<std::uint32_t> ipv6_setting(NetlinkSocket& socket, int device,
                                          std::uint16_t setting) {
  return setting_of(socket, AF_INET6, device, setting);
}

}  // namespace sockswitch
