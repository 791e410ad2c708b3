// sockswitch-names: makes a service see the names of its true clients, where a socket of the daemon
// stands for them.
//
// Clients of a published port that the kernel does not bring to the service by itself are relayed:
// a socket of the daemon connects to the service, which would see the host's address in accept(2)
// and getpeername(2). The kernel lets a program change what these two report (cgroup hooks
// BPF_CGROUP_INET4_GETPEERNAME and INET6, Linux 5.8). It runs for the sockets that were made in a
// cgroup, and what they accepted: for a service's socket that is the daemon's cgroup, since the
// daemon made it.
//
// What the program does for a socket whose peer is asked for:
//
//   1. It leaves what is no TCP socket, is bound to no device, or has been reset. A service's
//      sockets are bound to one (docs/threat-model.md), the daemon's own are not.
//   2. It looks for the socket at the other end, on this very host, by both addresses and ports,
//      and leaves what is not connected there. Two sockets that have each other's addresses and are
//      both connected are the ends of one connection.
//   3. If the daemon has put a name into the storage of that other socket, it reports the name.
//      If not, it looks for a name that the daemon has put down for the accepted socket itself.
//
// Names hang on sockets and not on addresses, so they end with them: whoever has a client's port
// next has no name. In the storage of a socket (BPF_MAP_TYPE_SK_STORAGE) they hang by themselves. A
// client's socket that a container gets is bound to a device, though, and cannot be looked for from
// here. So the daemon binds it when it is connected, and puts the name down for the accepted
// socket before, by its cookie, which no other socket gets as long as the kernel runs. That table
// forgets what is oldest when it is full.
//
// Loading and attaching takes CAP_BPF and CAP_NET_ADMIN. This program has these by its file, and
// every user may run it, so it gives nobody more than that:
//
//   where     the topmost cgroup above its own (the caller's) that belongs to its real user. That
//             one has been delegated to the user, and the user started all that runs in it. (That
//             may be a setuid program, whose sockets that are bound to a device are covered, too.)
//             Nothing is taken from the caller. Root has no such cgroup.
//   what      these two programs. The caller gets the maps and the links, so it can say what name
//             its own sockets have at processes of its own: less than it can do in a network
//             namespace of its own.
//   how much  The kernel attaches 64 programs to one cgroup, and a program lives as long as its
//             link does.
//
// It opens the cgroup first. Then it has no other capability, these two only while it loads, and a
// seccomp filter. It answers (names_protocol.h) and ends. Its end of the pair is descriptor 3
// (kernel/helper.h), or 0 where a service manager starts it.
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/btf.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <optional>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "base/errno_error.h"
#include "base/unique_fd.h"
#include "kernel/confinement.h"
#include "kernel/unix_socket.h"
#include "protocol/names_protocol.h"

