// Theory of operation. A table is one block of entries, in the order of its chains. A built-in
// chain reaches from its hook's entry point to its underflow, the entry that is its policy. A chain
// of the user begins after an entry with the target ERROR, which has its name, and ends at the
// next. Jumps name the first entry of a chain by its place in the block.
#include "path/xtables.h"

#include <linux/netfilter.h>
#include <linux/netfilter_arp/arp_tables.h>
#include <linux/netfilter_ipv4.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>
#include <netinet/in.h>  // before linux/in.h, which would define the same anew
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <sstream>
#include <vector>

#include "path/xt_extension.h"

namespace sockswitch {
namespace {

using Bytes = std::span<const std::uint8_t>;
using Kind = FilterOperation::Kind;
using Origin = FilterChain::Origin;

constexpr std::size_t kMaxTable = std::size_t{4} * 1024 * 1024;
constexpr std::size_t kMaxTables = 16;
constexpr int kAttempts = 3;  // where a table changes while it is read

// How the families differ.
struct Layout {
  Origin origin;
  int family;
  std::size_t header;         // of an entry
  std::size_t target_offset;  // where in an entry
  std::size_t next_offset;
  std::size_t packet;  // size of what is matched on in the entry itself
  std::size_t flags;   // where in an entry
  std::uint8_t goto_flag;
  int level;
  int get_info;
  int get_entries;
  int get_target_revision;
  FirewallSource names;
  FirewallSource socket;
  std::string_view words;
};

constexpr std::array<Layout, 3> kLayouts{{
    {Origin::kIptables, NFPROTO_IPV4, sizeof(ipt_entry), offsetof(ipt_entry, target_offset),
     offsetof(ipt_entry, next_offset), sizeof(ipt_ip), offsetof(ipt_entry, ip.flags), IPT_F_GOTO,
     SOL_IP, IPT_SO_GET_INFO, IPT_SO_GET_ENTRIES, IPT_SO_GET_REVISION_TARGET,
     FirewallSource::kTableNamesV4, FirewallSource::kSocketV4, "iptables-legacy"},
    {Origin::kIp6tables, NFPROTO_IPV6, sizeof(ip6t_entry), offsetof(ip6t_entry, target_offset),
     offsetof(ip6t_entry, next_offset), sizeof(ip6t_ip6), offsetof(ip6t_entry, ipv6.flags),
     IP6T_F_GOTO, SOL_IPV6, IP6T_SO_GET_INFO, IP6T_SO_GET_ENTRIES, IP6T_SO_GET_REVISION_TARGET,
     FirewallSource::kTableNamesV6, FirewallSource::kSocketV6, "ip6tables-legacy"},
    {Origin::kArptables, NFPROTO_ARP, sizeof(arpt_entry), offsetof(arpt_entry, target_offset),
     offsetof(arpt_entry, next_offset), sizeof(arpt_arp), offsetof(arpt_entry, arp.flags), 0,
     SOL_IP, ARPT_SO_GET_INFO, ARPT_SO_GET_ENTRIES, ARPT_SO_GET_REVISION_TARGET,
     FirewallSource::kTableNamesArp, FirewallSource::kSocketV4, "arptables-legacy"},
}};

const Layout& layout_of(Origin origin) {
  return *std::ranges::find(kLayouts, origin, &Layout::origin);
}

FilterHook hook_of(int family, std::size_t number) {
  if (family != NFPROTO_ARP) return static_cast<FilterHook>(number);
  if (number == NF_ARP_IN) return FilterHook::kInput;
  return number == NF_ARP_OUT ? FilterHook::kOutput : FilterHook::kOther;
}

int priority_of(const std::string& table, FilterHook hook) {
  if (table == "raw") return NF_IP_PRI_RAW;
  if (table == "mangle") return NF_IP_PRI_MANGLE;
  if (table == "security") return NF_IP_PRI_SECURITY;
  if (table != "nat") return NF_IP_PRI_FILTER;
  const bool destination = hook == FilterHook::kPrerouting || hook == FilterHook::kOutput;
  return destination ? NF_IP_PRI_NAT_DST : NF_IP_PRI_NAT_SRC;
}

// What matches and targets begin with (struct xt_entry_match, xt_entry_target: those of user
// space).
struct ExtensionHeader {
  std::uint16_t size;
  std::array<char, XT_EXTENSION_MAXNAMELEN> name;
  std::uint8_t revision;
};
static_assert(sizeof(ExtensionHeader) == sizeof(xt_entry_match));
static_assert(sizeof(ExtensionHeader) == sizeof(xt_entry_target));

struct Entry {
  std::size_t at = 0;
  Bytes packet;
  std::uint8_t flags = 0;
  Bytes matches;
  std::string target;
  std::uint8_t revision = 0;
  Bytes target_data;
};

std::string name_of(const char* name, std::size_t size) { return {name, ::strnlen(name, size)}; }

// The block's parser; names, kinds and chains are found in two passes.
class Table {
 public:
  Table(const Layout& layout, const XtTableInfo& info, Bytes block, FilterRules& rules)
      : layout_(layout), info_(info), block_(block), rules_(rules) {}
  bool parse() { return read_entries() && find_chains() && fill_chains(); }

