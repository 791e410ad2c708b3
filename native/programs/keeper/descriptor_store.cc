#include "programs/keeper/descriptor_store.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "base/errno_error.h"
#include "kernel/unix_socket.h"

namespace sockswitch {
namespace {

constexpr int kFirstInherited = 3;

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

// -1 where it is no number.
int number(const std::string& text) {
  int value = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() ? value : -1;
}

}  // namespace

DescriptorStore::DescriptorStore() : path_(variable("NOTIFY_SOCKET")) {}

std::vector<DescriptorStore::Entry> DescriptorStore::inherited() {
  std::vector<Entry> entries;
  if (number(variable("LISTEN_PID")) != ::getpid()) return entries;
  const int count = number(variable("LISTEN_FDS"));
  const std::string names = variable("LISTEN_FDNAMES");
  std::string_view rest = names;
  for (int i = 0; i < count; ++i) {
    const std::size_t colon = rest.find(':');
    UniqueFd fd(kFirstInherited + i);
    ::fcntl(fd.get(), F_SETFD, FD_CLOEXEC);
    entries.push_back({std::string(rest.substr(0, colon)), std::move(fd)});
    rest = colon == std::string_view::npos ? std::string_view() : rest.substr(colon + 1);
  }
  return entries;
}

void DescriptorStore::add(const std::string& name, std::span<const int> fds) const {
  tell("FDSTORE=1\nFDNAME=" + name, fds);
}

void DescriptorStore::remove(const std::string& name) const {
  tell("FDSTOREREMOVE=1\nFDNAME=" + name, {});
}

void DescriptorStore::ready() const { tell("READY=1", {}); }

void DescriptorStore::tell(const std::string& text, std::span<const int> fds) const {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (path_.empty() || path_.size() >= sizeof(address.sun_path)) return;
  std::memcpy(address.sun_path, path_.data(), path_.size());
  if (path_.front() == '@') address.sun_path[0] = '\0';
  const auto length = static_cast<socklen_t>(offsetof(struct sockaddr_un, sun_path) + path_.size());
  UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket || ::connect(socket.get(), reinterpret_cast<struct sockaddr*>(&address), length) != 0)
    return;
  struct iovec part = {.iov_base = const_cast<char*>(text.data()), .iov_len = text.size()};
  try {
    send_message(socket.get(), std::span(&part, 1), fds);
  } catch (const ErrnoError&) {  // NOLINT(bugprone-empty-catch): no store then
  }
}

}  // namespace sockswitch
