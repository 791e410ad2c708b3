#include "kernel/unix_socket.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <array>
#include <cstring>

#include "base/errno_error.h"

namespace sockswitch {
namespace {

struct sockaddr_un address_of(const std::string& path, const char* syscall) {
  struct sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.find('\0') != std::string::npos) throw ErrnoError(EINVAL, syscall, path);
  if (path.size() >= sizeof(address.sun_path)) throw ErrnoError(ENAMETOOLONG, syscall, path);
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

// The sockets API takes every address family through the one type sockaddr.
const struct sockaddr* generic(const struct sockaddr_un& address) {
  return reinterpret_cast<const struct sockaddr*>(&address);
}

UniqueFd make_socket(int type) {
  UniqueFd fd(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
  if (!fd) throw_errno("socket", "AF_UNIX");
  return fd;
}

// Whether the name in the way of bind(2) is a socket file that nobody serves any more.
// Throws when it is anything else.
bool is_dead(const std::string& path, const struct sockaddr_un& address, int type) {
  struct stat status = {};
  if (::lstat(path.c_str(), &status) != 0) {
    if (errno == ENOENT) return true;
    throw_errno("lstat", path);
  }
  // connect(2) answers ECONNREFUSED for a file that is no socket, too: that one is not ours to
  // remove.
  if (!S_ISSOCK(status.st_mode)) throw ErrnoError(ENOTSOCK, "bind", path);
  UniqueFd probe = make_socket((type & ~SOCK_NONBLOCK) | SOCK_NONBLOCK);
  if (::connect(probe.get(), generic(address), sizeof(address)) == 0) return false;
  // EAGAIN: its backlog is full; EPROTOTYPE: it is alive and of another type.
  return errno == ECONNREFUSED || errno == ENOENT;
}

void wait_writable(int fd) {
  struct pollfd request = {.fd = fd, .events = POLLOUT, .revents = 0};
  while (::poll(&request, 1, -1) < 0) {
    if (errno != EINTR) throw_errno("poll");
  }
}

// sendmsg(2) without SIGPIPE and EINTR.
ssize_t send_retrying(int fd, const struct msghdr& header) {
  ssize_t sent = 0;
  do {
    sent = ::sendmsg(fd, &header, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent;
}

// Writes what a stream socket has not yet taken, without the descriptors: they left with the first
// byte.
void send_rest(int fd, std::span<const struct iovec> parts, std::size_t done) {
  for (const struct iovec& part : parts) {
    if (done >= part.iov_len) {
      done -= part.iov_len;
      continue;
    }
    struct iovec rest = {.iov_base = static_cast<char*>(part.iov_base) + done,
                         .iov_len = part.iov_len - done};
    done = 0;
    while (rest.iov_len > 0) {
      struct msghdr header = {};
      header.msg_iov = &rest;
      header.msg_iovlen = 1;
      ssize_t sent = send_retrying(fd, header);
      if (sent < 0) {
        if (errno != EAGAIN) throw_errno("sendmsg");
        wait_writable(fd);
        continue;
      }
      rest.iov_base = static_cast<char*>(rest.iov_base) + sent;
      rest.iov_len -= static_cast<std::size_t>(sent);
    }
  }
}

// Room for the control message of SCM_RIGHTS, aligned as the kernel wants it.
struct ControlBuffer {
  alignas(struct cmsghdr) std::array<char, CMSG_SPACE(kMaxDescriptors * sizeof(int))> bytes = {};
};

void take_descriptors(struct msghdr& header, std::vector<UniqueFd>& fds) {
  for (struct cmsghdr* item = CMSG_FIRSTHDR(&header); item; item = CMSG_NXTHDR(&header, item)) {
    if (item->cmsg_level != SOL_SOCKET || item->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (item->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(item) + i * sizeof(int), sizeof(int));
      fds.emplace_back(fd);
    }
  }
}

}  // namespace

UniqueFd unix_connect(const std::string& path, int type) {
  const struct sockaddr_un address = address_of(path, "connect");
  UniqueFd fd = make_socket(type);
  // An interrupted connect on a Unix socket has not connected: unlike TCP it can simply be
  // repeated.
  while (::connect(fd.get(), generic(address), sizeof(address)) != 0) {
    if (errno != EINTR) throw_errno("connect", path);
  }
  return fd;
}

UniqueFd unix_listen(const std::string& path, int type, int backlog) {
  const struct sockaddr_un address = address_of(path, "bind");
  UniqueFd fd = make_socket(type);
  // bind(2) gives the file the mode of the socket's own inode: no window, and no process-wide
  // umask.
  if (::fchmod(fd.get(), S_IRUSR | S_IWUSR) != 0) throw_errno("fchmod", path);
  if (::bind(fd.get(), generic(address), sizeof(address)) != 0) {
    if (errno != EADDRINUSE) throw_errno("bind", path);
    if (!is_dead(path, address, type)) throw ErrnoError(EADDRINUSE, "bind", path);
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) throw_errno("unlink", path);
    if (::bind(fd.get(), generic(address), sizeof(address)) != 0) throw_errno("bind", path);
  }
  if (::listen(fd.get(), backlog) != 0) throw_errno("listen", path);
  return fd;
}

bool send_message(int fd, std::span<const struct iovec> parts, std::span<const int> fds) {
  if (fds.size() > kMaxDescriptors) throw ErrnoError(EINVAL, "sendmsg", "too many descriptors");
  struct msghdr header = {};
  // sendmsg(2) only reads the vector; its type is not const because recvmsg(2) shares it.
  header.msg_iov = const_cast<struct iovec*>(parts.data());
  header.msg_iovlen = parts.size();
  ControlBuffer control;
  if (!fds.empty()) {
    header.msg_control = control.bytes.data();
    header.msg_controllen = CMSG_SPACE(fds.size_bytes());
    struct cmsghdr* item = CMSG_FIRSTHDR(&header);
    item->cmsg_level = SOL_SOCKET;
    item->cmsg_type = SCM_RIGHTS;
    item->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(item), fds.data(), fds.size_bytes());
  }
  const ssize_t sent = send_retrying(fd, header);
  if (sent < 0) {
    if (errno == EAGAIN) return false;
    throw_errno("sendmsg");
  }
  send_rest(fd, parts, static_cast<std::size_t>(sent));
  return true;
}

Message receive_message(int fd, std::size_t max_bytes) {
  Message message;
  message.bytes.resize(max_bytes);
  ControlBuffer control;
  struct iovec part = {.iov_base = message.bytes.data(), .iov_len = max_bytes};
  struct msghdr header = {};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control.bytes.data();
  header.msg_controllen = control.bytes.size();
  ssize_t received = 0;
  // ECONNRESET is told once, and before what the peer has sent (unix_dgram_recvmsg, Linux 6.18).
  do {
    received = ::recvmsg(fd, &header, MSG_CMSG_CLOEXEC);
  } while (received < 0 && (errno == EINTR || errno == ECONNRESET));
  if (received < 0) throw_errno("recvmsg");
  take_descriptors(header, message.fds);
  message.bytes.resize(static_cast<std::size_t>(received));
  message.truncated = (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0;
  message.end = received == 0 && message.fds.empty();
  return message;
}

struct ucred peer_credentials(int fd) {
  struct ucred credentials = {};
  socklen_t length = sizeof(credentials);
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0) {
    throw_errno("getsockopt", "SO_PEERCRED");
  }
  return credentials;
}

}  // namespace sockswitch
