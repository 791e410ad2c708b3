#include "notify/bound_inside.h"

#include <sys/socket.h>

#include "check.h"

namespace {

using namespace sockswitch;  // NOLINT(google-build-using-namespace): a test of this namespace

constexpr std::uint16_t kPort = 80;

Address at(const char* text) { return *Address::parse(text); }

std::string of(const BoundInside& bound, std::uint64_t socket, std::uint16_t port = kPort) {
  return bound.of(socket, port, AF_INET).text();
}

TEST(a_bound_socket_is_known_and_others_are_not) {
  const Address none;
  BoundInside bound{};
  CHECK_EQ(of(bound, 1), none.text());
  bound.remember(1, kPort, AF_INET, at("0.0.0.0"));  // as if it were not known
  bound.remember(2, kPort, AF_INET, at("10.0.0.2"));
  bound.remember(3, kPort, AF_INET, at("10.0.0.3"));
  bound.remember(4, kPort, AF_INET, at("0.0.0.0"));
  CHECK_EQ(of(bound, 1), none.text());
  CHECK_EQ(of(bound, 2), "10.0.0.2");
  CHECK_EQ(of(bound, 3), "10.0.0.3");
  CHECK_EQ(of(bound, 4), "0.0.0.0");
  CHECK_EQ(bound.last(kPort, AF_INET).text(), "0.0.0.0");
  CHECK_EQ(bound.last(kPort, AF_INET6).text(), none.text());
}

TEST(a_forgotten_bound_socket_is_what_the_others_of_its_port_are) {
  const Address none;
  BoundInside bound{};
  std::uint64_t socket = 0;
  while (socket < 200) bound.remember(++socket, kPort, AF_INET, at("10.0.0.2"));
  CHECK_EQ(of(bound, 1), "10.0.0.2");
  CHECK_EQ(of(bound, 200), "10.0.0.2");
  CHECK_EQ(of(bound, 1, kPort + 1), none.text());
  bound.remember(201, kPort, AF_INET, at("10.0.0.3"));
  CHECK_EQ(of(bound, 1), none.text());
  CHECK_EQ(of(bound, 200), "10.0.0.2");
}

}  // namespace
