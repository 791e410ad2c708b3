#include "switch/guard_program.h"

#include <cstddef>

#include "base/public_address.h"
#include "kernel/linux_abi.h"

namespace sockswitch {
namespace {

// A TCP socket's filter sees the segment from the TCP header on (RFC 9293, section 3.1); what lies
// before it has offsets from SKF_NET_OFF.
constexpr int kSourcePort = 0;
constexpr int kDestinationPort = 2;
constexpr int kFlags = 13;
constexpr std::uint32_t kSyn = 0x02;
constexpr std::uint32_t kReset = 0x04;
constexpr std::uint32_t kAck = 0x10;
constexpr int kVersion = SKF_NET_OFF;  // and the header's length
constexpr std::uint32_t kVersionBits = 0xF0;
constexpr std::uint32_t kVersion4 = 0x40;
constexpr int kSource4 = SKF_NET_OFF + 12;
constexpr int kSource6 = SKF_NET_OFF + 8;
constexpr std::uint32_t kLoopbackNet = 127;
constexpr std::uint32_t kWholeSegment = 0xFFFFFFFF;

// One instruction on the accumulator, alike in both languages but for its encoding.
struct Step {
  enum class Kind : std::uint8_t { kLoad, kLoadDevice, kAnd, kJumpIf, kJumpUnless, kJump };
  Kind kind;
  std::uint32_t value = 0;  // offset or operand
  std::uint8_t size = BPF_B;
  std::size_t to = 0;  // a label
};

class Program {
 public:
  using Label = std::size_t;

  Label new_label() {
    places_.push_back(0);
    return places_.size() - 1;
  }
  // The label stands before the next step.
  void place(Label label) { places_[label] = steps_.size(); }

  void load(int offset, std::uint8_t size = BPF_B) {
    steps_.push_back(
        {.kind = Step::Kind::kLoad, .value = static_cast<std::uint32_t>(offset), .size = size});
  }
  void load_device() { steps_.push_back({.kind = Step::Kind::kLoadDevice}); }
  void keep_bits(std::uint32_t bits) {
    steps_.push_back({.kind = Step::Kind::kAnd, .value = bits});
  }
  void jump_if(std::uint32_t value, Label to) {
    steps_.push_back({.kind = Step::Kind::kJumpIf, .value = value, .to = to});
  }
  void jump_unless(std::uint32_t value, Label to) {
    steps_.push_back({.kind = Step::Kind::kJumpUnless, .value = value, .to = to});
  }
  void jump(Label to) { steps_.push_back({.kind = Step::Kind::kJump, .to = to}); }

  const std::vector<Step>& steps() const { return steps_; }
  // How many steps there are between step `index` and the one that it jumps to.
  std::size_t distance(std::size_t index) const { return places_[steps_[index].to] - index - 1; }

  // Behind the last step: take comes first, drop follows.
  static constexpr Label kTake = 0;
  static constexpr Label kDrop = 1;
  void finish() {
    places_[kTake] = steps_.size();
    places_[kDrop] = steps_.size() + 1;
  }

 private:
  std::vector<std::size_t> places_ = std::vector<std::size_t>(2);
  std::vector<Step> steps_;
};

std::uint32_t word(const Address& address, std::size_t index) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i) value = value << 8 | address.bytes.at(4 * index + i);
  return value;
}

bool is_countable(const GuardRole& role) { return role.own.size() <= kMaxOwnAddresses; }

std::vector<Address> own_addresses(const GuardRole& role) {
  return is_countable(role) ? role.own : std::vector<Address>();
}

// Goes on only with what comes by the loopback device, and not from the neighbour.
void take_what_comes_from_elsewhere(Program& program, const GuardRole& role) {
  program.load_device();
  program.jump_unless(abi::kLoopbackDevice, Program::kTake);
  if (role.kind == GuardKind::kNeighbour) {
    program.load(kSourcePort, BPF_H);
    program.jump_if(role.port, Program::kTake);
  }
}

void drop_ipv4_that_is_not_public(Program& program) {
  for (const Ipv4Block& closed : closed_ipv4()) {
    program.load(kSource4, BPF_W);
    program.keep_bits(closed.mask);
    program.jump_if(closed.network, Program::kDrop);
  }
}

// A bit at a time, with the same constants whatever the bit is: whoever asks for the program
// chooses between two jumps, and no number that stands in it (programs/guard.cc).
void drop_ipv4_outside(Program& program, const Ipv4Block& network) {
  constexpr int kBits = 32;
  for (int index = 0; index < kBits; ++index) {
    const std::uint32_t bit = 1U << static_cast<unsigned>(kBits - 1 - index);
    if ((network.mask & bit) == 0) continue;
    program.load(kSource4 + index / 8);
    program.keep_bits(1U << static_cast<unsigned>(7 - index % 8));
    if ((network.network & bit) != 0) {
      program.jump_if(0, Program::kDrop);
    } else {
      program.jump_unless(0, Program::kDrop);
    }
  }
}

