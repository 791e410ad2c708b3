#include "tunnel/discovery.h"

#include <linux/genetlink.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/wireguard.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "base/errno_error.h"
#include "kernel/generic_netlink.h"

namespace sockswitch::tunnel {
namespace {

constexpr std::size_t kMaxAnswer = std::size_t{2} * 1024 * 1024;
constexpr std::chrono::milliseconds kMaxWait{300};

std::optional<Kind> kind_of(std::string_view text) {
  if (text == "vxlan") return Kind::kVxlan;
  if (text == "geneve") return Kind::kGeneve;
  if (text == "wireguard") return Kind::kWireguard;
  return {};
}

void read_vxlan(const NetlinkAttribute& attribute, TunnelDevice& device) {
  switch (attribute.type) {
    case IFLA_VXLAN_PORT:
      device.port = attribute.big_endian16().value_or(0);
      break;
    case IFLA_VXLAN_GROUP:
    case IFLA_VXLAN_GROUP6:
      device.remote = attribute.address();
      break;
    case IFLA_VXLAN_LINK:
      device.outside = attribute.number<int>().value_or(0);
      break;
    default:
      break;
  }
}

void read_geneve(const NetlinkAttribute& attribute, TunnelDevice& device) {
  switch (attribute.type) {
    case IFLA_GENEVE_PORT:
      device.port = attribute.big_endian16().value_or(0);
      break;
    case IFLA_GENEVE_REMOTE:
    case IFLA_GENEVE_REMOTE6:
      device.remote = attribute.address();
      break;
    default:
      break;
  }
}

// IFLA_LINKINFO: the kind stands in front of what depends on it.
bool read_link_info(NetlinkBytes bytes, TunnelDevice& device) {
  std::optional<Kind> kind;
  bool fine = walk_attributes(bytes, [&](const NetlinkAttribute& attribute) {
    if (attribute.type == IFLA_INFO_KIND) kind = kind_of(attribute.text());
    if (attribute.type != IFLA_INFO_DATA || !kind || *kind == Kind::kWireguard) return;
    auto read = *kind == Kind::kVxlan ? read_vxlan : read_geneve;
    [[maybe_unused]] bool whole = walk_attributes(
        attribute.data, [&](const NetlinkAttribute& inner) { read(inner, device); });
  });
  if (!fine || !kind) return false;
  device.kind = *kind;
  return true;
}

std::optional<Remote> endpoint_of(NetlinkBytes bytes) {
  sockaddr_storage raw{};
  std::memcpy(&raw, bytes.data(), std::min(bytes.size(), sizeof raw));
  auto destination = destination_of(raw, static_cast<std::uint32_t>(bytes.size()));
  if (!destination) return {};
  return Remote{destination->address, destination->port};
}

NetlinkAnswer ask_links(NetlinkSocket& socket) {
  ifinfomsg message{};
  NetlinkRequest request(RTM_GETLINK, NLM_F_DUMP);
  request.header(message);
  return socket.ask(request, {.bytes = kMaxAnswer, .time = kMaxWait});
}

NetlinkAnswer ask_entries(NetlinkSocket& socket, int device) {
  ndmsg message{};
  message.ndm_family = AF_BRIDGE;
  message.ndm_ifindex = device;  // the kernel lists the one device only (Linux 5.0)
  NetlinkRequest request(RTM_GETNEIGH, NLM_F_DUMP);
  request.header(message);
  return socket.ask(request, {.bytes = kMaxAnswer, .time = kMaxWait});
}

NetlinkAnswer ask_wireguard(NetlinkSocket& socket, std::uint16_t family, int device) {
  NetlinkRequest request(family, NLM_F_DUMP);
  request.header(genlmsghdr{.cmd = WG_CMD_GET_DEVICE, .version = WG_GENL_VERSION});
  request.number(WGDEVICE_A_IFINDEX, static_cast<std::uint32_t>(device));
  return socket.ask(request, {.bytes = kMaxAnswer, .time = kMaxWait});
}

class Collector {
 public:
  Collector(Found& found, std::size_t limit) : found_(found), limit_(limit) {}
  // `outside`: the interface that leads to it, where that is not left to the routing table.
  void add(const Remote& remote, int outside = 0) {
    std::set<Remote>& known = outside == 0 ? found_.remotes : found_.bound;
    if (!can_be_remote(remote) || known.contains(remote)) return;
    if (known.size() < limit_) {
      known.insert(remote);
    } else {
      found_.more_remotes = true;
    }
  }

