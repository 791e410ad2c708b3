// How options are classified. One that is in no table is an obstacle, so a new version of a program
// is never trusted further than somebody has read its sources: pasta's up to 2026_07_16,
// slirp4netns' up to 1.3.2, each from its first release that Podman can use.
//
// What the programs do with some destinations without being told so by an option:
//
// - pasta sends what is for its --map-host-loopback address to the host's loopback; without that
//   option it is the default gateway's (--no-map-gw: nobody's). Before 2024_08_14 there is only the
//   gateway. DNS over TCP to that address, or to --dns-forward's, goes to the host's resolver.
//   Multicast and unspecified destinations are reset, IPv6 link-local ones go to the host's link:
//   policy leaves all of these to the program in any case. Loopback never leaves the container.
// - libslirp (slirp4netns) answers for its whole IPv4 network: the second address is the host, the
//   third a name server, the others are dead or, in older versions, the host's loopback, too. For
//   IPv6 the same holds for fd00::/64, which no option changes.
#include "path/fallback_options.h"

#include <algorithm>
#include <span>

#include "path/command_line.h"

namespace sockswitch {
namespace {

// Addresses of libslirp's own in its IPv4 network (arp_input(), ndp_input()).
constexpr std::uint32_t kSlirpHost = 2;
constexpr std::uint32_t kSlirpNameServer = 3;

enum class Meaning : std::uint8_t {
  kHarmless,       // changes nothing for outgoing TCP
  kObstacle,       // stops or changes it in a way that cannot be carried out
  kForeign,        // belongs to another mode of the program, in which it holds no tap
  kIpv4Only,       // pasta
  kIpv6Only,       // pasta
  kOwnAddress,     // the value is a destination that the program treats in its own way
  kMapHost,        // the same, and instead of the gateway; "none": nor is the gateway
  kMapGuest,       // the same; "none" is harmless
  kNoMapGateway,   // pasta
  kGateway,        // pasta
  kOwnNetwork,     // pasta: addresses other than the host's
  kSource,         // the value is the source address
  kSource4,        // slirp4netns: IPv4 address or an interface's name
  kSource6,        // slirp4netns
  kDevice4,        // pasta
  kDevice6,        // pasta
  kNetns,          // pasta: the namespace's path
  kNetnsType,      // slirp4netns: what the operand is
  kEnableIpv6,     // slirp4netns
  kNetwork,        // slirp4netns --cidr
  kNetworkTarget,  // slirp4netns --target-type: "netns" is the default
};

struct Option {
  OptionName name;
  Meaning meaning = Meaning::kHarmless;
};

using enum Meaning;

constexpr Option kPastaOptions[] = {
    {{'d', "debug"}},
    {{0, "trace"}},
    {{'q', "quiet"}},
    {{'f', "foreground"}},
    {{'e', "stderr"}},
    {{'l', "log-file", true}},
    {{0, "log-size", true}},
    {{0, "stats", true}},
    {{'h', "help"}},
    {{0, "version"}},
    {{0, "runas", true}},
    {{0, "chroot-fallback"}},
    {{'p', "pcap", true}},
    {{'P', "pid", true}},
    // pesto(1) changes at run time which ports are forwarded inwards, and the spliced ones.
    {{'c', "conf-path", true}},
    // The namespace and what is configured in it.
    {{'I', "ns-ifname", true}},
    {{0, "userns", true}},
    {{0, "netns", true}, kNetns},
    {{0, "netns-only"}},
    {{0, "nsrun-dir", true}},
    {{0, "no-netns-quit"}},
    {{0, "config-net"}},
    {{0, "no-copy-routes"}},
    {{0, "no-copy-addrs"}},
    {{0, "ns-mac-addr", true}},
    {{'M', "mac-addr", true}},
    {{'m', "mtu", true}},
    {{'i', "interface", true}},  // where addresses and routes are copied from; sockets ignore it
    {{'a', "address", true}, kOwnNetwork},
    {{'n', "netmask", true}, kOwnNetwork},
    {{'g', "gateway", true}, kGateway},
    // What is answered on the tap: configuration of the client, ICMP and UDP.
    {{'D', "dns", true}},
    {{'S', "search", true}},
    {{'H', "hostname", true}},
    {{0, "fqdn", true}},
    {{0, "dhcp-dns"}},
    {{0, "dhcp-search"}},
    {{0, "no-dhcp"}},
    {{0, "no-dhcpv6"}},
    // Without an answer to neighbour solicitations no IPv6 packet finds the tap.
    {{0, "no-ndp"}, kIpv4Only},
    {{0, "no-ra"}},
    {{0, "no-udp"}},
    {{0, "no-icmp"}, kIpv4Only},
    // Connections inwards, and those between the two loopbacks, which never see the tap.
    {{'t', "tcp-ports", true}},
    {{'u', "udp-ports", true}},
    {{'T', "tcp-ns", true}},
    {{'U', "udp-ns", true}},
    {{0, "freebind"}},
    {{0, "host-lo-to-ns-lo"}},
    {{0, "no-splice"}},
    // Connections outwards.
    {{0, "no-tcp"}, kObstacle},
    {{0, "splice-only"}, kObstacle},
    {{'4', "ipv4-only"}, kIpv4Only},
    {{'6', "ipv6-only"}, kIpv6Only},
    {{'o', "outbound", true}, kSource},
    {{0, "outbound-if4", true}, kDevice4},
    {{0, "outbound-if6", true}, kDevice6},
    {{0, "no-map-gw"}, kNoMapGateway},
    {{0, "map-host-loopback", true}, kMapHost},
    {{0, "map-guest-addr", true}, kMapGuest},
    {{0, "dns-forward", true}, kOwnAddress},
    {{0, "dns-host", true}},  // where --dns-forward leads to
    // passt's, for virtual machines.
    {{'F', "fd", true}, kForeign},
    {{'s', "socket", true}, kForeign},
    {{0, "socket-path", true}, kForeign},
    {{'1', "one-off"}, kForeign},
    {{0, "vhost-user"}, kForeign},
    {{0, "print-capabilities"}, kForeign},
    {{0, "repair-path", true}, kForeign},
    {{0, "migrate-exit"}, kForeign},
    {{0, "migrate-no-linger"}, kForeign},
    {{0, "no-dhcp-dns"}, kForeign},
    {{0, "no-dhcp-search"}, kForeign},
};

constexpr Option kSlirpOptions[] = {
    {{'c', "configure"}},
    {{'e', "exit-fd", true}},
    {{'r', "ready-fd", true}},
    {{'m', "mtu", true}},
    {{'a', "api-socket", true}},  // adds and removes forwarded ports, inwards
    {{0, "disable-host-loopback"}},
    {{0, "no-host-loopback"}},
    {{0, "userns-path", true}},
    {{0, "enable-sandbox"}},
    {{0, "create-sandbox"}},
    {{0, "enable-seccomp"}},
    {{0, "disable-dns"}},
    {{0, "macaddress", true}},
    {{'h', "help"}},
    {{'v', "version"}},
    {{'6', "enable-ipv6"}, kEnableIpv6},
    {{0, "cidr", true}, kNetwork},
    {{0, "outbound-addr", true}, kSource4},
    {{0, "outbound-addr6", true}, kSource6},
    {{0, "netns-type", true}, kNetnsType},
    {{0, "target-type", true}, kNetworkTarget},
};

constexpr std::size_t kLongestInterfaceName = 15;  // IFNAMSIZ less the zero byte

std::span<const Option> table_of(FallbackKind kind) {
  if (kind == FallbackKind::kPasta) return kPastaOptions;
  return kSlirpOptions;
}

std::vector<OptionName> names_of(FallbackKind kind) {
  std::vector<OptionName> names;
  for (const Option& option : table_of(kind)) names.push_back(option.name);
  return names;
}

std::string_view base_name(std::string_view path) { return path.substr(path.rfind('/') + 1); }

// As inet_pton(3) tells families apart; an IPv4-mapped address would change from one to the other.
std::optional<Address> parse_address(const std::string& text) {
  auto address = Address::parse(text);
  if (address && address->is_v4() != (text.find(':') == std::string::npos)) return {};
  return address;
}

// An address that sockets of other destinations can be bound to: not unspecified, loopback,
// link-local (which wants a device, too), multicast or broadcast.
bool can_be_source(const Address& address) {
  static const std::optional<Prefix> kNever[] = {
      Prefix::parse("0.0.0.0/8"), Prefix::parse("127.0.0.0/8"), Prefix::parse("224.0.0.0/3"),
      Prefix::parse("::/127"),    Prefix::parse("fe80::/10"),   Prefix::parse("ff00::/8")};
  return std::ranges::none_of(
      kNever, [&](const auto& prefix) { return !prefix || prefix->contains(address); });
}

bool is_rootless_netns(std::string_view path) {
  const std::string_view name = base_name(path);
  return name == "rootless-netns" || name.starts_with("rootless-netns-");
}

class Classifier {
 public:
  explicit Classifier(FallbackKind kind) : kind_(kind) {}

