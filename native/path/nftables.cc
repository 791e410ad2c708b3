// Theory of operation. A ruleset is listed in several dumps: chains, tables, sets, each set's
// elements, rules. Each dump is complete or unknown by itself (kernel/netlink_message.h); the
// generation number before and after says whether all of them show the same ruleset. Where no base
// chain exists nothing else can see a packet, and nothing else is read.
#include "path/nftables.h"

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter_arp.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "path/nft_expression.h"

namespace sockswitch {
namespace {

using Clock = ThreadClock;

// Bounds on what is kept of one namespace; rule sets of machines that work are far below.
constexpr std::size_t kMaxChains = 16384;
constexpr std::size_t kMaxSets = 4096;
constexpr std::size_t kMaxElements = 200'000;
constexpr std::size_t kMaxSetBytes = std::size_t{8} * 1024 * 1024;  // of all sets' dumps
constexpr int kAttempts = 2;  // where the ruleset changes while it is read

std::uint16_t message_type(std::uint16_t type) {
  return static_cast<std::uint16_t>(NFNL_SUBSYS_NFTABLES << 8U | type);
}

NetlinkRequest request_for(std::uint16_t type, std::uint16_t flags, int family = NFPROTO_UNSPEC) {
  NetlinkRequest request(message_type(type), flags);
  nfgenmsg header{};
  header.nfgen_family = static_cast<std::uint8_t>(family);
  request.header(header);
  return request;
}

FilterHook hook_of(int family, std::uint32_t number) {
  if (family == NFPROTO_NETDEV) {
    if (number == NF_NETDEV_INGRESS) return FilterHook::kIngress;
    constexpr std::uint32_t kNetdevEgress = 1;  // NF_NETDEV_EGRESS (Linux 5.16)
    return number == kNetdevEgress ? FilterHook::kEgress : FilterHook::kOther;
  }
  if (family == NFPROTO_ARP) {
    if (number == NF_ARP_IN) return FilterHook::kInput;
    return number == NF_ARP_OUT ? FilterHook::kOutput : FilterHook::kOther;
  }
  if (number <= static_cast<std::uint32_t>(FilterHook::kIngress)) {
    return static_cast<FilterHook>(number);
  }
  return FilterHook::kOther;
}
static_assert(static_cast<int>(FilterHook::kOutput) == NF_INET_LOCAL_OUT);
static_assert(static_cast<int>(FilterHook::kPostrouting) == NF_INET_POST_ROUTING);
static_assert(static_cast<int>(FilterHook::kIngress) == NF_INET_INGRESS);

std::string comment_of(NetlinkBytes userdata) {
  // A list of type, length, value of a byte, a byte and that many bytes (libnftnl udata.h); type 0
  // of a rule is its comment. xtables' comments are matches.
  while (userdata.size() >= 2) {
    const std::size_t length = userdata[1];
    if (length > userdata.size() - 2) return {};
    if (userdata[0] == 0) {
      const NetlinkAttribute comment{.type = 0, .data = userdata.subspan(2, length)};
      return std::string(comment.text());
    }
    userdata = userdata.subspan(2 + length);
  }
  return {};
}

}  // namespace

bool NftablesDump::take(const NetlinkMessage& message) {
  const auto header = message.header<nfgenmsg>();
  if (!header) return false;
  const NetlinkBytes attributes = message.attributes(sizeof(nfgenmsg));
  const int family = header->nfgen_family;
  if (message.type == message_type(NFT_MSG_NEWTABLE)) return take_table(family, attributes);
  if (message.type == message_type(NFT_MSG_NEWCHAIN)) return take_chain(family, attributes);
  if (message.type == message_type(NFT_MSG_NEWSET)) return take_set(family, attributes);
  if (message.type == message_type(NFT_MSG_NEWSETELEM)) return take_elements(family, attributes);
  if (message.type == message_type(NFT_MSG_NEWRULE)) return take_rule(family, attributes);
  return true;
}

bool NftablesDump::take_table(int family, NetlinkBytes attributes) {
  std::string name;
  std::uint32_t flags = 0;
  const bool fine = walk_attributes(attributes, [&](const NetlinkAttribute& attribute) {
    if (attribute.type == NFTA_TABLE_NAME) name = attribute.text();
    if (attribute.type == NFTA_TABLE_FLAGS) flags = attribute.big_endian32().value_or(0);
  });
  if (!fine) return false;
  if ((flags & NFT_TABLE_F_DORMANT) == 0) return true;
  for (FilterChain& chain : rules_.chains) {
    if (chain.family == family && chain.table == name) chain.dormant = true;
  }
  return true;
}

bool NftablesDump::take_hook(NetlinkBytes attributes, FilterChain& chain) const {
  std::uint32_t number = UINT32_MAX;
  bool fine = true;
  bool others = false;
  auto add_device = [&](const NetlinkAttribute& attribute) {
    if (attribute.type == NFTA_DEVICE_NAME) {
      chain.devices.emplace_back(attribute.text());
    } else {
      others = true;  // a prefix of names (Linux 6.16)
    }
  };
  const bool walked = walk_attributes(attributes, [&](const NetlinkAttribute& attribute) {
    switch (attribute.type) {
      case NFTA_HOOK_HOOKNUM:
        number = attribute.big_endian32().value_or(UINT32_MAX);
        break;
      case NFTA_HOOK_PRIORITY:
        chain.priority = static_cast<int>(attribute.big_endian32().value_or(0));
        break;
      case NFTA_HOOK_DEV:
        chain.devices.emplace_back(attribute.text());
        break;
      case NFTA_HOOK_DEVS:
        fine = walk_attributes(attribute.data, add_device) && fine;
        break;
      default:
        others = true;
    }
  });
  chain.is_base = true;
  chain.hook = hook_of(chain.family, number);
  chain.any_device = chain.devices.empty() || others;
  return walked && fine;
}

bool NftablesDump::take_chain(int family, NetlinkBytes attributes) {
  FilterChain chain;
  chain.family = family;
  bool fine = true;
  const bool walked = walk_attributes(attributes, [&](const NetlinkAttribute& attribute) {
    switch (attribute.type) {
      case NFTA_CHAIN_TABLE:
        chain.table = attribute.text();
        break;
      case NFTA_CHAIN_NAME:
        chain.name = attribute.text();
        break;
      case NFTA_CHAIN_HOOK:
        fine = take_hook(attribute.data, chain) && fine;
        break;
      case NFTA_CHAIN_POLICY:
        chain.accepts = attribute.big_endian32() == std::uint32_t{NF_ACCEPT};
        break;
      case NFTA_CHAIN_TYPE:
        chain.is_nat = attribute.text() == "nat";
        break;
      default:
        break;
    }
  });
  if (!walked || !fine || rules_.chains.size() >= kMaxChains) return false;
  chains_.emplace(Name{family, chain.table, chain.name}, rules_.chains.size());
  rules_.chains.push_back(std::move(chain));
  return true;
}

bool NftablesDump::take_set(int family, NetlinkBytes attributes) {
  FilterSet set;
  set.family = family;
  bool fine = true;
  auto add_field = [&](const NetlinkAttribute& field) {
    fine = walk_attributes(field.data,
                           [&](const NetlinkAttribute& attribute) {
                             if (attribute.type != NFTA_SET_FIELD_LEN) return;
                             set.fields.push_back(attribute.big_endian32().value_or(0));
                           }) &&
           fine;
  };
  auto take_description = [&](const NetlinkAttribute& attribute) {
    if (attribute.type != NFTA_SET_DESC_CONCAT) return;
    fine = walk_attributes(attribute.data, add_field) && fine;
  };
  const bool walked = walk_attributes(attributes, [&](const NetlinkAttribute& attribute) {
    switch (attribute.type) {
      case NFTA_SET_TABLE:
        set.table = attribute.text();
        break;
      case NFTA_SET_NAME:
        set.name = attribute.text();
        break;
      case NFTA_SET_FLAGS:
        set.flags = attribute.big_endian32().value_or(0);
        break;
      case NFTA_SET_KEY_LEN:
        set.key_length = attribute.big_endian32().value_or(0);
        break;
      case NFTA_SET_DESC:
        fine = walk_attributes(attribute.data, take_description) && fine;
        break;
      default:
        break;
    }
  });
  if (!walked || !fine || set.key_length > NFT_DATA_VALUE_MAXLEN) return false;
  sets_.emplace(Name{family, set.table, set.name}, rules_.sets.size());
  rules_.sets.push_back(std::move(set));
  return true;
}

bool NftablesDump::take_elements(int family, NetlinkBytes attributes) {
  std::string table;
  std::string name;
  NetlinkBytes elements;
  const bool walked = walk_attributes(attributes, [&](const NetlinkAttribute& attribute) {
    if (attribute.type == NFTA_SET_ELEM_LIST_TABLE) table = attribute.text();
    if (attribute.type == NFTA_SET_ELEM_LIST_SET) name = attribute.text();
    if (attribute.type == NFTA_SET_ELEM_LIST_ELEMENTS) elements = attribute.data;
  });
  if (!walked) return false;
  auto found = sets_.find(Name{family, table, name});
  if (found == sets_.end()) return true;
  FilterSet& set = rules_.sets[found->second];
  bool fine = true;
  return walk_attributes(elements,
                         [&](const NetlinkAttribute& element) {
                           fine = fine && take_element(family, table, element.data, set);
                         }) &&
         fine;
}

bool NftablesDump::take_element(int family, const std::string& table, NetlinkBytes attributes,
                                FilterSet& set) const {
  const NftNames names{.chain = [&](const std::string& name) -> std::optional<std::size_t> {
                         auto found = chains_.find(Name{family, table, name});
                         if (found == chains_.end()) return {};
                         return found->second;
                       },
                       .set = [](const std::string&) { return std::nullopt; }};
  FilterSetElement element;
  std::optional<FilterVerdict> verdict;
  std::optional<FilterVerdict> none;
  std::uint32_t flags = 0;
  bool fine = true;
  auto expression = [&](NetlinkBytes data) {
    FilterRule rule;
    fine = read_nft_expression(data, names, rule) && fine;
    using Kind = FilterOperation::Kind;
    for (const FilterOperation& operation : rule.operations) {
      if (operation.kind != Kind::kNothing) element.uncertain = true;
    }
  };
  const bool walked = walk_attributes(attributes, [&](const NetlinkAttribute& attribute) {
    switch (attribute.type) {
      case NFTA_SET_ELEM_KEY:
        fine = read_nft_data(attribute.data, names, element.key, none) && fine;
        break;
      case NFTA_SET_ELEM_KEY_END:
        fine = read_nft_data(attribute.data, names, element.key_end, none) && fine;
        break;
      case NFTA_SET_ELEM_DATA:
        fine = read_nft_data(attribute.data, names, element.data, verdict) && fine;
        break;
      case NFTA_SET_ELEM_FLAGS:
        flags = attribute.big_endian32().value_or(0);
        break;
      case NFTA_SET_ELEM_TIMEOUT:
      case NFTA_SET_ELEM_EXPIRATION:
      case NFTA_SET_ELEM_OBJREF:
        element.uncertain = true;
        break;
      case NFTA_SET_ELEM_EXPR:
        expression(attribute.data);
        break;
      case NFTA_SET_ELEM_EXPRESSIONS:
        fine = walk_attributes(attribute.data,
                               [&](const NetlinkAttribute& inner) { expression(inner.data); }) &&
               fine;
        break;
      default:
        break;
    }
  });
  if (!walked || !fine || none) return false;
  element.interval_end = (flags & NFT_SET_ELEM_INTERVAL_END) != 0;
  element.catch_all = (flags & NFT_SET_ELEM_CATCHALL) != 0;
  if (verdict) element.verdict = *verdict;
  if (!element.catch_all && element.key.size() != set.key_length) return false;
  if (!element.key_end.empty() && element.key_end.size() != set.key_length) return false;
  set.elements.push_back(std::move(element));
  return true;
}

void NftablesDump::complete_set(std::size_t set) {
  FilterSet& done = rules_.sets[set];
  done.complete = true;
  if ((done.flags & NFT_SET_INTERVAL) == 0) return;
  // Where one interval ends at the value at which another begins, the beginning comes last.
  std::ranges::sort(done.elements, [](const auto& left, const auto& right) {
    // The element for all the rest has no key.
    if (left.key.size() != right.key.size()) return left.key.size() < right.key.size();
    const std::size_t size = left.key.size();
    const int order = size == 0 ? 0 : std::memcmp(left.key.data(), right.key.data(), size);
    if (order != 0) return order < 0;
    return left.interval_end && !right.interval_end;
  });
}

bool NftablesDump::take_rule(int family, NetlinkBytes attributes) {
  std::string table;
  std::string name;
  NetlinkBytes expressions;
  FilterRule rule;
  const bool walked = walk_attributes(attributes, [&](const NetlinkAttribute& attribute) {
    if (attribute.type == NFTA_RULE_TABLE) table = attribute.text();
    if (attribute.type == NFTA_RULE_CHAIN) name = attribute.text();
    if (attribute.type == NFTA_RULE_EXPRESSIONS) expressions = attribute.data;
    if (attribute.type == NFTA_RULE_USERDATA) rule.comment = comment_of(attribute.data);
  });
  auto chain = chains_.find(Name{family, table, name});
  if (!walked || chain == chains_.end()) return false;
  auto find = [&](const std::map<Name, std::size_t>& all, const std::string& wanted) {
    auto found = all.find(Name{family, table, wanted});
    return found == all.end() ? std::nullopt : std::optional(found->second);
  };
  const NftNames names{.chain = [&](const std::string& wanted) { return find(chains_, wanted); },
                       .set = [&](const std::string& wanted) { return find(sets_, wanted); }};
  bool fine = true;
  const bool read = walk_attributes(expressions, [&](const NetlinkAttribute& expression) {
    fine = fine && read_nft_expression(expression.data, names, rule);
  });
  if (!read || !fine) return false;
  for (const FilterOperation& operation : rule.operations) {
    if (operation.name == "comment" && rule.comment.empty()) {
      rule.comment.assign(operation.value.begin(), operation.value.end());
    }
  }
  rules_.chains[chain->second].rules.push_back(std::move(rule));
  return true;
}

namespace {

// Reads one ruleset; `words` say why that failed, and `again` whether it may succeed next time.
class Reader {
 public:
  Reader(NetlinkSocket& socket, Clock::time_point end) : socket_(socket), end_(end) {}

