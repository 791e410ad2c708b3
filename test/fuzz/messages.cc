// Messages with descriptors from any peer (kernel/unix_socket.h): none may leak, whatever is cut
// off.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "base/errno_error.h"
#include "kernel/unix_socket.h"

using namespace sockswitch;  // NOLINT(google-build-using-namespace): a target for this namespace

namespace {

constexpr std::size_t kMostSent = 2 * kMaxDescriptors;

void send_with_descriptors(int fd, std::string_view bytes, std::size_t count) {
  std::array<int, kMostSent> fds{};
  fds.fill(STDIN_FILENO);
  iovec part{const_cast<char*>(bytes.data()), bytes.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof fds)> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (count > 0) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(count * sizeof(int));
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(count * sizeof(int));
    std::memcpy(CMSG_DATA(header), fds.data(), count * sizeof(int));
  }
  if (::sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) std::abort();
}

int lowest_free_number() {
  int fd = ::fcntl(STDIN_FILENO, F_DUPFD, 0);
  ::close(fd);
  return fd;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 4) return 0;
  int before = lowest_free_number();
  {
    const std::array kTypes = {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM};
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, kTypes[data[0] % kTypes.size()] | SOCK_CLOEXEC, 0, ends.data()) != 0)
      std::abort();
    UniqueFd left(ends[0]);
    UniqueFd right(ends[1]);
    std::size_t limit = data[2] | data[3] << 8U;
    std::string_view bytes(reinterpret_cast<const char*>(data), size);
    send_with_descriptors(left.get(), bytes, data[1] % (kMostSent + 1));
    left.reset();
    try {
      Message message = receive_message(right.get(), limit);
      if (message.fds.size() > kMaxDescriptors) std::abort();
      if (message.bytes != bytes.substr(0, message.bytes.size())) std::abort();
      if (message.bytes.size() > limit) std::abort();
    } catch (const ErrnoError&) {  // NOLINT(bugprone-empty-catch): said clearly, which is all
    }
  }
  if (lowest_free_number() != before) std::abort();
  return 0;
}
