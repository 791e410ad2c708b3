#include "notify/caller.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <string>
#include <string_view>

#include "kernel/errno_error.h"
#include "kernel/linux_abi.h"
#include "kernel/syscalls.h"
#include "switch/epoll_set.h"

namespace sockswitch {
namespace {

// Two descriptors an entry: a bound that keeps hundreds of listeners within usual limits.
constexpr std::size_t kMaxCallers = 64;

// An epoll set with more entries than fit (some 80,000) is not looked into: its sockets are not
// switched.
constexpr std::size_t kMaxFdinfo = 8U << 20U;

// Before Linux 6.9 a pidfd is for a thread group only, so the group of the thread is needed.
pid_t thread_group_of(pid_t tid) {
  std::string path = "/proc/" + std::to_string(tid) + "/status";
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) throw ErrnoError(ESRCH, "open", path);
  std::array<char, 1024> text{};
  ssize_t size = ::read(fd.get(), text.data(), text.size());
  std::string_view status(text.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
  constexpr std::string_view kKey = "\nTgid:\t";
  auto at = status.find(kKey);
  pid_t group = 0;
  if (at == std::string_view::npos ||
      std::from_chars(status.data() + at + kKey.size(), status.data() + status.size(), group).ec !=
          std::errc{}) {
    throw ErrnoError(ESRCH, "read", path);
  }
  return group;
}

UniqueFd open_pidfd(pid_t tid) {
  UniqueFd pidfd(pidfd_open(tid, abi::kPidfdThread));
  if (!pidfd && errno == EINVAL) pidfd = UniqueFd(pidfd_open(thread_group_of(tid), 0));
  if (!pidfd) throw_errno("pidfd_open");
  return pidfd;
}

}  // namespace

std::optional<DescriptorFlags> parse_descriptor_flags(const char* fdinfo, std::size_t size) {
  std::string_view text(fdinfo, size);
  constexpr std::string_view kKey = "flags:\t";
  auto at = text.find(kKey);
  if (at == std::string_view::npos) return {};
  unsigned flags = 0;
  auto [end, error] =
      std::from_chars(text.data() + at + kKey.size(), text.data() + text.size(), flags, 8);
  if (error != std::errc{}) return {};
  return DescriptorFlags{(flags & O_NONBLOCK) != 0, (flags & O_CLOEXEC) != 0};
}

Caller::Caller(pid_t tid) : tid_(tid), pidfd_(open_pidfd(tid)) {
  std::string path = "/proc/" + std::to_string(tid) + "/fdinfo";
  fdinfo_ = UniqueFd(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!fdinfo_) throw_errno("open", path);
}

UniqueFd Caller::fetch(int fd) const { return UniqueFd(pidfd_getfd(pidfd_.get(), fd)); }

std::optional<DescriptorFlags> Caller::flags(int fd) const {
  std::array<char, 16> name{};
  std::to_chars(name.data(), name.data() + name.size() - 1, fd);
  UniqueFd info(::openat(fdinfo_.get(), name.data(), O_RDONLY | O_CLOEXEC));
  if (!info) return {};
  std::array<char, 256> text{};
  ssize_t size = ::read(info.get(), text.data(), text.size());
  if (size <= 0) return {};
  return parse_descriptor_flags(text.data(), static_cast<std::size_t>(size));
}

const std::vector<int>& Caller::epolls(std::uint64_t generation, int socket, bool refresh) {
  if (refresh || epoll_generation_ != generation) {
    epolls_ = find_epoll_descriptors(tid_, fdinfo_.get(), socket);
    epoll_generation_ = generation;
  }
  return epolls_;
}

std::vector<char> Caller::fdinfo(int fd) const {
  std::vector<char> text;
  UniqueFd info(::openat(fdinfo_.get(), std::to_string(fd).c_str(), O_RDONLY | O_CLOEXEC));
  if (!info) return text;
  std::array<char, 16384> part{};
  ssize_t size = 0;
  while ((size = ::read(info.get(), part.data(), part.size())) > 0) {
    text.insert(text.end(), part.begin(), part.begin() + size);
    if (text.size() > kMaxFdinfo) return {};
  }
  return text;
}

Caller& CallerCache::find(pid_t tid) {
  auto found = callers_.find(tid);
  if (found != callers_.end()) return found->second;
  if (callers_.size() >= kMaxCallers) callers_.clear();
  return callers_.emplace(tid, Caller(tid)).first->second;
}

}  // namespace sockswitch
