#include "switch/guard_program.h"

#include <cstddef>

namespace sockswitch {
namespace {

// A TCP socket's filter sees the segment from the TCP header on (RFC 9293, section 3.1).
constexpr std::uint32_t kSourcePortOffset = 0;
constexpr std::uint32_t kDestinationPortOffset = 2;
constexpr std::uint32_t kFlagsOffset = 13;
constexpr std::uint32_t kSyn = 0x02;
constexpr std::uint32_t kAck = 0x10;
constexpr std::uint32_t kLoopback = 1;  // LOOPBACK_IFINDEX, in every network namespace
constexpr std::uint32_t kWholeSegment = 0xFFFFFFFF;

// One instruction on the accumulator, alike in both languages but for its encoding.
struct Step {
  enum class Kind : std::uint8_t { kLoad, kAnd, kLoadDevice, kJump };
  enum class Test : std::uint8_t { kEqual, kNotEqual };
  enum class To : std::uint8_t { kTake, kDrop };
  Kind kind;
  std::uint32_t value = 0;  // offset, operand
  std::uint8_t size = BPF_B;
  Test test = Test::kEqual;
  To to = To::kDrop;
};

void load_flags(std::vector<Step>& steps) {
  steps.push_back({.kind = Step::Kind::kLoad, .value = kFlagsOffset});
  steps.push_back({.kind = Step::Kind::kAnd, .value = kSyn | kAck});
}

void load_port(std::vector<Step>& steps, std::uint32_t offset) {
  steps.push_back({.kind = Step::Kind::kLoad, .value = offset, .size = BPF_H});
}

void load_device(std::vector<Step>& steps) { steps.push_back({.kind = Step::Kind::kLoadDevice}); }

void drop_if(std::vector<Step>& steps, std::uint32_t value) {
  steps.push_back({.kind = Step::Kind::kJump, .value = value});
}

void drop_unless(std::vector<Step>& steps, std::uint32_t value) {
  steps.push_back({.kind = Step::Kind::kJump, .value = value, .test = Step::Test::kNotEqual});
}

void take_unless(std::vector<Step>& steps, std::uint32_t value) {
  steps.push_back({.kind = Step::Kind::kJump,
                   .value = value,
                   .test = Step::Test::kNotEqual,
                   .to = Step::To::kTake});
}

// What gets to the end is taken.
std::vector<Step> steps_of(const GuardRole& role) {
  std::vector<Step> steps;
  load_flags(steps);
  switch (role.kind) {
    case GuardRole::Kind::kClient:
      drop_if(steps, kSyn);
      load_device(steps);
      drop_if(steps, kLoopback);
      break;
    case GuardRole::Kind::kNeighbour:
      drop_if(steps, kSyn);
      load_device(steps);
      take_unless(steps, kLoopback);
      load_port(steps, kSourcePortOffset);
      drop_unless(steps, role.port);
      break;
    case GuardRole::Kind::kService:
      drop_if(steps, kSyn | kAck);
      take_unless(steps, kSyn);
      load_port(steps, kDestinationPortOffset);
      drop_unless(steps, role.port);
      break;
  }
  return steps;
}

std::uint16_t opcode(unsigned bits) { return static_cast<std::uint16_t>(bits); }

bpf_insn extended(unsigned code, std::uint8_t to, std::uint8_t from, std::int16_t offset,
                  std::int32_t value) {
  bpf_insn instruction{};
  instruction.code = static_cast<std::uint8_t>(code);
  instruction.dst_reg = to & 0xFU;
  instruction.src_reg = from & 0xFU;
  instruction.off = offset;
  instruction.imm = value;
  return instruction;
}

}  // namespace

std::vector<struct sock_filter> classic_guard(const GuardRole& role) {
  const std::vector<Step> steps = steps_of(role);
  std::vector<struct sock_filter> program;
  for (const Step& step : steps) {
    // To the two instructions behind the last step: take, drop.
    const auto distance = static_cast<std::uint8_t>(steps.size() - program.size() - 1 +
                                                    (step.to == Step::To::kDrop ? 1 : 0));
    const bool equal = step.test == Step::Test::kEqual;
    switch (step.kind) {
      case Step::Kind::kLoad:
        program.push_back(BPF_STMT(opcode(BPF_LD | BPF_ABS | step.size), step.value));
        break;
      case Step::Kind::kAnd:
        program.push_back(BPF_STMT(BPF_ALU | BPF_AND | BPF_K, step.value));
        break;
      case Step::Kind::kLoadDevice:
        program.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                                   static_cast<std::uint32_t>(SKF_AD_OFF + SKF_AD_IFINDEX)));
        break;
      case Step::Kind::kJump:
        program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, step.value,
                                   equal ? distance : std::uint8_t{0},
                                   equal ? std::uint8_t{0} : distance));
        break;
    }
  }
  program.push_back(BPF_STMT(BPF_RET | BPF_K, kWholeSegment));
  program.push_back(BPF_STMT(BPF_RET | BPF_K, 0));
  return program;
}

std::vector<struct bpf_insn> extended_guard(const GuardRole& role) {
  constexpr std::uint8_t kResult = BPF_REG_0;
  constexpr std::uint8_t kContext = BPF_REG_6;  // where BPF_ABS looks for it
  const std::vector<Step> steps = steps_of(role);
  std::vector<struct bpf_insn> program;
  program.push_back(extended(BPF_ALU64 | BPF_MOV | BPF_X, kContext, BPF_REG_1, 0, 0));
  for (const Step& step : steps) {
    // The first instruction is none of the steps; taking is two instructions.
    const auto distance = static_cast<std::int16_t>(steps.size() - program.size() +
                                                    (step.to == Step::To::kDrop ? 2 : 0));
    const auto value = static_cast<std::int32_t>(step.value);
    switch (step.kind) {
      case Step::Kind::kLoad:
        program.push_back(extended(BPF_LD | BPF_ABS | step.size, 0, 0, 0, value));
        break;
      case Step::Kind::kAnd:
        program.push_back(extended(BPF_ALU | BPF_AND | BPF_K, kResult, 0, 0, value));
        break;
      case Step::Kind::kLoadDevice:
        program.push_back(extended(BPF_LDX | BPF_MEM | BPF_W, kResult, kContext,
                                   offsetof(struct __sk_buff, ifindex), 0));
        break;
      case Step::Kind::kJump: {
        const unsigned test = step.test == Step::Test::kEqual ? BPF_JEQ : BPF_JNE;
        program.push_back(extended(BPF_JMP | test | BPF_K, kResult, 0, distance, value));
        break;
      }
    }
  }
  for (const std::uint32_t result : {kWholeSegment, std::uint32_t{0}}) {
    program.push_back(
        extended(BPF_ALU | BPF_MOV | BPF_K, kResult, 0, 0, static_cast<std::int32_t>(result)));
    program.push_back(extended(BPF_JMP | BPF_EXIT, 0, 0, 0, 0));
  }
  return program;
}

}  // namespace sockswitch
