// Rules of packet filters, as path/nftables.cc and path/xtables.cc read them and
// path/filter_evaluation.cc evaluates them. nftables' model serves both: a rule is a list of
// operations on registers; one that does not match ends the rule, a verdict ends it, too.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sockswitch {

using FilterBytes = std::vector<std::uint8_t>;

struct FilterVerdict {
  enum class Kind : std::uint8_t {
    kContinue,
    kAccept,
    kDrop,
    kQueue,
    kReturn,
    kJump,
    kGoto,
    kUnknown,
  };
  Kind kind = Kind::kContinue;
  std::size_t chain = 0;  // of kJump and kGoto: its place in FilterRules::chains
};

// What the operation does; in brackets the fields that it uses.
struct FilterOperation {
  enum class Kind : std::uint8_t {
    kNothing,       // counters, log, comments
    kPerhaps,       // a match that is not understood
    kLoadPayload,   // [key: base, offset, length, target]
    kLoadMeta,      // [key: NFT_META_*, target]
    kLoadCt,        // [key: NFT_CT_*, length (0: not known), target]
    kLoadFib,       // [key: NFT_FIB_RESULT_*, offset: NFTA_F_FIB_* flags, target]
    kLoadUnknown,   // [target, length]: a value that is not known, or the rule ends
    kImmediate,     // [target, value]
    kBitwise,       // [source, target, length, value: mask, second: xor]
    kByteOrder,     // [source, target, length, key: 2, 4 or 8]
    kCompare,       // [source, key: NFT_CMP_*, value]
    kRange,         // [source, value: from, second: to, inverted]
    kLookup,        // [source, target (verdict: into a map of verdicts), set, inverted, is_map]
    kVerdict,       // [verdict]
    kSetMark,       // [source]: the packet's mark is that register
    kMaskMark,      // [value: mask, second: mark]: mark = (mark & ~value) ^ second; four bytes each
    kMarkUnknown,   // the mark may be anything from here on
    kUntrack,       // the packet may be without a connection from here on
    kXtMatch,       // [name, revision, value]: an xtables extension
    kXtPacket,      // [value]: struct ipt_ip or ip6t_ip6, [key]: AF_INET or AF_INET6
    kTranslate,     // ends: another destination
    kMayTranslate,  // a changed header: perhaps another destination
    kSourceNat,     // ends: another source
    kMasquerade,    // ends: the device's address is the source
    kRefuse,        // ends: dropped or rejected
    kQueue,         // ends: a program or another mechanism decides
    kUnknown,       // may do anything
  };
  Kind kind = Kind::kNothing;
  bool inverted = false;
  bool is_map = false;
  bool names_destination = false;  // of kXtPacket: it matches a given destination
  std::uint8_t revision = 0;
  std::uint16_t source = 0;  // offsets into the register file, in bytes
  std::uint16_t target = 0;
  std::uint32_t length = 0;  // in bytes
  std::uint32_t key = 0;
  std::uint32_t offset = 0;
  std::size_t set = 0;
  FilterVerdict verdict;
  FilterBytes value;
  FilterBytes second;
  std::string name;
};

struct FilterRule {
  std::vector<FilterOperation> operations;
  std::string comment;  // nft's or xtables'
};

struct FilterSetElement {
  FilterBytes key;
  FilterBytes key_end;        // inclusive, field by field; empty: the key is one value
  bool interval_end = false;  // of a set of intervals without key_end: first value after one
  bool catch_all = false;
  bool uncertain = false;  // it may time out, or a limit decides
  FilterBytes data;        // of a map
  FilterVerdict verdict;   // of a verdict map
};

struct FilterSet {
  std::string table;
  std::string name;
  int family = 0;
  std::uint32_t flags = 0;  // NFT_SET_*
  std::size_t key_length = 0;
  std::vector<std::size_t> fields;  // lengths of a concatenation's, each padded to four bytes
  bool complete = false;            // all elements are there
  std::vector<FilterSetElement> elements;  // intervals without key_end: sorted by key
};

enum class FilterHook : std::uint8_t {  // NF_INET_*
  kPrerouting,
  kInput,
  kForward,
  kOutput,
  kPostrouting,
  kIngress,
  kEgress,  // netdev family only (Linux 5.16)
  kOther,
};

struct FilterChain {
  enum class Origin : std::uint8_t { kNftables, kIptables, kIp6tables, kArptables };
  Origin origin = Origin::kNftables;
  int family = 0;  // NFPROTO_*
  std::string table;
  std::string name;
  bool is_base = false;
  bool dormant = false;  // its table is switched off
  // Of base chains.
  FilterHook hook = FilterHook::kOther;
  int priority = 0;
  bool is_nat = false;
  bool accepts = true;               // policy
  bool any_device = true;            // otherwise:
  std::vector<std::string> devices;  // netdev and inet ingress
  std::vector<FilterRule> rules;

  // "nftables: table inet filter, chain output", "iptables-legacy: table filter".
  std::string words() const;
};

struct FilterRules {
  std::vector<FilterChain> chains;
  std::vector<FilterSet> sets;
  std::optional<std::string> trouble;  // why this is not all there is: "nftables: ..."
};

}  // namespace sockswitch
