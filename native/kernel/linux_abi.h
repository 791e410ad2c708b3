// Kernel interface that the C library's headers of our oldest target (glibc 2.34) lack: structures,
// ioctl numbers and option constants, each with the kernel version that brought it.
#pragma once

#include <linux/ioctl.h>

#include <cstdint>

namespace sockswitch::abi {

// --- seccomp user notification (linux/seccomp.h) ---

// 5.0. `id` is unique per filter; `pid` is a *thread* id in the receiver's pid namespace.
struct SeccompData {
  std::int32_t nr;
  std::uint32_t arch;
  std::uint64_t instruction_pointer;
  std::uint64_t args[6];
};
static_assert(sizeof(SeccompData) == 64);

struct SeccompNotif {
  std::uint64_t id;
  std::uint32_t pid;
  std::uint32_t flags;
  SeccompData data;
};
static_assert(sizeof(SeccompNotif) == 80);

struct SeccompNotifResp {
  std::uint64_t id;
  std::int64_t val;
  std::int32_t error;  // negative errno
  std::uint32_t flags;
};
static_assert(sizeof(SeccompNotifResp) == 24);

// 5.9.
struct SeccompNotifAddfd {
  std::uint64_t id;
  std::uint32_t flags;
  std::uint32_t srcfd;
  std::uint32_t newfd;
  std::uint32_t newfd_flags;
};
static_assert(sizeof(SeccompNotifAddfd) == 24);

inline constexpr std::uint32_t kRespContinue = 1;  // 5.5: let the kernel execute the call
inline constexpr std::uint32_t kAddfdSetfd =
    1;  // 5.9: at the number `newfd`, replacing what is there
inline constexpr unsigned long kNotifRecv = _IOWR('!', 0, SeccompNotif);
inline constexpr unsigned long kNotifSend = _IOWR('!', 1, SeccompNotifResp);
inline constexpr unsigned long kNotifIdValid =
    _IOW('!', 2, std::uint64_t);  // 5.17's direction bits
inline constexpr unsigned long kNotifAddfd = _IOW('!', 3, SeccompNotifAddfd);
inline constexpr unsigned long kNotifSetFlags = _IOW('!', 4, std::uint64_t);  // 6.6
inline constexpr std::uint64_t kNotifSyncWakeUp = 1;  // 6.6, for kNotifSetFlags

inline constexpr unsigned kSetModeFilter = 1;
inline constexpr unsigned kFilterNewListener = 1u << 3;   // 5.0
inline constexpr unsigned kFilterWaitKillable = 1u << 5;  // 5.19
inline constexpr std::uint32_t kRetAllow = 0x7fff0000;

// --- audit architectures (linux/audit.h), as seccomp_data.arch shows them ---
inline constexpr std::uint32_t kArchX86_64 = 0xC000003E;
inline constexpr std::uint32_t kArchI386 = 0x40000003;
inline constexpr std::uint32_t kArchAarch64 = 0xC00000B7;
inline constexpr std::uint32_t kArchArm = 0x40000028;
inline constexpr std::int32_t kX32Bit = 0x40000000;  // in `nr` of x32 calls

// --- sockets ---
inline constexpr int kSoBindToIfindex = 62;      // 5.0
inline constexpr int kIpBindAddressNoPort = 24;  // 4.2
inline constexpr int kIpLocalPortRange = 51;     // 6.3
inline constexpr int kSoNetnsCookie = 71;        // 5.14
inline constexpr int kSoBufLock = 72;            // 5.14

// --- pidfd ---
inline constexpr unsigned kPidfdThread = 0200;  // 6.9 (O_EXCL): a pidfd for a thread, not its group

// --- namespaces (linux/nsfs.h) ---
inline constexpr unsigned long kNsGetUserns = _IO(0xb7, 0x1);    // 4.9
inline constexpr unsigned long kNsGetParent = _IO(0xb7, 0x2);    // 4.9
inline constexpr unsigned long kNsGetOwnerUid = _IO(0xb7, 0x4);  // 4.11
inline constexpr unsigned long kSocketNetns = 0x894C;  // SIOCGSKNS, 4.10: a socket's namespace

// --- tun and tap devices (linux/if_tun.h) ---
inline constexpr unsigned long kTunGetDevNetns = _IO('T', 227);  // 5.2: the device's namespace

// LOOPBACK_IFINDEX (linux/net_namespace.h): of the loopback device in every network namespace.
inline constexpr int kLoopbackDevice = 1;

}  // namespace sockswitch::abi