  FallbackOptions classify(std::span<const std::string> arguments) {
    if (arguments.empty()) {
      stop("the command line of " + program() + " cannot be read");
      return std::move(result_);
    }
    // pasta and passt are one program, which looks at its name.
    if (kind_ == FallbackKind::kPasta &&
        base_name(arguments.front()).find("pasta") == std::string_view::npos) {
      stop(program() + " runs under another name: " + arguments.front());
    }
    const CommandLine line = read_command_line(names_of(kind_), arguments.subspan(1));
    if (!line.problem.empty()) stop("the command line of " + program() + " has " + line.problem);
    for (const GivenOption& option : line.options) take(option);
    finish(line.operands);
    return std::move(result_);
  }

 private:
  std::string program() const { return std::string(fallback_name(kind_)); }

  std::string option_text(const GivenOption& option) const {
    const OptionName& name = table_of(kind_)[option.index].name;
    std::string text = program() + "'s option --" + std::string(name.name);
    if (!option.value.empty()) text += " " + option.value;
    return text;
  }

  // The first obstacle stays: one is enough to be reported.
  static void stop(FallbackOptions::Family& family, const std::string& why) {
    if (family.obstacle.empty()) family.obstacle = why;
  }
  void stop(const std::string& why) {
    stop(result_.v4, why);
    stop(result_.v6, why);
  }
  void stop_value(const GivenOption& option) {
    stop(option_text(option) + ", a value that is not understood");
  }

