#include "kernel/generic_netlink.h"

#include <linux/genetlink.h>

namespace sockswitch {

GenericFamily read_generic_family(const NetlinkAnswer& families, std::string_view name) {
  if (!families.complete()) return {.number = {}, .trouble = families.reason()};
  GenericFamily found;
  NetlinkMessages walk = families.messages();
  for (NetlinkMessage message; walk.next(message);) {
    std::string_view named;
    std::optional<std::uint16_t> number;
    const bool fine = walk_attributes(message.attributes(sizeof(genlmsghdr)),
                                      [&](const NetlinkAttribute& attribute) {
                                        if (attribute.type == CTRL_ATTR_FAMILY_NAME) {
                                          named = attribute.text();
                                        }
                                        if (attribute.type == CTRL_ATTR_FAMILY_ID) {
                                          number = attribute.number<std::uint16_t>();
                                        }
                                      });
    if (!fine || (named == name && !number)) return {.number = {}, .trouble = "malformed answer"};
    if (named == name) found.number = number;
  }
  return found;
}

GenericFamily find_generic_family(NetlinkSocket& socket, std::string_view name) {
  NetlinkRequest request(GENL_ID_CTRL, NLM_F_DUMP);
  request.header(genlmsghdr{.cmd = CTRL_CMD_GETFAMILY, .version = 1});
  return read_generic_family(socket.ask(request), name);
}

}  // namespace sockswitch