  // No value: nftables is not there, or trouble().
  std::optional<std::uint32_t> generation();
  bool read();
  bool not_there() const { return not_there_; }
  FilterRules take() { return std::move(dump_.rules()); }
  const std::string& trouble() const { return trouble_; }

 private:
  NetlinkLimits limits() const;
  NetlinkAnswer ask(NetlinkRequest& request);
  bool list(std::uint16_t type);
  bool list_elements();
  bool fail(const NetlinkAnswer& answer);

  NetlinkSocket& socket_;
  Clock::time_point end_;
  NftablesDump dump_;
  bool not_there_ = false;
  std::string trouble_;
};

NetlinkLimits Reader::limits() const {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end_ - Clock::now());
  NetlinkLimits limits;
  limits.time = std::clamp(left, std::chrono::milliseconds(0), limits.time);
  return limits;
}

NetlinkAnswer Reader::ask(NetlinkRequest& request) { return socket_.ask(request, limits()); }

bool Reader::fail(const NetlinkAnswer& answer) {
  trouble_ = answer.reason().empty() ? "malformed answer" : answer.reason();
  return false;
}

std::optional<std::uint32_t> Reader::generation() {
  auto request = request_for(NFT_MSG_GETGEN, 0);
  const NetlinkAnswer answer = ask(request);
  // No such subsystem of nfnetlink.
  if (answer.status() == NetlinkStatus::kRefused && answer.error() == EINVAL) not_there_ = true;
  std::optional<std::uint32_t> generation;
  if (const auto message = answer.first()) {
    const bool fine =
        walk_attributes(message->attributes(sizeof(nfgenmsg)), [&](const NetlinkAttribute& one) {
          if (one.type == NFTA_GEN_ID) generation = one.big_endian32();
        });
    if (!fine) generation.reset();
  }
  if (!generation) fail(answer);
  return generation;
}

bool Reader::list(std::uint16_t type) {
  auto request = request_for(type, NLM_F_DUMP);
  const NetlinkAnswer answer = ask(request);
  if (!answer.complete()) return fail(answer);
  NetlinkMessages walk = answer.messages();
  for (NetlinkMessage message; walk.next(message);) {
    if (!dump_.take(message)) {
      trouble_ = "an answer that is malformed or too large";
      return false;
    }
  }
  return true;
}

// A set that is too large, or one too many, stays incomplete: what is looked up in it is unknown.
bool Reader::list_elements() {
  std::size_t elements = 0;
  std::size_t bytes = 0;
  const std::size_t count = std::min(dump_.rules().sets.size(), kMaxSets);
  for (std::size_t i = 0; i < count; ++i) {
    if (elements >= kMaxElements || bytes >= kMaxSetBytes || Clock::now() >= end_) return true;
    auto request = request_for(NFT_MSG_GETSETELEM, NLM_F_DUMP, dump_.rules().sets[i].family);
    request.text(NFTA_SET_ELEM_LIST_TABLE, dump_.rules().sets[i].table)
        .text(NFTA_SET_ELEM_LIST_SET, dump_.rules().sets[i].name);
    const NetlinkAnswer answer = ask(request);
    if (answer.status() == NetlinkStatus::kUnknown && answer.error() == EOVERFLOW) continue;
    if (!answer.complete()) return fail(answer);
    NetlinkMessages walk = answer.messages();
    bool fine = true;
    for (NetlinkMessage message; fine && walk.next(message);) {
      bytes += message.payload.size();
      fine = dump_.take(message);
    }
    elements += dump_.rules().sets[i].elements.size();
    if (fine) dump_.complete_set(i);
  }
  return true;
}

bool Reader::read() {
  dump_ = NftablesDump();
  if (!list(NFT_MSG_GETCHAIN)) return false;
  if (std::ranges::none_of(dump_.rules().chains, &FilterChain::is_base)) return true;
  return list(NFT_MSG_GETTABLE) && list(NFT_MSG_GETSET) && list_elements() && list(NFT_MSG_GETRULE);
}

FilterRules trouble(const std::string& words) {
  FilterRules none;
  none.trouble = "nftables cannot be read: " + words;
  return none;
}

}  // namespace

FilterRules read_nftables(NetlinkSocket& socket, Clock::time_point end) {
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    Reader reader(socket, end);
    const auto before = reader.generation();
    if (reader.not_there()) return {};
    if (!before) return trouble(reader.trouble());
    const bool fine = reader.read();
    const auto after = reader.generation();
    if (after == before) return fine ? reader.take() : trouble(reader.trouble());
  }
  return trouble("the rules kept changing");
}

}  // namespace sockswitch