  FallbackOptions::Family& family_of(const Address& address) {
    return address.is_v4() ? result_.v4 : result_.v6;
  }

  void take(const GivenOption& option) {
    switch (table_of(kind_)[option.index].meaning) {
      case kHarmless:
        break;
      case kObstacle:
        stop(option_text(option));
        break;
      case kForeign:
        stop(option_text(option) + ", which is not for containers");
        break;
      case kIpv4Only:
        stop(result_.v6, option_text(option));
        break;
      case kIpv6Only:
        stop(result_.v4, option_text(option));
        break;
      case kNoMapGateway:
        no_map_gateway_ = true;
        break;
      case kOwnNetwork:
        own_network_ = true;
        break;
      case kEnableIpv6:
        ipv6_ = true;
        break;
      case kNetns:
        result_.netns_path = option.value;
        break;
      case kNetnsType:
        netns_type_ = option.value;
        break;
      case kNetworkTarget:
        if (option.value != "netns") stop(option_text(option));
        break;
      default:
        take_value(option);
    }
  }

  void take_value(const GivenOption& option) {
    switch (table_of(kind_)[option.index].meaning) {
      case kOwnAddress:
      case kGateway:
        take_own(option);
        break;
      case kMapHost:
        if (option.value == "none") {
          no_map_gateway_ = true;
          break;
        }
        take_own(option);
        break;
      case kMapGuest:
        if (option.value != "none") take_own(option);
        break;
      case kNetwork:
        take_network(option);
        break;
      case kDevice4:
        take_device(option, result_.v4);
        break;
      case kDevice6:
        take_device(option, result_.v6);
        break;
      default:
        take_source(option);
    }
  }

  void take_own(const GivenOption& option) {
    const auto address = parse_address(option.value);
    const auto prefix = Prefix::parse(option.value);
    if (!address || !prefix) return stop_value(option);
    result_.own.push_back(*prefix);
    const Meaning meaning = table_of(kind_)[option.index].meaning;
    // Known, or mapped in the place of the gateway: no gateway that must be guessed.
    if (meaning == kGateway || meaning == kMapHost) {
      (address->is_v4() ? gateway4_known_ : gateway6_known_) = true;
    }
  }