void drop_ipv4_of_this_machine(Program& program, const GuardRole& role) {
  if (role.kind == GuardKind::kPodClient) drop_ipv4_that_is_not_public(program);
  if (role.kind == GuardKind::kPodNetwork) drop_ipv4_outside(program, role.network);
  program.load(kSource4);
  program.jump_if(kLoopbackNet, Program::kDrop);
  take_what_comes_from_elsewhere(program, role);
  program.load(kSource4, BPF_W);
  for (const Address& address : own_addresses(role)) {
    if (address.is_v4()) program.jump_if(address.v4(), Program::kDrop);
  }
  program.jump(is_countable(role) ? Program::kTake : Program::kDrop);
}

void drop_ipv6_that_is_not_public(Program& program) {
  for (const Ipv6Head& closed : closed_ipv6()) {
    program.load(kSource6, BPF_W);
    program.keep_bits(closed.mask);
    program.jump_if(closed.network, Program::kDrop);
  }
}

void drop_ipv6_of_this_machine(Program& program, const GuardRole& role) {
  if (role.kind == GuardKind::kPodClientV6) drop_ipv6_that_is_not_public(program);
  take_what_comes_from_elsewhere(program, role);
  for (const Address& address : own_addresses(role)) {
    if (address.is_v4()) continue;
    const auto next = program.new_label();
    for (std::size_t i = 0; i < 4; ++i) {
      program.load(kSource6 + static_cast<int>(4 * i), BPF_W);
      program.jump_unless(word(address, i), next);
    }
    program.jump(Program::kDrop);
    program.place(next);
  }
  program.jump(is_countable(role) ? Program::kTake : Program::kDrop);
}

void drop_what_is_not_for_it(Program& program, const GuardRole& role) {
  const auto version6 = program.new_label();
  program.load(kVersion);
  program.keep_bits(kVersionBits);
  if (role.kind == GuardKind::kPodClient || role.kind == GuardKind::kPodNetwork) {
    program.jump_unless(kVersion4, Program::kDrop);
    return drop_ipv4_of_this_machine(program, role);
  }
  if (role.kind == GuardKind::kPodClientV6) {
    program.jump_if(kVersion4, Program::kDrop);
    return drop_ipv6_of_this_machine(program, role);
  }
  switch (role.family) {
    case GuardFamily::kV4:
      program.jump_unless(kVersion4, Program::kDrop);
      return drop_ipv4_of_this_machine(program, role);
    case GuardFamily::kV6:
      program.jump_if(kVersion4, Program::kDrop);
      return drop_ipv6_of_this_machine(program, role);
    case GuardFamily::kBoth:
      break;
  }
  program.jump_unless(kVersion4, version6);
  drop_ipv4_of_this_machine(program, role);
  program.place(version6);
  drop_ipv6_of_this_machine(program, role);
}

// Of what has come to a service's port. What gets to the end is taken.
void drop_loopback_clients(Program& program, const GuardRole& role) {
  const auto version6 = program.new_label();
  program.load(kVersion);
  program.keep_bits(kVersionBits);
  program.jump_unless(kVersion4, version6);
  program.load(kSource4);
  program.jump_unless(kLoopbackNet, Program::kTake);
  program.load(kSourcePort, BPF_H);
  program.jump_if(role.port, Program::kTake);
  program.jump(Program::kDrop);
  program.place(version6);
  for (int index = 0; index < 4; ++index) {
    program.load(kSource6 + 4 * index, BPF_W);
    program.jump_unless(index == 3 ? 1 : 0, Program::kTake);
  }
  program.jump(Program::kDrop);
}

// What gets to the end is taken.
Program program_of(const GuardRole& role) {
  Program program;
  program.load(kFlags);
  if (is_service(role.kind)) {
    program.keep_bits(kSyn | kAck);
    program.jump_if(kSyn | kAck, Program::kDrop);
    program.jump_unless(kSyn, Program::kTake);
    program.load(kDestinationPort, BPF_H);
    program.jump_unless(role.port, Program::kDrop);
    if (role.kind == GuardKind::kServiceAnywhere) drop_loopback_clients(program, role);
  } else {
    // A connection that is there needs no more than this.
    program.keep_bits(kSyn | kReset);
    program.jump_if(0, Program::kTake);
    program.load(kFlags);
    program.keep_bits(kSyn | kAck);
    program.jump_if(kSyn, Program::kDrop);
    drop_what_is_not_for_it(program, role);
  }
  program.finish();
  return program;
}

