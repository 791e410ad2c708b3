#include "switch/host_socket.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "kernel/errno_error.h"
#include "kernel/linux_abi.h"

namespace sockswitch {
namespace {

MadeSocket failed(Outcome outcome, std::string detail) {
  return {UniqueFd(), outcome, std::move(detail)};
}

std::string errno_text(const char* syscall) {
  return std::string(syscall) + ": " + ::strerror(errno);
}

}  // namespace

MadeSocket make_host_socket(const Context& context, int model, const SocketIdentity& identity,
                            bool model_is_host, int device, std::uint16_t neighbours_port) {
  const OptionBaselines& baselines = model_is_host ? context.host.fresh : context.container.fresh;
  const OptionBaseline* baseline = baselines.of(identity.domain);
  if (!baseline) return failed(Outcome::kInternal, "no fresh socket to compare options with");
  UniqueFd fd(
      ::socket(identity.domain, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, identity.protocol));
  if (!fd) return failed(Outcome::kHostError, errno_text("socket"));
  std::string option = copy_socket_options(model, fd.get(), *baseline, model_is_host);
  if (!option.empty()) return failed(Outcome::kSocketOption, option);
  if (::setsockopt(fd.get(), SOL_SOCKET, abi::kSoBindToIfindex, &device, sizeof device) != 0) {
    return failed(Outcome::kHostError, errno_text("setsockopt SO_BINDTOIFINDEX"));
  }
  int error = neighbours_port == 0
                  ? context.guard.guard_client(fd.get(), device)
                  : context.guard.guard_neighbours_client(fd.get(), device, neighbours_port);
  if (error != 0) {
    return failed(context.guard.missing() ? Outcome::kUnguarded : Outcome::kHostError,
                  std::string("the guard of a socket: ") + ::strerror(error));
  }
  return {std::move(fd), Outcome::kSwitched, {}};
}

bool bind_source(int fd, int domain, const Address& source) {
  int on = 1;
  ::setsockopt(fd, IPPROTO_IP, abi::kIpBindAddressNoPort, &on, sizeof on);
  sockaddr_storage raw{};
  socklen_t length = sizeof(sockaddr_in);
  raw.ss_family = static_cast<sa_family_t>(domain);
  if (domain == AF_INET) {
    auto& v4 = reinterpret_cast<sockaddr_in&>(raw);
    v4.sin_addr.s_addr = htonl(source.v4());
  } else {
    auto& v6 = reinterpret_cast<sockaddr_in6&>(raw);
    std::memcpy(&v6.sin6_addr, source.bytes.data(), source.bytes.size());
    length = sizeof v6;
  }
  return ::bind(fd, reinterpret_cast<const sockaddr*>(&raw), length) == 0;
}

MadeSocket make_container_socket(const Context& context, int model,
                                 const SocketIdentity& identity) {
  const OptionBaseline* baseline = context.host.fresh.of(identity.domain);
  if (!baseline) return failed(Outcome::kInternal, "no fresh socket to compare options with");
  try {
    UniqueFd fd =
        context.container.view->open_socket(identity.domain, SOCK_STREAM, identity.protocol);
    std::string option = copy_socket_options(model, fd.get(), *baseline, true);
    if (!option.empty()) return failed(Outcome::kSocketOption, option);
    return {std::move(fd), Outcome::kSwitched, {}};
  } catch (const ErrnoError& error) {
    return failed(Outcome::kInternal, error.what());
  }
}

}  // namespace sockswitch