namespace sockswitch {
namespace {

constexpr rlim_t kMostDescriptors = 32;
// Some 1.5 MB, of the user's.
constexpr std::uint32_t kMaxCookies = 16384;

// How far it came, and why not further.
struct Failure {
  NamesStage stage = NamesStage::kDone;
  int error = 0;
};

// What is left when the cgroup is open: the channel, and loading.
constexpr std::array kAllowed = {
    AllowedCall{SYS_sendmsg},
    AllowedCall{SYS_bpf, 0, 0, BPF_BTF_LOAD},
    AllowedCall{SYS_bpf, 0, 0, BPF_MAP_CREATE},
    AllowedCall{SYS_bpf, 0, 0, BPF_PROG_LOAD},
    AllowedCall{SYS_bpf, 0, 0, BPF_LINK_CREATE},
};

// ---- The cgroup

// Where version 2 is mounted, whole: alone, or beside version 1 ("hybrid"). proc(5), mountinfo:
// ID PARENT DEVICE ROOT MOUNT-POINT OPTIONS [FIELDS...] - TYPE SOURCE OPTIONS.
std::optional<std::string> cgroup2_mount() {
  std::ifstream mounts("/proc/self/mountinfo");
  for (std::string line; std::getline(mounts, line);) {
    std::istringstream words(line);
    std::string id, parent, device, root, at;
    words >> id >> parent >> device >> root >> at;
    if (root == "/" && line.find(" - cgroup2 ") != std::string::npos) return at;
  }
  return {};
}

// "/user.slice/...", as seen from that mount; cgroups(7).
std::optional<std::string> own_cgroup() {
  std::ifstream entries("/proc/self/cgroup");
  for (std::string line; std::getline(entries, line);) {
    const bool seen = line.starts_with("0::/") && !line.starts_with("0::/..");
    if (seen) return line.substr(3);
  }
  return {};
}

// A directory of version 2 that belongs to `user`.
UniqueFd open_owned(const std::string& path, uid_t user) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  struct stat status{};
  struct statfs system{};
  const bool ours = fd && ::fstat(fd.get(), &status) == 0 && status.st_uid == user &&
                    ::fstatfs(fd.get(), &system) == 0 && system.f_type == CGROUP2_SUPER_MAGIC;
  return ours ? std::move(fd) : UniqueFd();
}

// The topmost one above our own that belongs to our real user, as do all between.
UniqueFd open_delegated(Failure& failure) {
  const auto mount = cgroup2_mount();
  const auto own = own_cgroup();
  if (!mount || !own) {
    failure = {NamesStage::kCgroup, ENOENT};
    return {};
  }
  failure = {NamesStage::kDelegated, EPERM};
  const uid_t user = ::getuid();
  if (user == 0) return {};
  UniqueFd found;
  std::string path = *own;
  while (true) {
    UniqueFd above = open_owned(*mount + path, user);
    if (!above) break;
    found = std::move(above);
    if (path.size() <= 1) break;
    path.resize(std::max<std::size_t>(path.rfind('/'), 1));
  }
  if (found) failure = {};
  return found;
}

// ---- The map

// The kernel wants to know the types of key and value of such a map (BTF): int, and int[5].
struct TypeInformation {
  struct btf_header header;
  struct btf_type integer;
  std::uint32_t integer_kind;
  struct btf_type array;
  struct btf_array array_kind;
  std::array<char, 8> strings;
};
constexpr std::uint32_t kIntegerType = 1;
constexpr std::uint32_t kArrayType = 2;

TypeInformation type_information() {
  TypeInformation types{};
  types.header.magic = BTF_MAGIC;
  types.header.version = BTF_VERSION;
  types.header.hdr_len = sizeof types.header;
  types.header.type_len = offsetof(TypeInformation, strings) - sizeof types.header;
  types.header.str_off = types.header.type_len;
  types.header.str_len = sizeof types.strings;
  types.integer.name_off = 1;
  types.integer.info = BTF_KIND_INT << 24;
  types.integer.size = sizeof(std::int32_t);
  types.integer_kind = 32;  // bits
  types.array.info = BTF_KIND_ARRAY << 24;
  types.array_kind = {.type = kIntegerType,
                      .index_type = kIntegerType,
                      .nelems = sizeof(ShownName) / sizeof(std::int32_t)};
  std::memcpy(types.strings.data() + 1, "int", 3);
  return types;
}

UniqueFd call_bpf(int command, union bpf_attr& attributes) {
  UniqueFd fd(static_cast<int>(::syscall(SYS_bpf, command, &attributes, sizeof attributes)));
  if (!fd) throw_errno("bpf");
  return fd;
}

// By the sockets of clients.
UniqueFd make_socket_map() {
  const TypeInformation types = type_information();
  union bpf_attr load{};
  load.btf = reinterpret_cast<std::uintptr_t>(&types);
  load.btf_size = sizeof types;
  const UniqueFd btf = call_bpf(BPF_BTF_LOAD, load);
  union bpf_attr create{};
  create.map_type = BPF_MAP_TYPE_SK_STORAGE;
  create.key_size = sizeof(std::int32_t);  // a descriptor
  create.value_size = sizeof(ShownName);
  create.map_flags = BPF_F_NO_PREALLOC;
  create.btf_fd = static_cast<std::uint32_t>(btf.get());
  create.btf_key_type_id = kIntegerType;
  create.btf_value_type_id = kArrayType;
  return call_bpf(BPF_MAP_CREATE, create);
}

// By the cookies of accepted sockets.
UniqueFd make_cookie_map() {
  union bpf_attr create{};
  create.map_type = BPF_MAP_TYPE_LRU_HASH;
  create.key_size = sizeof(std::uint64_t);
  create.value_size = sizeof(ShownName);
  create.max_entries = kMaxCookies;
  return call_bpf(BPF_MAP_CREATE, create);
}

// ---- The programs

class Program {
 public:
  void add(unsigned code, unsigned to, unsigned from, std::size_t offset, std::int32_t value) {
    struct bpf_insn instruction{};
    instruction.code = static_cast<std::uint8_t>(code);
    instruction.dst_reg = static_cast<std::uint8_t>(to & 0xF);
    instruction.src_reg = static_cast<std::uint8_t>(from & 0xF);
    instruction.off = static_cast<std::int16_t>(offset);
    instruction.imm = value;
    code_.push_back(instruction);
  }
  void copy(unsigned to, unsigned from) { add(BPF_ALU64 | BPF_MOV | BPF_X, to, from, 0, 0); }
  void set(unsigned to, std::int32_t value) { add(BPF_ALU64 | BPF_MOV | BPF_K, to, 0, 0, value); }
  // BPF_K is 0.
  void advance(unsigned to, std::int32_t by) { add(BPF_ALU64 | BPF_ADD, to, 0, 0, by); }
  // *(u32*)(from + offset)
  void load(unsigned to, unsigned from, std::size_t offset) {
    add(BPF_LDX | BPF_W | BPF_MEM, to, from, offset, 0);
  }
  void store(unsigned to, std::size_t offset, unsigned from, unsigned size = BPF_W) {
    add(BPF_STX | size | BPF_MEM, to, from, offset, 0);
  }
  void call(std::int32_t helper) { add(BPF_JMP | BPF_CALL, 0, 0, 0, helper); }
  void load_map(unsigned to, int map) {
    add(BPF_LD | BPF_DW, to, BPF_PSEUDO_MAP_FD, 0, map);  // BPF_IMM is 0
    add(0, 0, 0, 0, 0);
  }

