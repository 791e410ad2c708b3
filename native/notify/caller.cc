#include "notify/caller.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <string>
#include <string_view>

#include "base/errno_error.h"
#include "kernel/linux_abi.h"
#include "kernel/syscalls.h"
#include "switch/epoll_set.h"

namespace sockswitch {
namespace {

// Some descriptors an entry, in a table that the listener's thread has for itself. Of more threads
// than these the one that has not called for the longest time is forgotten.
constexpr std::size_t kMaxCallers = 256;

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

UniqueFd open_pidfd_of_group(pid_t tid) {
  UniqueFd pidfd(pidfd_open(thread_group_of(tid), 0));
  if (!pidfd) throw_errno("pidfd_open");
  return pidfd;
}

// Empty where the kernel has none for threads.
UniqueFd open_pidfd_of_thread(pid_t tid) {
  UniqueFd pidfd(pidfd_open(tid, abi::kPidfdThread));
  if (!pidfd && errno != EINVAL) throw_errno("pidfd_open");
  return pidfd;
}

std::optional<std::uint64_t> number_after(std::string_view text, std::string_view key, int base) {
  auto at = text.find(key);
  if (at == std::string_view::npos) return {};
  std::uint64_t value = 0;
  auto [end, error] =
      std::from_chars(text.data() + at + key.size(), text.data() + text.size(), value, base);
  if (error != std::errc{}) return {};
  return value;
}

}  // namespace

std::optional<DescriptorFlags> parse_descriptor_flags(const char* fdinfo, std::size_t size) {
  std::string_view text(fdinfo, size);
  auto flags = number_after(text, "flags:\t", 8);
  if (!flags) return {};
  return DescriptorFlags{(*flags & O_NONBLOCK) != 0, (*flags & O_CLOEXEC) != 0,
                         number_after(text, "\nino:\t", 10)};
}

Caller::Caller(pid_t tid, PidfdUse use) : tid_(tid) {
  // First of all: what is opened before the pidfd is of a thread that lives as long as this one
  // does.
  const std::string path = "/proc/" + std::to_string(tid);
  fdinfo_ = UniqueFd(::open((path + "/fdinfo").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!fdinfo_) throw ErrnoError(ESRCH, "open", path);
  if (use == PidfdUse::kThread) pidfd_ = open_pidfd_of_thread(tid);
  if (pidfd_) return;
  alive_ = UniqueFd(::open((path + "/comm").c_str(), O_RDONLY | O_CLOEXEC));
  if (!alive_) throw ErrnoError(ESRCH, "open", path);
  pidfd_ = open_pidfd_of_group(tid);
}

UniqueFd Caller::fetch(int fd) const {
  UniqueFd fetched(pidfd_getfd(pidfd_.get(), fd));
  if (!alive_) return fetched;
  // Alive afterwards: so it was this thread's group all the time.
  char any = 0;
  if (::pread(alive_.get(), &any, sizeof any, 0) >= 0) return fetched;
  fetched.reset();
  errno = ESRCH;
  return fetched;
}

UniqueFd Caller::open_info(int fd) const {
  std::array<char, 16> name{};
  std::to_chars(name.data(), name.data() + name.size() - 1, fd);
  return UniqueFd(::openat(fdinfo_.get(), name.data(), O_RDONLY | O_CLOEXEC));
}

std::optional<DescriptorFlags> Caller::flags(int fd) {
  auto info = std::ranges::find(infos_, fd, &Info::number);
  if (info == infos_.end()) {
    UniqueFd file = open_info(fd);
    if (!file) return {};
    info = infos_.begin() + static_cast<std::ptrdiff_t>(next_info_++ % kInfos);
    *info = {.number = fd, .file = std::move(file)};
  }
  std::array<char, 256> text{};
  ssize_t size = ::pread(info->file.get(), text.data(), text.size(), 0);
  if (size <= 0) return {};
  return parse_descriptor_flags(text.data(), static_cast<std::size_t>(size));
}

std::vector<Caller::Info>& Caller::epolls(std::uint64_t generation, int socket, bool refresh) {
  if (refresh || epoll_generation_ != generation) {
    std::vector<Info> found;
    for (int number : find_epoll_descriptors(tid_, fdinfo_.get(), socket)) {
      auto known = std::ranges::find(epolls_, number, &Info::number);
      found.push_back(known == epolls_.end() ? Info{.number = number} : std::move(*known));
    }
    epolls_ = std::move(found);
    epoll_generation_ = generation;
  }
  return epolls_;
}

std::string_view Caller::text_of(Info& epoll, std::vector<char>& buffer) {
  if (!epoll.file) {
    const auto open =
        std::ranges::count_if(epolls_, [](const Info& one) { return static_cast<bool>(one.file); });
    if (open >= static_cast<std::ptrdiff_t>(kOpenEpolls)) {
      for (Info& one : epolls_) one.file.reset();
    }
    epoll.file = open_info(epoll.number);
  }
  if (!epoll.file) return {};
  constexpr std::size_t kFirst = 16384;
  if (buffer.size() < kFirst) buffer.resize(kFirst);
  std::size_t filled = 0;
  for (;;) {
    const std::size_t room = buffer.size() - filled;
    ssize_t size =
        ::pread(epoll.file.get(), buffer.data() + filled, room, static_cast<off_t>(filled));
    if (size < 0) return {};
    filled += static_cast<std::size_t>(size);
    epoll.size = filled;
    if (static_cast<std::size_t>(size) < room) return {buffer.data(), filled};  // the end
    if (filled > kMaxFdinfo) return {};
    buffer.resize(2 * buffer.size());
  }
}

void CallerCache::drop_oldest() {
  auto oldest = std::ranges::min_element(callers_, {},
                                         [](const auto& entry) { return entry.second.last_use_; });
  if (oldest != callers_.end()) callers_.erase(oldest);
}

Caller& CallerCache::find(pid_t tid) {
  auto found = callers_.find(tid);
  if (found == callers_.end()) {
    if (callers_.size() >= kMaxCallers) drop_oldest();
    found = callers_.emplace(tid, Caller(tid, use_)).first;
  }
  found->second.last_use_ = ++uses_;
  return found->second;
}

}  // namespace sockswitch
