#include "notify/host_socket.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/errno_error.h"

namespace sockswitch {
namespace {

MadeSocket failed(Outcome outcome, std::string detail) {
  return {.outcome = outcome, .detail = std::move(detail)};
}

}  // namespace

void set_blocking(int fd) { ::fcntl(fd, F_SETFL, O_RDWR); }

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

MadeSocket make_container_socket(const Context& context, const Target& target) {
  const SocketIdentity& identity = target.identity;
  const int model = target.socket.get();
  const OptionBaseline* baseline = context.host.fresh.of(identity.domain);
  if (!baseline) return failed(Outcome::kInternal, "no fresh socket to compare options with");
  try {
    const auto pod = pod_of_caller(context, target.caller.tid());
    UniqueFd fd =
        pod ? pod->open_socket(context.host.helper, identity.domain, SOCK_STREAM, identity.protocol,
                               context.policy.socket_label)
            : context.container.view->open_socket(identity.domain, SOCK_STREAM, identity.protocol,
                                                  context.policy.socket_label);
    std::string option = OptionCopy(model, *baseline, true).all(fd.get());
    if (!option.empty()) return failed(Outcome::kSocketOption, option);
    return {.fd = std::move(fd), .detail = {}};
  } catch (const ErrnoError& error) {
    return failed(Outcome::kInternal, error.what());
  }
}

}  // namespace sockswitch
