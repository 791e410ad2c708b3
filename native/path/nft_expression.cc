#include "path/nft_expression.h"

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>

#include <array>
#include <utility>

#include "path/xt_extension.h"

namespace sockswitch {
namespace {

using Kind = FilterOperation::Kind;

// What the kernel allows for one value, and for offsets and lengths of loads.
constexpr std::size_t kMaxValue = NFT_DATA_VALUE_MAXLEN;
constexpr std::uint32_t kMaxLength = 0xff;
constexpr std::size_t kMaxAttributes = 32;

// The attributes of one expression by number; all of nf_tables' numbers are big-endian.
class Attributes {
 public:
  explicit Attributes(NetlinkBytes bytes)
      : ok_(walk_attributes(bytes, [this](const NetlinkAttribute& attribute) {
          if (attribute.type < found_.size()) found_[attribute.type] = attribute;
        })) {}
  bool ok() const { return ok_; }
  bool has(std::size_t type) const { return found_[type].has_value(); }
  NetlinkBytes bytes(std::size_t type) const {
    return found_[type] ? found_[type]->data : NetlinkBytes();
  }
  std::string text(std::size_t type) const {
    return found_[type] ? std::string(found_[type]->text()) : std::string();
  }
  // `otherwise` also where the attribute has another size: callers choose a value that is unknown
  // to them.
  std::uint32_t number(std::size_t type, std::uint32_t otherwise = 0) const {
    return found_[type] ? found_[type]->big_endian32().value_or(otherwise) : otherwise;
  }
  std::optional<std::uint16_t> reg(std::size_t type) const;