  void take_network(const GivenOption& option) {
    const auto prefix = Prefix::parse(option.value);
    const auto slash = option.value.find('/');
    const auto address = parse_address(option.value.substr(0, slash));
    if (!prefix || slash == std::string::npos || !address || !address->is_v4()) {
      return stop_value(option);
    }
    network_ = prefix;
  }

  // Before 2024_06_24 pasta refuses to be given one twice; since then the last one counts.
  void take_device(const GivenOption& option, FallbackOptions::Family& family) {
    if (option.value.empty() || option.value.size() > kLongestInterfaceName ||
        option.value.find('/') != std::string::npos) {
      return stop_value(option);
    }
    family.device = option.value;
  }

  // slirp4netns takes an interface's name, too, and the first address that it had at the start;
  // nobody else knows which that was. (For IPv6 it looks at the IPv4 option's name, up to 1.3.2.)
  void take_source(const GivenOption& option) {
    const auto address = parse_address(option.value);
    if (!address || !can_be_source(*address)) return stop_value(option);
    const Meaning meaning = table_of(kind_)[option.index].meaning;
    if (meaning != kSource && address->is_v4() != (meaning == kSource4)) {
      return stop_value(option);
    }
    family_of(*address).source = *address;
  }

  void finish(std::span<const std::string> operands) {
    if (kind_ == FallbackKind::kPasta) {
      finish_pasta(operands);
    } else {
      finish_slirp(operands);
    }
    result_.serves_bridges = is_rootless_netns(result_.netns_path);
  }

  // Operands are a process id, a path, or a command.
  void finish_pasta(std::span<const std::string> operands) {
    if (result_.netns_path.empty() && operands.size() == 1 &&
        operands.front().find('/') != std::string::npos) {
      result_.netns_path = operands.front();
    }
    result_.copies_host_addresses = !own_network_;
    if (no_map_gateway_) return;
    result_.v4.maps_gateway = !gateway4_known_;
    result_.v6.maps_gateway = !gateway6_known_;
  }

  void finish_slirp(std::span<const std::string> operands) {
    if (operands.empty()) stop("the command line of slirp4netns has no namespace");
    if (netns_type_ == "path" && !operands.empty()) result_.netns_path = operands.front();
    if (!network_) network_ = Prefix::parse("10.0.2.0/24");
    if (network_) {
      result_.own.push_back(*network_);
      const std::uint32_t first = network_->network().v4();
      for (const std::uint32_t number : {kSlirpHost, kSlirpNameServer}) {
        result_.next_hops.push_back(Address::from_v4(in_addr{htonl(first + number)}));
      }
    }
    for (const char* text : {"fd00::2", "fd00::3", "fe80::2", "fe80::3"}) {
      result_.next_hops.push_back(*Address::parse(text));
    }
    if (auto prefix = Prefix::parse("fd00::/64")) result_.own.push_back(*prefix);
    if (!ipv6_) stop(result_.v6, "slirp4netns runs without --enable-ipv6");
  }

  FallbackKind kind_;
  FallbackOptions result_;
  bool no_map_gateway_ = false;
  bool gateway4_known_ = false;
  bool gateway6_known_ = false;
  bool own_network_ = false;
  bool ipv6_ = false;
  std::string netns_type_;
  std::optional<Prefix> network_;
};

}  // namespace

std::string_view fallback_name(FallbackKind kind) {
  return kind == FallbackKind::kPasta ? "pasta" : "slirp4netns";
}

FallbackOptions classify(FallbackKind kind, const std::vector<std::string>& arguments) {
  return Classifier(kind).classify(arguments);
}

std::vector<std::string> known_options(FallbackKind kind) {
  std::vector<std::string> known;
  for (const OptionName& name : names_of(kind)) {
    if (name.letter != 0) known.push_back({'-', name.letter});
    if (!name.name.empty()) known.push_back("--" + std::string(name.name));
  }
  return known;
}

std::vector<std::string> split_command_line(std::string_view bytes) {
  std::vector<std::string> words;
  if (bytes.empty() || bytes.back() != '\0') return words;
  while (!bytes.empty()) {
    const auto end = bytes.find('\0');
    words.emplace_back(bytes.substr(0, end));
    bytes.remove_prefix(end + 1);
  }
  return words;
}

}  // namespace sockswitch