  // Jumps forward, to where land() is called with the result.
  using Jump = std::size_t;
  Jump jump() { return jump_on(BPF_JA, 0, 0); }
  Jump jump_on(unsigned condition, unsigned on, std::int32_t value) {
    add(BPF_JMP | condition | BPF_K, on, 0, 0, value);
    return code_.size() - 1;
  }
  void land(Jump jump) { code_[jump].off = static_cast<std::int16_t>(code_.size() - jump - 1); }
  void land(const std::vector<Jump>& jumps) {
    for (const Jump jump : jumps) land(jump);
  }

  std::span<const struct bpf_insn> code() const { return code_; }

 private:
  std::vector<struct bpf_insn> code_;
};

constexpr unsigned kContext = BPF_REG_6;
constexpr unsigned kOwn = BPF_REG_7;    // the socket whose peer is asked for
constexpr unsigned kOther = BPF_REG_8;  // that at the other end
constexpr unsigned kName = BPF_REG_9;

constexpr std::size_t kTuple = static_cast<std::size_t>(-48);  // on the stack, from its end
constexpr std::size_t kCookie = static_cast<std::size_t>(-56);
constexpr std::size_t kWord = sizeof(std::uint32_t);
constexpr std::int32_t kMappedWord = static_cast<std::int32_t>(__builtin_bswap32(0xFFFF));

// States in which a socket has been connected and may hear and say something still.
constexpr std::int32_t kConnected = 1 << BPF_TCP_ESTABLISHED | 1 << BPF_TCP_FIN_WAIT1 |
                                    1 << BPF_TCP_FIN_WAIT2 | 1 << BPF_TCP_CLOSE_WAIT |
                                    1 << BPF_TCP_LAST_ACK | 1 << BPF_TCP_CLOSING;

// Jumps away unless a socket is connected. Uses registers 0 to 2.
Program::Jump jump_unless_connected(Program& program, unsigned socket) {
  program.load(BPF_REG_1, socket, offsetof(struct bpf_sock, state));
  program.set(BPF_REG_0, 1);
  program.add(BPF_ALU64 | BPF_LSH | BPF_X, BPF_REG_0, BPF_REG_1, 0, 0);
  program.add(BPF_ALU64 | BPF_AND | BPF_K, BPF_REG_0, 0, 0, kConnected);
  return program.jump_on(BPF_JEQ, BPF_REG_0, 0);
}

// Puts what the other end is found by on the stack: its remote name, which is ours, and its own.
// The length goes to register 3.
void write_tuple(Program& program, bool v4, std::size_t own, std::size_t peer, std::size_t words) {
  for (std::size_t i = 0; i < words; ++i) {
    program.load(BPF_REG_0, kOwn, own + i * kWord);
    program.store(BPF_REG_10, kTuple + i * kWord, BPF_REG_0);
    program.load(BPF_REG_0, kContext, peer + i * kWord);
    program.store(BPF_REG_10, kTuple + (words + i) * kWord, BPF_REG_0);
  }
  const std::size_t ports = kTuple + 2 * words * kWord;
  program.load(BPF_REG_0, kOwn, offsetof(struct bpf_sock, src_port));
  program.add(BPF_ALU | BPF_END | BPF_TO_BE, BPF_REG_0, 0, 0, 16);
  program.store(BPF_REG_10, ports, BPF_REG_0, BPF_H);
  program.load(BPF_REG_0, kContext, offsetof(struct bpf_sock_addr, user_port));
  program.store(BPF_REG_10, ports + 2, BPF_REG_0, BPF_H);
  const struct bpf_sock_tuple tuple{};
  program.set(BPF_REG_3, static_cast<std::int32_t>(v4 ? sizeof tuple.ipv4 : sizeof tuple.ipv6));
}

void write_tuple4(Program& program, std::size_t peer) {
  write_tuple(program, true, offsetof(struct bpf_sock, src_ip4), peer, 1);
}

// An IPv6 socket may carry IPv4.
void write_tuple6(Program& program) {
  constexpr std::size_t kPeer = offsetof(struct bpf_sock_addr, user_ip6);
  std::vector<Program::Jump> plain;
  for (const auto& [word, value] : {std::pair{0, 0}, {1, 0}, {2, kMappedWord}}) {
    program.load(BPF_REG_0, kContext, kPeer + static_cast<std::size_t>(word) * kWord);
    program.add(BPF_ALU | BPF_MOV | BPF_K, BPF_REG_1, 0, 0, value);
    program.add(BPF_JMP | BPF_JNE | BPF_X, BPF_REG_0, BPF_REG_1, 0, 0);
    plain.push_back(program.code().size() - 1);
  }
  write_tuple4(program, kPeer + 3 * kWord);
  const auto written = program.jump();
  program.land(plain);
  write_tuple(program, false, offsetof(struct bpf_sock, src_ip6), kPeer, 4);
  program.land(written);
}

// A name of IPv6 has no place in an address of IPv4.
std::vector<Program::Jump> report4(Program& program) {
  std::vector<Program::Jump> left;
  for (const auto& [word, value] : {std::pair{0, 0}, {1, 0}, {2, kMappedWord}}) {
    program.load(BPF_REG_0, kName, static_cast<std::size_t>(word) * kWord);
    program.add(BPF_ALU | BPF_MOV | BPF_K, BPF_REG_1, 0, 0, value);
    program.add(BPF_JMP | BPF_JNE | BPF_X, BPF_REG_0, BPF_REG_1, 0, 0);
    left.push_back(program.code().size() - 1);
  }
  program.load(BPF_REG_0, kName, 3 * kWord);
  program.store(kContext, offsetof(struct bpf_sock_addr, user_ip4), BPF_REG_0);
  return left;
}

void report6(Program& program) {
  for (std::size_t i = 0; i < 4; ++i) {
    program.load(BPF_REG_0, kName, i * kWord);
    program.store(kContext, offsetof(struct bpf_sock_addr, user_ip6) + i * kWord, BPF_REG_0);
  }
}

Program program_of(bool v4, int by_socket, int by_cookie) {
  Program program;
  std::vector<Program::Jump> end;
  program.copy(kContext, BPF_REG_1);
  program.add(BPF_LDX | BPF_DW | BPF_MEM, kOwn, kContext, offsetof(struct bpf_sock_addr, sk), 0);
  end.push_back(program.jump_on(BPF_JEQ, kOwn, 0));
  program.load(BPF_REG_0, kOwn, offsetof(struct bpf_sock, bound_dev_if));
  end.push_back(program.jump_on(BPF_JEQ, BPF_REG_0, 0));
  program.load(BPF_REG_0, kOwn, offsetof(struct bpf_sock, protocol));
  end.push_back(program.jump_on(BPF_JNE, BPF_REG_0, IPPROTO_TCP));
  end.push_back(jump_unless_connected(program, kOwn));

  if (v4) {
    write_tuple4(program, offsetof(struct bpf_sock_addr, user_ip4));
  } else {
    write_tuple6(program);
  }
  program.copy(BPF_REG_1, kContext);
  program.copy(BPF_REG_2, BPF_REG_10);
  program.advance(BPF_REG_2, static_cast<std::int32_t>(kTuple));
  program.set(BPF_REG_4, BPF_F_CURRENT_NETNS);
  program.set(BPF_REG_5, 0);
  program.call(BPF_FUNC_sk_lookup_tcp);
  program.copy(kOther, BPF_REG_0);
  const auto none = program.jump_on(BPF_JEQ, kOther, 0);
  program.set(kName, 0);
  const auto release = jump_unless_connected(program, kOther);
  program.load_map(BPF_REG_1, by_socket);
  program.copy(BPF_REG_2, kOther);
  program.set(BPF_REG_3, 0);
  program.set(BPF_REG_4, 0);
  program.call(BPF_FUNC_sk_storage_get);
  program.copy(kName, BPF_REG_0);
  program.land(release);
  program.copy(BPF_REG_1, kOther);
  program.call(BPF_FUNC_sk_release);
  const auto found = program.jump_on(BPF_JNE, kName, 0);

  program.land(none);
  program.copy(BPF_REG_1, kContext);
  program.call(BPF_FUNC_get_socket_cookie);
  program.store(BPF_REG_10, kCookie, BPF_REG_0, BPF_DW);
  program.load_map(BPF_REG_1, by_cookie);
  program.copy(BPF_REG_2, BPF_REG_10);
  program.advance(BPF_REG_2, static_cast<std::int32_t>(kCookie));
  program.call(BPF_FUNC_map_lookup_elem);
  end.push_back(program.jump_on(BPF_JEQ, BPF_REG_0, 0));
  program.copy(kName, BPF_REG_0);

  program.land(found);
  if (v4) {
    for (const auto jump : report4(program)) end.push_back(jump);
  } else {
    report6(program);
  }
  program.add(BPF_LDX | BPF_H | BPF_MEM, BPF_REG_0, kName, offsetof(ShownName, port), 0);
  end.push_back(program.jump_on(BPF_JEQ, BPF_REG_0, 0));
  program.store(kContext, offsetof(struct bpf_sock_addr, user_port), BPF_REG_0);

  program.land(end);
  program.set(BPF_REG_0, 1);
  program.add(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
  return program;
}

UniqueFd load(bpf_attach_type hook, int by_socket, int by_cookie) {
  const bool v4 = hook == BPF_CGROUP_INET4_GETPEERNAME;
  const Program program = program_of(v4, by_socket, by_cookie);
  union bpf_attr attributes{};
  attributes.prog_type = BPF_PROG_TYPE_CGROUP_SOCK_ADDR;
  attributes.expected_attach_type = hook;
  attributes.insns = reinterpret_cast<std::uintptr_t>(program.code().data());
  attributes.insn_cnt = static_cast<std::uint32_t>(program.code().size());
  attributes.license = reinterpret_cast<std::uintptr_t>("Apache-2.0");
  std::strncpy(attributes.prog_name, "sockswitch", sizeof attributes.prog_name - 1);
  return call_bpf(BPF_PROG_LOAD, attributes);
}

UniqueFd attach(bpf_attach_type hook, int program, int cgroup) {
  union bpf_attr attributes{};
  attributes.link_create.prog_fd = static_cast<std::uint32_t>(program);
  attributes.link_create.target_fd = static_cast<std::uint32_t>(cgroup);
  attributes.link_create.attach_type = hook;
  return call_bpf(BPF_LINK_CREATE, attributes);
}

// ----

// The maps and the links; none where it failed.
std::vector<UniqueFd> give_names(int cgroup, const Capabilities& capabilities, Failure& failure) {
  NamesStage stage = NamesStage::kLoad;
  try {
    const Capabilities::Raised raised(capabilities);
    std::vector<UniqueFd> given;
    given.push_back(make_socket_map());
    given.push_back(make_cookie_map());
    constexpr std::array kHooks = {BPF_CGROUP_INET4_GETPEERNAME, BPF_CGROUP_INET6_GETPEERNAME};
    std::vector<UniqueFd> programs;
    programs.reserve(kHooks.size());
    for (const auto hook : kHooks) {
      programs.push_back(load(hook, given[0].get(), given[1].get()));
    }
    stage = NamesStage::kAttach;
    for (std::size_t i = 0; i < kHooks.size(); ++i) {
      given.push_back(attach(kHooks.at(i), programs[i].get(), cgroup));
    }
    return given;
  } catch (const ErrnoError& error) {
    failure = {stage, error.error()};
    return {};
  }
}

class Names {
 public:
  explicit Names(int channel) : channel_(channel), cgroup_(open_delegated(failure_)) {
    // Said before all else: who asks may be in another cgroup than the daemon ("sockswitch
    // doctor").
    if (!capabilities_.held()) {
      failure_ = {NamesStage::kLoad, EPERM};
      cgroup_.reset();
    }
  }

  // One answer. Throws ErrnoError.
  void run() {
    std::vector<UniqueFd> given;
    if (cgroup_) given = give_names(cgroup_.get(), capabilities_, failure_);
    std::vector<int> fds;
    fds.reserve(given.size());
    for (const UniqueFd& fd : given) fds.push_back(fd.get());
    NamesAnswer text{.stage = static_cast<std::int32_t>(failure_.stage), .error = failure_.error};
    struct iovec part{&text, sizeof text};
    send_message(channel_, std::span(&part, 1), fds);
  }

 private:
  int channel_;
  Capabilities capabilities_{CAP_NET_ADMIN, kCapBpf};
  Failure failure_;
  UniqueFd cgroup_;
};

}  // namespace
}  // namespace sockswitch

int main(int count, char** arguments) {
  using namespace sockswitch;
  return serve_confined<Names>(count, arguments, kAllowed, kMostDescriptors);
}