 private:
  Found& found_;
  std::size_t limit_;
};

void add_entries(NetlinkSocket& socket, const TunnelDevice& device, Collector& collector,
                 std::string& problem) {
  const NetlinkAnswer entries = ask_entries(socket, device.index);
  if (!entries.complete()) {
    problem = "forwarding database of " + device.name + ": " + entries.reason();
    return;
  }
  NetlinkMessages each = entries.messages();
  for (NetlinkMessage message; each.next(message);) {
    auto entry = parse_forwarding_entry(message);
    if (!entry || entry->device != device.index) continue;
    if (entry->remote.port == 0) entry->remote.port = device.port;
    collector.add(entry->remote, entry->outside);
  }
}

void add_peers(NetlinkSocket& socket, TunnelDevice& device, Collector& collector,
               std::string& problem) {
  const GenericFamily family = find_generic_family(socket, WG_GENL_NAME);
  if (!family.number) {
    problem = "peers of " + device.name + ": " +
              (family.trouble.empty() ? "no generic netlink family for them" : family.trouble);
    return;
  }
  const NetlinkAnswer answer = ask_wireguard(socket, *family.number, device.index);
  if (!answer.complete()) {
    problem = "peers of " + device.name + ": " + answer.reason();
    return;
  }
  NetlinkMessages each = answer.messages();
  for (NetlinkMessage message; each.next(message);) {
    const WireguardPart part = parse_wireguard(message);
    if (part.port != 0) device.port = part.port;
    for (const Remote& endpoint : part.endpoints) collector.add(endpoint);
  }
}

}  // namespace

const char* kind_name(Kind kind) {
  switch (kind) {
    case Kind::kVxlan:
      return "vxlan";
    case Kind::kGeneve:
      return "geneve";
    case Kind::kWireguard:
      break;
  }
  return "wireguard";
}

std::optional<TunnelDevice> parse_device(const NetlinkMessage& message) {
  auto header = message.header<ifinfomsg>();
  if (message.type != RTM_NEWLINK || !header) return {};
  TunnelDevice device;
  device.index = header->ifi_index;
  device.up = (header->ifi_flags & IFF_UP) != 0;
  bool known = false;
  bool fine =
      walk_attributes(message.attributes(sizeof *header), [&](const NetlinkAttribute& attribute) {
        if (attribute.type == IFLA_IFNAME) device.name = attribute.text();
        if (attribute.type == IFLA_LINKINFO) {
          known = read_link_info(attribute.data, device);
        }
      });
  if (!fine || !known) return {};
  return device;
}

std::optional<ForwardingEntry> parse_forwarding_entry(const NetlinkMessage& message) {
  auto header = message.header<ndmsg>();
  if (message.type != RTM_NEWNEIGH || !header || header->ndm_family != AF_BRIDGE) return {};
  ForwardingEntry entry;
  entry.device = header->ndm_ifindex;
  std::optional<Address> address;
  bool fine =
      walk_attributes(message.attributes(sizeof *header), [&](const NetlinkAttribute& attribute) {
        if (attribute.type == NDA_DST) address = attribute.address();
        if (attribute.type == NDA_PORT) {
          entry.remote.port = attribute.big_endian16().value_or(0);
        }
        if (attribute.type == NDA_IFINDEX) {
          entry.outside = attribute.number<int>().value_or(0);
        }
      });
  if (!fine || !address) return {};
  entry.remote.address = *address;
  return entry;
}

WireguardPart parse_wireguard(const NetlinkMessage& message) {
  WireguardPart part;
  auto read_peer = [&](const NetlinkAttribute& peer) {
    [[maybe_unused]] bool fine = walk_attributes(peer.data, [&](const NetlinkAttribute& value) {
      if (value.type != WGPEER_A_ENDPOINT) return;
      if (auto remote = endpoint_of(value.data)) part.endpoints.push_back(*remote);
    });
  };
  const bool fine = walk_attributes(
      message.attributes(sizeof(genlmsghdr)), [&](const NetlinkAttribute& attribute) {
        if (attribute.type == WGDEVICE_A_LISTEN_PORT) {
          part.port = attribute.number<std::uint16_t>().value_or(0);
        }
        if (attribute.type != WGDEVICE_A_PEERS) return;
        [[maybe_unused]] bool whole = walk_attributes(attribute.data, read_peer);
      });
  return fine ? part : WireguardPart{};
}

bool can_be_remote(const Remote& remote) {
  if (remote.port == 0) return false;
  const auto& bytes = remote.address.bytes;
  if (remote.address.is_v4()) {
    const std::uint32_t v4 = remote.address.v4();
    constexpr std::uint32_t kMulticast = 0xe0000000;  // and what is above it: reserved, broadcast
    const std::uint32_t network = v4 >> 24;
    return network != 0 && network != 127 && v4 < kMulticast && v4 >> 16 != 0xa9fe;
  }
  if (bytes[0] == 0xff || (bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80)) return false;
  return !std::all_of(bytes.begin(), bytes.end() - 1, [](std::uint8_t byte) { return byte == 0; });
}

UniqueFd open_monitor(SocketSource& source, std::initializer_list<int> groups) {
  UniqueFd fd = source.open(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK, NETLINK_ROUTE);
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  // A socket without a port id hears nothing from the kernel, which has the same one.
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    throw_errno("bind", "AF_NETLINK");
  }
  for (int group : groups) {
    if (::setsockopt(fd.get(), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) != 0) {
      throw_errno("setsockopt", "NETLINK_ADD_MEMBERSHIP");
    }
  }
  return fd;
}

Found discover(NetlinkSocket& routes, NetlinkSocket* generic, std::size_t limit) {
  Found found;
  const NetlinkAnswer links = ask_links(routes);
  if (!links.complete()) {
    found.problem = "links: " + links.reason();
    return found;
  }
  NetlinkMessages walk = links.messages();
  for (NetlinkMessage message; walk.next(message);) {
    auto device = parse_device(message);
    if (device && device->up) found.devices.push_back(*std::move(device));
  }
  Collector collector(found, limit);
  for (TunnelDevice& device : found.devices) {
    if (device.remote) collector.add({*device.remote, device.port}, device.outside);
    if (device.kind == Kind::kVxlan) add_entries(routes, device, collector, found.problem);
    if (device.kind == Kind::kWireguard && generic) {
      add_peers(*generic, device, collector, found.unseen);
    }
  }
  return found;
}

}  // namespace sockswitch::tunnel