 private:
  bool read_entries();
  bool read_entry(std::size_t at, Entry& entry, std::size_t& size) const;
  bool find_chains();
  bool fill_chains();
  bool read_rule(const Entry& entry, FilterRule& rule) const;
  FilterVerdict verdict_of(const Entry& entry) const;
  std::size_t add_chain(std::size_t at, const std::string& name);

  const Layout& layout_;
  const XtTableInfo& info_;
  Bytes block_;
  FilterRules& rules_;
  std::vector<Entry> entries_;
  std::map<std::size_t, std::size_t> chains_;    // by their first entry's place
  std::map<std::size_t, std::size_t> policies_;  // chains by their underflow's
};

bool Table::read_entry(std::size_t at, Entry& entry, std::size_t& size) const {
  const Bytes rest = block_.subspan(at);
  if (rest.size() < layout_.header) return false;
  const auto target_offset = read_structure<std::uint16_t>(rest.subspan(layout_.target_offset));
  const auto next_offset = read_structure<std::uint16_t>(rest.subspan(layout_.next_offset));
  if (!target_offset || !next_offset || *target_offset < layout_.header ||
      *next_offset > rest.size() || *target_offset + sizeof(ExtensionHeader) > *next_offset) {
    return false;
  }
  size = *next_offset;
  entry.at = at;
  entry.packet = rest.first(layout_.packet);
  entry.flags = rest[layout_.flags];
  entry.matches = rest.subspan(layout_.header, *target_offset - layout_.header);
  const Bytes target = rest.subspan(*target_offset, *next_offset - *target_offset);
  const auto header = read_structure<ExtensionHeader>(target);
  entry.target = name_of(header->name.data(), header->name.size());
  entry.revision = header->revision;
  entry.target_data = target.subspan(sizeof(ExtensionHeader));
  return true;
}

bool Table::read_entries() {
  std::size_t size = 0;
  for (std::size_t at = 0; at < block_.size(); at += size) {
    Entry entry;
    if (!read_entry(at, entry, size)) return false;
    entries_.push_back(std::move(entry));
  }
  return true;
}

std::size_t Table::add_chain(std::size_t at, const std::string& name) {
  FilterChain chain;
  chain.origin = layout_.origin;
  chain.family = layout_.family;
  chain.table = info_.name;
  chain.name = name;
  chains_[at] = rules_.chains.size();
  rules_.chains.push_back(std::move(chain));
  return rules_.chains.size() - 1;
}

bool Table::find_chains() {
  static constexpr std::array<std::string_view, 5> kNames{"PREROUTING", "INPUT", "FORWARD",
                                                          "OUTPUT", "POSTROUTING"};
  static constexpr std::array<std::string_view, 3> kArpNames{"INPUT", "OUTPUT", "FORWARD"};
  for (std::size_t hook = 0; hook < kNames.size(); ++hook) {
    if ((info_.valid_hooks & (1U << hook)) == 0) continue;
    if (layout_.family == NFPROTO_ARP && hook >= kArpNames.size()) return false;
    const std::size_t chain =
        add_chain(info_.hook_entry[hook],
                  std::string(layout_.family == NFPROTO_ARP ? kArpNames[hook] : kNames[hook]));
    FilterChain& base = rules_.chains[chain];
    base.is_base = true;
    base.hook = hook_of(layout_.family, hook);
    base.priority = priority_of(info_.name, base.hook);
    base.is_nat = info_.name == "nat";
    policies_[info_.underflow[hook]] = chain;
  }
  for (std::size_t i = 0; i + 1 < entries_.size(); ++i) {
    const Entry& entry = entries_[i];
    if (entry.target != XT_ERROR_TARGET) continue;
    add_chain(entries_[i + 1].at, name_of(reinterpret_cast<const char*>(entry.target_data.data()),
                                          entry.target_data.size()));
  }
  return true;
}

FilterVerdict Table::verdict_of(const Entry& entry) const {
  using Verdict = FilterVerdict::Kind;
  const auto verdict = read_structure<int>(entry.target_data);
  if (!verdict) return {Verdict::kUnknown};
  if (*verdict >= 0) {
    auto found = chains_.find(static_cast<std::size_t>(*verdict));
    if (found == chains_.end()) return {Verdict::kUnknown};
    return {(entry.flags & layout_.goto_flag) != 0 ? Verdict::kGoto : Verdict::kJump,
            found->second};
  }
  switch (-*verdict - 1) {
    case NF_ACCEPT:
      return {Verdict::kAccept};
    case NF_DROP:
      return {Verdict::kDrop};
    case NF_QUEUE:
      return {Verdict::kQueue};
    case NF_REPEAT:  // XT_RETURN
      return {Verdict::kReturn};
    default:
      return {Verdict::kUnknown};
  }
}

bool Table::read_rule(const Entry& entry, FilterRule& rule) const {
  if (layout_.family == NFPROTO_ARP) return true;  // a rule is a rule: ARP is not evaluated
  FilterOperation packet{.kind = Kind::kXtPacket};
  packet.key = layout_.family == NFPROTO_IPV4 ? AF_INET : AF_INET6;
  packet.value.assign(entry.packet.begin(), entry.packet.end());
  if (auto header = read_structure<ipt_ip>(entry.packet); layout_.family == NFPROTO_IPV4) {
    packet.names_destination = header->dmsk.s_addr != 0 && (header->invflags & IPT_INV_DSTIP) == 0;
  } else if (auto header6 = read_structure<ip6t_ip6>(entry.packet)) {
    packet.names_destination =
        header6->dmsk.s6_addr[0] != 0 && (header6->invflags & IP6T_INV_DSTIP) == 0;
  }
  rule.operations.push_back(std::move(packet));
  Bytes rest = entry.matches;
  while (!rest.empty()) {
    const auto match = read_structure<ExtensionHeader>(rest);
    if (!match || match->size < sizeof(ExtensionHeader) || match->size > rest.size()) return false;
    rule.operations.push_back(xt_match_operation(
        name_of(match->name.data(), match->name.size()), match->revision,
        rest.subspan(sizeof(ExtensionHeader), match->size - sizeof(ExtensionHeader))));
    const FilterOperation& added = rule.operations.back();
    if (added.name == "comment") rule.comment.assign(added.value.begin(), added.value.end());
    rest = rest.subspan(match->size);
  }
  if (entry.target.empty()) {  // XT_STANDARD_TARGET
    FilterOperation verdict{.kind = Kind::kVerdict};
    verdict.verdict = verdict_of(entry);
    rule.operations.push_back(std::move(verdict));
  } else {
    rule.operations.push_back(xt_target_operation(entry.target, entry.revision, entry.target_data));
  }
  return true;
}

bool Table::fill_chains() {
  FilterChain* chain = nullptr;
  for (const Entry& entry : entries_) {
    if (auto found = chains_.find(entry.at); found != chains_.end()) {
      chain = &rules_.chains[found->second];
    }
    if (entry.target == XT_ERROR_TARGET) {
      chain = nullptr;
      continue;
    }
    if (chain == nullptr) return false;
    if (auto policy = policies_.find(entry.at); policy != policies_.end()) {
      rules_.chains[policy->second].accepts =
          verdict_of(entry).kind == FilterVerdict::Kind::kAccept;
      continue;
    }
    FilterRule rule;
    if (!read_rule(entry, rule)) return false;
    chain->rules.push_back(std::move(rule));
  }
  return true;
}

// A list of the namespace's tables, as the kernel has it: a name a line.
std::optional<std::vector<std::string>> read_names(int fd) {
  char text[4096];
  const ssize_t size = ::pread(fd, text, sizeof text, 0);
  if (size < 0 || static_cast<std::size_t>(size) == sizeof text) return {};
  std::istringstream lines(std::string(text, static_cast<std::size_t>(size)));
  std::vector<std::string> names;
  for (std::string line; std::getline(lines, line);) names.push_back(line);
  return names;
}

// Whether the kernel has the family, asked without loading any module: the standard target is
// always there. No value: that could not be told.
std::optional<bool> is_there(const Layout& layout, int fd) {
  xt_get_revision question{};
  socklen_t size = sizeof question;
  if (::getsockopt(fd, layout.level, layout.get_target_revision, &question, &size) == 0) {
    return true;
  }
  if (errno == ENOPROTOOPT) return false;
  return {};
}

template <typename Info>
bool ask_info(const Layout& layout, int fd, Info& info, XtTableInfo& table) {
  std::strncpy(info.name, table.name.c_str(), sizeof info.name - 1);
  socklen_t size = sizeof info;
  if (::getsockopt(fd, layout.level, layout.get_info, &info, &size) != 0) return false;
  table.valid_hooks = info.valid_hooks;
  std::ranges::copy(info.hook_entry, table.hook_entry.begin());
  std::ranges::copy(info.underflow, table.underflow.begin());
  return true;
}

// What went wrong with one table; empty: nothing.
std::string read_table(const Layout& layout, int fd, const std::string& name, FilterRules& rules) {
  // The three families' structures of entries begin alike.
  static_assert(offsetof(ipt_get_entries, entrytable) == offsetof(ip6t_get_entries, entrytable));
  static_assert(offsetof(ipt_get_entries, entrytable) == offsetof(arpt_get_entries, entrytable));
  static_assert(sizeof(ipt_getinfo) == sizeof(ip6t_getinfo));
  constexpr std::size_t kHeader = offsetof(ipt_get_entries, entrytable);
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    XtTableInfo info{.name = name};
    ipt_getinfo ip{};
    arpt_getinfo arp{};
    const bool is_arp = layout.family == NFPROTO_ARP;
    if (!(is_arp ? ask_info(layout, fd, arp, info) : ask_info(layout, fd, ip, info))) {
      return std::string("IPT_SO_GET_INFO: ") + ::strerror(errno);
    }
    const std::uint32_t size = is_arp ? arp.size : ip.size;
    if (size > kMaxTable) return "a table of more than 4 MiB";
    FilterBytes block(kHeader + size);
    std::memcpy(block.data(), name.c_str(),
                std::min(name.size() + 1, std::size_t{XT_TABLE_MAXNAMELEN}));
    std::memcpy(block.data() + offsetof(ipt_get_entries, size), &size, sizeof size);
    auto length = static_cast<socklen_t>(block.size());
    if (::getsockopt(fd, layout.level, layout.get_entries, block.data(), &length) == 0) {
      const std::size_t before = rules.chains.size();
      if (parse_xtables(layout.origin, info, Bytes(block).subspan(kHeader), rules)) return {};
      rules.chains.resize(before);
      return "malformed entries";
    }
    if (errno != EAGAIN) return std::string("IPT_SO_GET_ENTRIES: ") + ::strerror(errno);
  }
  return "the table kept changing";
}

std::string read_family(const Layout& layout, const FirewallSockets& sockets, FilterRules& rules) {
  using State = FirewallSockets::State;
  const State names_state = sockets.state(layout.names);
  const State socket_state = sockets.state(layout.socket);
  // A kernel without the address family has no packets of it either.
  if (socket_state == State::kNotThere) return {};
  if (socket_state != State::kOpen) return "no socket";
  const int fd = sockets.fd(layout.socket);
  if (names_state == State::kNotThere) {
    const auto there = is_there(layout, fd);
    if (there == false) return {};
    return there ? "the kernel has had them since later than this namespace is watched"
                 : std::string("IPT_SO_GET_REVISION_TARGET: ") + ::strerror(errno);
  }
  if (names_state != State::kOpen) return "their names cannot be read";
  const auto names = read_names(sockets.fd(layout.names));
  if (!names) return "their names cannot be read";
  if (names->size() > kMaxTables) return "too many tables";
  for (const std::string& name : *names) {
    if (std::string trouble = read_table(layout, fd, name, rules); !trouble.empty()) {
      return trouble.insert(0, "table " + name + ": ");
    }
  }
  return {};
}

}  // namespace

bool parse_xtables(FilterChain::Origin origin, const XtTableInfo& info,
                   std::span<const std::uint8_t> entries, FilterRules& rules) {
  return Table(layout_of(origin), info, entries, rules).parse();
}

FilterRules read_xtables(const FirewallSockets& sockets) {
  FilterRules rules;
  for (const Layout& layout : kLayouts) {
    const std::string trouble = read_family(layout, sockets, rules);
    if (!trouble.empty() && !rules.trouble) {
      rules.trouble = std::string(layout.words) + " cannot be read: " + trouble;
    }
  }
  return rules;
}

}  // namespace sockswitch