bpf_insn extended(unsigned code, std::uint8_t to, std::uint8_t from, std::size_t offset,
                  std::uint32_t value) {
  bpf_insn instruction{};
  instruction.code = static_cast<std::uint8_t>(code);
  instruction.dst_reg = to & 0xFU;
  instruction.src_reg = from & 0xFU;
  instruction.off = static_cast<std::int16_t>(offset);
  instruction.imm = static_cast<std::int32_t>(value);
  return instruction;
}

}  // namespace

std::vector<struct sock_filter> classic_guard(const GuardRole& role) {
  const Program program = program_of(role);
  std::vector<struct sock_filter> encoded;
  for (std::size_t index = 0; index < program.steps().size(); ++index) {
    const Step& step = program.steps()[index];
    // kMaxOwnAddresses, and the 32 bits of a network, keep it below 256.
    const auto distance = [&] { return static_cast<std::uint8_t>(program.distance(index)); };
    switch (step.kind) {
      case Step::Kind::kLoad:
        encoded.push_back(
            BPF_STMT(static_cast<std::uint16_t>(BPF_LD | BPF_ABS | step.size), step.value));
        break;
      case Step::Kind::kLoadDevice:
        encoded.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                                   static_cast<std::uint32_t>(SKF_AD_OFF + SKF_AD_IFINDEX)));
        break;
      case Step::Kind::kAnd:
        encoded.push_back(BPF_STMT(BPF_ALU | BPF_AND | BPF_K, step.value));
        break;
      case Step::Kind::kJumpIf:
        encoded.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, step.value, distance(), 0));
        break;
      case Step::Kind::kJumpUnless:
        encoded.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, step.value, 0, distance()));
        break;
      case Step::Kind::kJump:
        encoded.push_back(BPF_JUMP(BPF_JMP | BPF_JA, distance(), 0, 0));
        break;
    }
  }
  encoded.push_back(BPF_STMT(BPF_RET | BPF_K, kWholeSegment));
  encoded.push_back(BPF_STMT(BPF_RET | BPF_K, 0));
  return encoded;
}

std::vector<struct bpf_insn> extended_guard(const GuardRole& role) {
  constexpr std::uint8_t kResult = BPF_REG_0;
  constexpr std::uint8_t kContext = BPF_REG_6;  // where BPF_ABS looks for it
  const Program program = program_of(role);
  std::vector<struct bpf_insn> encoded;
  encoded.push_back(extended(BPF_ALU64 | BPF_MOV | BPF_X, kContext, BPF_REG_1, 0, 0));
  for (std::size_t index = 0; index < program.steps().size(); ++index) {
    const Step& step = program.steps()[index];
    // To take is one instruction more here.
    const auto distance = [&] { return program.distance(index) + (step.to == Program::kDrop); };
    switch (step.kind) {
      case Step::Kind::kLoad:
        encoded.push_back(extended(BPF_LD | BPF_ABS | step.size, 0, 0, 0, step.value));
        break;
      case Step::Kind::kLoadDevice:
        encoded.push_back(extended(BPF_LDX | BPF_MEM | BPF_W, kResult, kContext,
                                   offsetof(struct __sk_buff, ifindex), 0));
        break;
      case Step::Kind::kAnd:
        encoded.push_back(extended(BPF_ALU | BPF_AND | BPF_K, kResult, 0, 0, step.value));
        break;
      case Step::Kind::kJumpIf:
        // Of 32 bits (Linux 5.1): the other one would extend the sign of the operand.
        encoded.push_back(
            extended(BPF_JMP32 | BPF_JEQ | BPF_K, kResult, 0, distance(), step.value));
        break;
      case Step::Kind::kJumpUnless:
        encoded.push_back(
            extended(BPF_JMP32 | BPF_JNE | BPF_K, kResult, 0, distance(), step.value));
        break;
      case Step::Kind::kJump:
        encoded.push_back(extended(BPF_JMP | BPF_JA, 0, 0, distance(), 0));
        break;
    }
  }
  for (const std::uint32_t result : {kWholeSegment, std::uint32_t{0}}) {
    encoded.push_back(extended(BPF_ALU | BPF_MOV | BPF_K, kResult, 0, 0, result));
    encoded.push_back(extended(BPF_JMP | BPF_EXIT, 0, 0, 0, 0));
  }
  return encoded;
}

}  // namespace sockswitch