 private:
  std::array<std::optional<NetlinkAttribute>, kMaxAttributes> found_;
  bool ok_;
};

// The register's place in the register file: four of 16 bytes after the verdict's 16, which can be
// named in words of four bytes, too. No value for the verdict register and for what is none.
std::optional<std::uint16_t> register_offset(std::uint32_t number) {
  constexpr std::uint32_t kWord = 4;
  constexpr std::uint32_t kWide = 16;
  if (number >= NFT_REG_1 && number <= NFT_REG_4) return number * kWide;
  if (number >= NFT_REG32_00 && number <= NFT_REG32_15) {
    return kWide + ((number - NFT_REG32_00) * kWord);
  }
  return {};
}

std::optional<std::uint16_t> Attributes::reg(std::size_t type) const {
  return has(type) ? register_offset(number(type, UINT32_MAX)) : std::nullopt;
}

FilterVerdict verdict_of(const Attributes& attributes, const NftNames& names) {
  using Verdict = FilterVerdict::Kind;
  const auto code =
      static_cast<std::int32_t>(attributes.number(NFTA_VERDICT_CODE, UINT32_MAX - 99));
  switch (code) {
    case NFT_CONTINUE:
    case NFT_BREAK:
      return {Verdict::kContinue};
    case NFT_RETURN:
      return {Verdict::kReturn};
    case NFT_JUMP:
    case NFT_GOTO:
      if (auto chain = names.chain(attributes.text(NFTA_VERDICT_CHAIN))) {
        return {code == NFT_JUMP ? Verdict::kJump : Verdict::kGoto, *chain};
      }
      return {Verdict::kUnknown};
    default:
      break;
  }
  if (code < 0) return {Verdict::kUnknown};
  switch (static_cast<std::uint32_t>(code) & NF_VERDICT_MASK) {
    case NF_ACCEPT:
      return {Verdict::kAccept};
    case NF_DROP:
      return {Verdict::kDrop};
    case NF_QUEUE:
      return {Verdict::kQueue};
    default:
      return {Verdict::kUnknown};
  }
}

FilterOperation unknown_load(const Attributes& attributes, std::size_t target) {
  FilterOperation load{.kind = Kind::kLoadUnknown, .length = static_cast<std::uint32_t>(kMaxValue)};
  auto offset = attributes.reg(target);
  if (!offset) return {.kind = Kind::kPerhaps};
  load.target = *offset;
  return load;
}

FilterOperation payload(const Attributes& attributes) {
  const std::uint32_t base = attributes.number(NFTA_PAYLOAD_BASE, UINT32_MAX);
  if (attributes.has(NFTA_PAYLOAD_SREG)) {
    // A changed link-layer header leads to another machine, too.
    return {.kind = Kind::kMayTranslate};
  }
  auto target = attributes.reg(NFTA_PAYLOAD_DREG);
  if (!target) return {.kind = Kind::kUnknown};
  FilterOperation load{.kind = Kind::kLoadPayload};
  load.target = *target;
  load.key = base;
  load.offset = attributes.number(NFTA_PAYLOAD_OFFSET, UINT32_MAX);
  load.length = attributes.number(NFTA_PAYLOAD_LEN, UINT32_MAX);
  if (load.length > kMaxLength || load.offset > kMaxLength) {
    load.kind = Kind::kLoadUnknown;
    load.length = kMaxValue;
  }
  return load;
}

FilterOperation meta(const Attributes& attributes) {
  const std::uint32_t key = attributes.number(NFTA_META_KEY, UINT32_MAX);
  if (attributes.has(NFTA_META_SREG)) {
    if (key != NFT_META_MARK) return {};  // priority, trace, packet type, security mark
    auto source = attributes.reg(NFTA_META_SREG);
    if (!source) return {.kind = Kind::kMarkUnknown};
    FilterOperation set{.kind = Kind::kSetMark};
    set.source = *source;
    return set;
  }
  auto target = attributes.reg(NFTA_META_DREG);
  if (!target) return {.kind = Kind::kUnknown};
  FilterOperation load{.kind = Kind::kLoadMeta};
  load.target = *target;
  load.key = key;
  return load;
}

FilterOperation ct(const Attributes& attributes) {
  // Marks, labels and zones of the connection are never taken for known.
  if (attributes.has(NFTA_CT_SREG)) return {};
  auto target = attributes.reg(NFTA_CT_DREG);
  if (!target) return {.kind = Kind::kUnknown};
  FilterOperation load{.kind = Kind::kLoadCt};
  load.target = *target;
  load.key = attributes.number(NFTA_CT_KEY, UINT32_MAX);
  if (attributes.has(NFTA_CT_DIRECTION)) load.key = UINT32_MAX;
  load.length = kMaxValue;
  return load;
}

FilterOperation fib(const Attributes& attributes) {
  auto target = attributes.reg(NFTA_FIB_DREG);
  if (!target) return {.kind = Kind::kUnknown};
  FilterOperation load{.kind = Kind::kLoadFib};
  load.target = *target;
  load.key = attributes.number(NFTA_FIB_RESULT, UINT32_MAX);
  load.offset = attributes.number(NFTA_FIB_FLAGS, UINT32_MAX);
  load.length = kMaxValue;
  return load;
}

// False if a value in it is malformed.
bool value_of(const Attributes& attributes, std::size_t type, const NftNames& names,
              FilterBytes& value) {
  std::optional<FilterVerdict> verdict;
  return read_nft_data(attributes.bytes(type), names, value, verdict) && !verdict;
}

bool immediate(const Attributes& attributes, const NftNames& names, FilterOperation& operation) {
  std::optional<FilterVerdict> verdict;
  if (!read_nft_data(attributes.bytes(NFTA_IMMEDIATE_DATA), names, operation.value, verdict)) {
    return false;
  }
  if (verdict) {
    operation.kind = Kind::kVerdict;
    operation.verdict = *verdict;
    return true;
  }
  auto target = attributes.reg(NFTA_IMMEDIATE_DREG);
  operation.kind = target ? Kind::kImmediate : Kind::kUnknown;
  operation.target = target.value_or(0);
  return true;
}

bool bitwise(const Attributes& attributes, const NftNames& names, FilterOperation& operation) {
  auto source = attributes.reg(NFTA_BITWISE_SREG);
  auto target = attributes.reg(NFTA_BITWISE_DREG);
  operation.length = attributes.number(NFTA_BITWISE_LEN, UINT32_MAX);
  if (!source || !target || operation.length > kMaxValue) {
    operation.kind = Kind::kUnknown;
    return true;
  }
  operation.source = *source;
  operation.target = *target;
  if (!value_of(attributes, NFTA_BITWISE_MASK, names, operation.value) ||
      !value_of(attributes, NFTA_BITWISE_XOR, names, operation.second)) {
    return false;
  }
  // Shifts, and operations on two registers (Linux 6.13), have neither mask nor xor.
  const bool simple = attributes.number(NFTA_BITWISE_OP) == NFT_BITWISE_MASK_XOR &&
                      operation.value.size() == operation.length &&
                      operation.second.size() == operation.length;
  operation.kind = simple ? Kind::kBitwise : Kind::kLoadUnknown;
  return true;
}

FilterOperation byte_order(const Attributes& attributes) {
  auto source = attributes.reg(NFTA_BYTEORDER_SREG);
  auto target = attributes.reg(NFTA_BYTEORDER_DREG);
  FilterOperation operation{.kind = Kind::kByteOrder};
  operation.length = attributes.number(NFTA_BYTEORDER_LEN, UINT32_MAX);
  operation.key = attributes.number(NFTA_BYTEORDER_SIZE, UINT32_MAX);
  const bool size_known = operation.key == 2 || operation.key == 4 || operation.key == 8;
  if (!source || !target || !size_known || operation.length > kMaxValue) {
    return {.kind = Kind::kUnknown};
  }
  operation.source = *source;
  operation.target = *target;
  return operation;
}

bool compare(const Attributes& attributes, const NftNames& names, FilterOperation& operation) {
  auto source = attributes.reg(NFTA_CMP_SREG);
  operation.kind = source ? Kind::kCompare : Kind::kUnknown;
  operation.source = source.value_or(0);
  operation.key = attributes.number(NFTA_CMP_OP, UINT32_MAX);
  return value_of(attributes, NFTA_CMP_DATA, names, operation.value);
}

bool range(const Attributes& attributes, const NftNames& names, FilterOperation& operation) {
  auto source = attributes.reg(NFTA_RANGE_SREG);
  const std::uint32_t op = attributes.number(NFTA_RANGE_OP, UINT32_MAX);
  const bool known = source && (op == NFT_RANGE_EQ || op == NFT_RANGE_NEQ);
  operation.kind = known ? Kind::kRange : Kind::kUnknown;
  operation.source = source.value_or(0);
  operation.inverted = op == NFT_RANGE_NEQ;
  return value_of(attributes, NFTA_RANGE_FROM_DATA, names, operation.value) &&
         value_of(attributes, NFTA_RANGE_TO_DATA, names, operation.second) &&
         operation.value.size() == operation.second.size();
}

FilterOperation lookup(const Attributes& attributes, const NftNames& names) {
  auto source = attributes.reg(NFTA_LOOKUP_SREG);
  auto set = names.set(attributes.text(NFTA_LOOKUP_SET));
  if (!source || !set) return {.kind = Kind::kUnknown};
  FilterOperation operation{.kind = Kind::kLookup};
  operation.source = *source;
  operation.set = *set;
  operation.inverted = (attributes.number(NFTA_LOOKUP_FLAGS) & NFT_LOOKUP_F_INV) != 0;
  operation.is_map = attributes.has(NFTA_LOOKUP_DREG);
  operation.target = attributes.reg(NFTA_LOOKUP_DREG).value_or(0);  // 0: the verdict register
  return operation;
}

FilterOperation nat(const Attributes& attributes) {
  switch (attributes.number(NFTA_NAT_TYPE, UINT32_MAX)) {
    case NFT_NAT_DNAT:
      return {.kind = Kind::kTranslate};
    case NFT_NAT_SNAT:
      return {.kind = Kind::kSourceNat};
    default:
      return {.kind = Kind::kUnknown};
  }
}

FilterOperation object_reference(const Attributes& attributes) {
  // Objects out of a map may limit; so may all but counters.
  const bool counts = attributes.number(NFTA_OBJREF_IMM_TYPE) == NFT_OBJECT_COUNTER;
  return {.kind = counts ? Kind::kNothing : Kind::kPerhaps};
}

FilterOperation xt_match(const Attributes& attributes) {
  return xt_match_operation(attributes.text(NFTA_MATCH_NAME),
                            attributes.number(NFTA_MATCH_REV, UINT32_MAX),
                            attributes.bytes(NFTA_MATCH_INFO));
}

// Expressions whose attributes say nothing that matters here.
const std::array<std::pair<std::string_view, FilterOperation::Kind>, 19> kPlain{{
    {"counter", Kind::kNothing}, {"log", Kind::kNothing},          {"last", Kind::kNothing},
    {"dup", Kind::kNothing},     {"flow_offload", Kind::kNothing}, {"secmark", Kind::kNothing},
    {"limit", Kind::kPerhaps},   {"quota", Kind::kPerhaps},        {"connlimit", Kind::kPerhaps},
    {"dynset", Kind::kPerhaps},  {"notrack", Kind::kUntrack},      {"masq", Kind::kMasquerade},
    {"redir", Kind::kTranslate}, {"tproxy", Kind::kTranslate},     {"fwd", Kind::kTranslate},
    {"reject", Kind::kRefuse},   {"reject_bridge", Kind::kRefuse}, {"queue", Kind::kQueue},
    {"synproxy", Kind::kQueue},
}};

// Expressions that load what is not known, with the number of their target's attribute. Those that
// can write (exthdr) change options of a packet only.
struct UnknownLoad {
  std::string_view name;
  std::size_t target;
};
constexpr std::array<UnknownLoad, 8> kUnknownLoads{{
    {"rt", NFTA_RT_DREG},
    {"hash", NFTA_HASH_DREG},
    {"numgen", NFTA_NG_DREG},
    {"exthdr", NFTA_EXTHDR_DREG},
    {"osf", NFTA_OSF_DREG},
    {"socket", NFTA_SOCKET_DREG},
    {"xfrm", NFTA_XFRM_DREG},
    {"tunnel", NFTA_TUNNEL_DREG},
}};

std::optional<FilterOperation> simple(std::string_view name, const Attributes& attributes) {
  for (const auto& [plain, kind] : kPlain) {
    if (name == plain) return FilterOperation{.kind = kind};
  }
  for (const auto& load : kUnknownLoads) {
    if (name == load.name) return unknown_load(attributes, load.target);
  }
  return {};
}

bool read_operation(std::string_view name, const Attributes& attributes, const NftNames& names,
                    FilterOperation& operation) {
  if (name == "immediate") return immediate(attributes, names, operation);
  if (name == "bitwise") return bitwise(attributes, names, operation);
  if (name == "cmp") return compare(attributes, names, operation);
  if (name == "range") return range(attributes, names, operation);
  if (auto known = simple(name, attributes)) {
    operation = *known;
  } else if (name == "payload") {
    operation = payload(attributes);
  } else if (name == "meta") {
    operation = meta(attributes);
  } else if (name == "ct") {
    operation = ct(attributes);
  } else if (name == "fib") {
    operation = fib(attributes);
  } else if (name == "byteorder") {
    operation = byte_order(attributes);
  } else if (name == "lookup") {
    operation = lookup(attributes, names);
  } else if (name == "nat") {
    operation = nat(attributes);
  } else if (name == "objref") {
    operation = object_reference(attributes);
  } else if (name == "match") {
    operation = xt_match(attributes);
  } else if (name == "target") {
    operation = xt_target_operation(attributes.text(NFTA_TARGET_NAME),
                                    attributes.number(NFTA_TARGET_REV, UINT32_MAX),
                                    attributes.bytes(NFTA_TARGET_INFO));
  } else {
    operation.kind = Kind::kUnknown;
  }
  return true;
}

}  // namespace

bool read_nft_data(NetlinkBytes attributes, const NftNames& names, FilterBytes& value,
                   std::optional<FilterVerdict>& verdict) {
  bool fine = true;
  const bool walked = walk_attributes(attributes, [&](const NetlinkAttribute& attribute) {
    if (attribute.type == NFTA_DATA_VALUE) {
      fine = fine && attribute.data.size() <= kMaxValue;
      if (fine) value.assign(attribute.data.begin(), attribute.data.end());
    } else if (attribute.type == NFTA_DATA_VERDICT) {
      const Attributes inner(attribute.data);
      fine = fine && inner.ok();
      verdict = verdict_of(inner, names);
    }
  });
  return walked && fine;
}

bool read_nft_expression(NetlinkBytes attributes, const NftNames& names, FilterRule& rule) {
  std::string name;
  NetlinkBytes data;
  const bool walked = walk_attributes(attributes, [&](const NetlinkAttribute& attribute) {
    if (attribute.type == NFTA_EXPR_NAME) name = attribute.text();
    if (attribute.type == NFTA_EXPR_DATA) data = attribute.data;
  });
  const Attributes read(data);
  if (!walked || !read.ok()) return false;
  FilterOperation operation;
  if (!read_operation(name, read, names, operation)) return false;
  rule.operations.push_back(std::move(operation));
  return true;
}

}  // namespace sockswitch
